"""The floor: an agent that acts uniformly at random and remembers nothing."""

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.spaces import ActionSpace


def uniform_action(space: ActionSpace, key: PRNGKeyArray) -> Array:
    """One action, uniform in a Discrete or a bounded Box space; bounds of integer boxes are included.

    Args:
      space: of the actions.
      key: consumed.
    Returns:
      `[]` int32 of a Discrete space, else an array of the shape and type of the Box.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, (), int(space.start), int(space.start + space.n))
    low, high = jnp.asarray(space.low), jnp.asarray(space.high)
    if jnp.issubdtype(low.dtype, jnp.integer):
        # In 32 bits: one more than the largest of 8 bits would be 0.
        wide = jax.random.randint(key, space.shape, low.astype(jnp.int32), high.astype(jnp.int32) + 1)
        return wide.astype(low.dtype)
    return jax.random.uniform(key, space.shape, low.dtype, low, high)


def random_agent(spec: Spec) -> Agent:
    """An agent that draws every action uniformly from the action space.

    Args:
      spec: of the tasks; Discrete or bounded Box actions. Densities are per unit of the action.
    """
    space = spec.action_space

    def act(params: tuple, memory: tuple, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, memory, observation
        if isinstance(space, gymnasium.spaces.Discrete):
            log_probability = -jnp.log(float(space.n))
        else:
            log_probability = -jnp.log(jnp.asarray(space.high) - jnp.asarray(space.low)).sum()
        return Decision(action=uniform_action(space, key), extras={"log_probability": log_probability})

    def adapt(params: tuple, memory: tuple, experience: Transition, key: PRNGKeyArray) -> tuple:
        del params, experience, key
        return memory

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: (),
        act=act,
        adapt=adapt,
        exchangeable=True,
    )
