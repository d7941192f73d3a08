"""Balancing a pole on a cart by a linear rule: push to the right where a weighted sum of the state is positive.

A push has full force in either direction, so only the sign of the sum matters. Nearly all weights that move the cart under the
pole balance it. So a fixed rule is hard to beat as long as pushes act in the commanded direction.
"""

from collections.abc import Callable

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan, where

GAINS = (0.3, 0.5, 10.0, 3.0)
"""Weights of the cart's position (m) and velocity (m/s), and of the pole's angle (rad) and angular velocity (rad/s)."""


def linear_control_agent(spec: Spec) -> Agent:
    """An agent that pushes by the linear rule, and learns nothing.

    Args:
      spec: of the tasks; the state of a cart-pole as observations, two actions.
    Raises:
      SpecError: other observations or actions.
    """
    return _pushing_agent(spec, direction=lambda pushed: jnp.float32(1.0))


def direction_finding_agent(spec: Spec) -> Agent:
    """An agent that pushes by the linear rule, with the sign reversed where the cart moved against the pushes.

    Args:
      spec: of the tasks; the state of a cart-pole as observations, two actions.
    Raises:
      SpecError: other observations or actions.
    """
    return _pushing_agent(spec, direction=lambda pushed: jnp.where(pushed < 0, -1.0, 1.0))


def _pushing_agent(spec: Spec, *, direction: Callable[[Array], Array]) -> Agent:
    """An agent whose memory `[]` sums velocity changes in the direction of pushes, in m/s, and sets the sign of the rule."""
    two = isinstance(spec.action_space, gymnasium.spaces.Discrete) and int(spec.action_space.n) == 2
    if not two or spec.observation_space.shape != (4,):
        raise SpecError(
            "linear control needs observations (4,) and two actions, those of a cart-pole; "
            f"came {spec.observation_space} and {spec.action_space}."
        )
    first = int(spec.action_space.start)  # type: ignore[union-attr]

    def act(params: tuple, memory: Float[Array, ""], observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        wanted = direction(memory) * (jnp.float32(GAINS) * observation).sum()
        return Decision(action=(wanted > 0).astype(jnp.int32) + first, extras={})

    def take_in(memory: Array, step: Transition) -> tuple[Array, None]:
        push = jnp.where(step.decision.action == first, -1.0, 1.0)
        followed = push * (step.outcome.observation[1] - step.observation[1])
        return where(step.valid, memory + followed, memory), None

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.float32(0.0),
        act=act,
        adapt=adapt,
        exchangeable=True,
    )
