"""Swinging a pendulum up by controlling its energy, and catching it on top: with fixed or with identified coefficients.

The pendulum obeys ω' = a sin θ + b u. The controller `baselines.models.pendulum.swing_up` needs a and b. One agent here takes
the same two numbers on every task; the other estimates them by least squares on the steps of its lifetime.

Source: Åström and Furuta 2000 (control of the energy).
"""

from collections.abc import Callable

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.models.pendulum import LARGEST_SPEED, SECONDS, swing_up
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

BELIEVED = (9.0, 1.0)
"""a and b of the one pendulum whose controller has the highest mean return over tasks: see `tasks.control.pendulum`."""

# Weight of the prior, in the units of Σ (sin θ)² and Σ u²: negligible after two steps.
_BELIEF = 1e-4


@record
class Regression:
    """Sums over steps: `seen` `[2, 2]`, Σ x xᵀ, and `caused` `[2]`, Σ x ω', where x = (sin θ, u)."""

    seen: Float[Array, "2 2"]
    caused: Float[Array, "2"]


def energy_shaping_agent(spec: Spec) -> Agent:
    """An agent that uses the coefficients `BELIEVED` on every task, and learns nothing.

    Args:
      spec: of the tasks; cos θ, sin θ and ω as observations, one torque signal as actions.
    Raises:
      SpecError: other observations or actions.
    """
    return _swinging_agent(spec, identify=lambda memory: BELIEVED)


def self_tuning_agent(spec: Spec) -> Agent:
    """An agent that estimates a and b by least squares, and uses the estimates.

    Accelerations are linear in both and without noise, so two steps determine them. Before that, the agent uses `BELIEVED`.

    Args:
      spec: of the tasks; cos θ, sin θ and ω as observations, one torque signal as actions.
    Raises:
      SpecError: other observations or actions.
    Source: Åström and Wittenmark 1973 (self-tuning regulators): the estimates are used as if they were exact.
    """

    def identify(memory: Regression) -> tuple[Array, Array]:
        believed = jnp.float32(BELIEVED)
        seen = memory.seen + _BELIEF * jnp.eye(2)
        caused = memory.caused + _BELIEF * believed
        # Cramer's rule: the matrix is 2 by 2 and positive definite.
        determinant = seen[0, 0] * seen[1, 1] - seen[0, 1] ** 2
        a = (caused[0] * seen[1, 1] - caused[1] * seen[0, 1]) / determinant
        b = (caused[1] * seen[0, 0] - caused[0] * seen[0, 1]) / determinant
        # Rounding can give estimates of no possible pendulum; the controller must stay finite.
        return jnp.maximum(a, 0.1), jnp.where(jnp.abs(b) < 0.05, believed[1], b)

    return _swinging_agent(spec, identify=identify)


def _swinging_agent(spec: Spec, *, identify: Callable[[Regression], tuple]) -> Agent:
    """An agent that keeps the sums of a regression, and swings up with the coefficients that `identify` reads from them."""
    shapes = (spec.observation_space.shape, spec.action_space.shape)
    if not isinstance(spec.action_space, gymnasium.spaces.Box) or shapes != ((3,), (1,)):
        raise SpecError(f"swinging up needs observations (3,) and actions (1,), those of a pendulum; came {shapes}.")

    def begin(params: tuple, key: PRNGKeyArray) -> Regression:
        del params, key
        return Regression(seen=jnp.zeros((2, 2)), caused=jnp.zeros(2))

    def act(params: tuple, memory: Regression, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        a, b = identify(memory)
        action = swing_up(observation, jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
        return Decision(action=action, extras={})

    def take_in(memory: Regression, step: Transition) -> tuple[Regression, None]:
        x = jnp.stack([step.observation[1], step.decision.action[0]])
        speed = step.outcome.observation[2]
        acceleration = (speed - step.observation[2]) / SECONDS
        following = Regression(seen=memory.seen + x[:, None] * x[None], caused=memory.caused + x * acceleration)
        # At the largest speed the acceleration is clipped and would bias the estimates.
        return where(step.valid & (jnp.abs(speed) < LARGEST_SPEED), following, memory), None

    def adapt(params: tuple, memory: Regression, experience: Transition, key: PRNGKeyArray) -> Regression:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)
