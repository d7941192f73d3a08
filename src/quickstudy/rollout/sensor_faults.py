"""Agents with faulty sensors: rewards go missing, and observations carry noise, on their way to the agent only.

The return of such an agent on unchanged tasks shows how robust its way of adapting is. A missing reward arrives as NaN, which
the non-finite guard masks together with its step.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Decision, Transition, record
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.wrapping import wrapped


@record
class FaultySensorMemory:
    """The guarded agent's memory, with what the faults need.

    `key` `[words]`: key data of all faults in this lifetime. `steps` `[]`: steps that happened so far.
    """

    memory: PyTree
    key: UInt32[Array, " words"]
    steps: Int[Array, ""]


def with_sensor_faults(agent: Agent, *, missing: float = 0.0, noise: float = 0.0) -> Agent:
    """The same agent behind faulty sensors and the non-finite guard; its parameters are the inner agent's.

    Args:
      agent: the inner agent; with noise, its observations must be real numbers.
      missing: probability in [0, 1) that the reward of a step is missing, independently for each step.
      noise: standard deviation, in the unit of the observations, of the noise added to each of their numbers. The successor of
        a step and the observation that the next step is decided on carry the same noise, as one sensor has read both.
    Raises:
      UsageError: a probability or a deviation out of its range, or noise on observations that are not real numbers.
    """
    if not 0 <= missing < 1 or noise < 0:
        raise UsageError(f"missing must lie within [0, 1) and noise be 0 or more; came {missing} and {noise}.")
    space = agent.spec.observation_space
    if noise and not jnp.issubdtype(space.dtype, jnp.floating):
        raise UsageError(f"noise needs observations of real numbers; these are {space}.")
    inner = with_nonfinite_guard(agent)

    def begin(params: PyTree, key: PRNGKeyArray) -> FaultySensorMemory:
        return FaultySensorMemory(
            memory=inner.begin(params, key), key=jax.random.key_data(jax.random.fold_in(key, 1)), steps=jnp.int32(0)
        )

    def act(params: PyTree, memory: FaultySensorMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        return inner.act(params, memory.memory, _with_noise(observation, memory.key, memory.steps, noise), key)

    def adapt(params: PyTree, memory: FaultySensorMemory, experience: Transition, key: PRNGKeyArray) -> FaultySensorMemory:
        happened = experience.valid.astype(jnp.int32)
        steps = memory.steps + jnp.cumsum(happened) - happened
        blur = lambda seen, at: jax.vmap(_with_noise, (0, None, 0, None))(seen, memory.key, at, noise)  # noqa: E731
        is_missing = jax.vmap(lambda step: jax.random.uniform(_fault_key(memory.key, 0, step)) < missing)(steps)
        outcome = experience.outcome
        perceived = dataclasses.replace(
            experience,
            observation=blur(experience.observation, steps),
            outcome=dataclasses.replace(
                outcome,
                observation=blur(outcome.observation, steps + 1),
                reward=jnp.where(is_missing, jnp.nan, outcome.reward),
            ),
        )
        adapted = inner.adapt(params, memory.memory, perceived, key)
        return FaultySensorMemory(memory=adapted, key=memory.key, steps=memory.steps + happened.sum())

    # The faults depend on the number of the step.
    return wrapped(inner, begin=begin, act=act, adapt=adapt, exchangeable=False)


def _fault_key(key: UInt32[Array, " words"], fault: int, step: Int[Array, ""]) -> PRNGKeyArray:
    """The key of one fault (0: missing rewards, 1: noise) at one step."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(key), fault), step)


def _with_noise(observation: Array, key: Array, step: Int[Array, ""], noise: float) -> Array:
    if not noise:
        return observation
    return observation + noise * jax.random.normal(_fault_key(key, 1, step), observation.shape, observation.dtype)
