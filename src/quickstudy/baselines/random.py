"""The floor: an agent that acts uniformly at random and remembers nothing."""

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition


def random_agent(spec: Spec) -> Agent:
    """An agent that draws every action uniformly from the action space.

    Args:
      spec: of the tasks; Discrete or bounded Box actions.
    """
    space = spec.action_space

    def act(params: tuple, memory: tuple, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, memory, observation
        if isinstance(space, gymnasium.spaces.Discrete):
            action = jax.random.randint(key, (), int(space.start), int(space.start + space.n))
            log_probability = -jnp.log(float(space.n))
        else:
            low, high = jnp.asarray(space.low), jnp.asarray(space.high)
            action = jax.random.uniform(key, space.shape, low.dtype, low, high)
            log_probability = -jnp.log(high - low).sum()
        return Decision(action=action, extras={"log_probability": log_probability})

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
