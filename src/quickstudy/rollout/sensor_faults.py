"""Agents that perceive badly: rewards go missing and observations are blurred on their way to them, not in the world.

What such an agent earns on the tasks as they are says how much its way to adapt bears. A reward that went missing arrives as
NaN, which `quarantine` sets apart together with its step.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Decision, Transition, record
from quickstudy.rollout.nonfinite import with_nonfinite_guard


@record
class FaultySensorMemory:
    """The agent's own memory; `key` of its senses' failures, as plain numbers; `steps` `[]` that were lived so far."""

    memory: PyTree
    key: UInt32[Array, " numbers"]
    steps: Int[Array, ""]


def with_sensor_faults(agent: Agent, *, missing: float = 0.0, noise: float = 0.0) -> Agent:
    """The same agent behind bad senses; its parameters are the agent's own.

    Args:
      agent: whose senses fail; its observations are real numbers if they are to be blurred.
      missing: chance in [0, 1) that the reward of a step goes missing, each by itself.
      noise: standard deviation, in the unit of the observations, of what is added to each of their numbers. It is the same in
        the successor of a step and in the observation that the next step is decided on, as one sensor has read both.
    Raises:
      UsageError: a chance or a deviation out of its range, or noise on observations that are not real numbers.
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
        return inner.act(params, memory.memory, _blurred(observation, memory.key, memory.steps, noise), key)

    def adapt(params: PyTree, memory: FaultySensorMemory, experience: Transition, key: PRNGKeyArray) -> FaultySensorMemory:
        lived = experience.valid.astype(jnp.int32)
        steps = memory.steps + jnp.cumsum(lived) - lived
        blur = lambda seen, after: jax.vmap(_blurred, (0, None, 0, None))(seen, memory.key, after, noise)  # noqa: E731
        lost = jax.vmap(lambda step: jax.random.uniform(_key(memory.key, 0, step)) < missing)(steps)
        outcome = experience.outcome
        perceived = dataclasses.replace(
            experience,
            observation=blur(experience.observation, steps),
            outcome=dataclasses.replace(
                outcome,
                observation=blur(outcome.observation, steps + 1),
                reward=jnp.where(lost, jnp.nan, outcome.reward),
            ),
        )
        after = inner.adapt(params, memory.memory, perceived, key)
        return FaultySensorMemory(memory=after, key=memory.key, steps=memory.steps + lived.sum())

    return Agent(spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence)


def _key(key: UInt32[Array, " numbers"], sense: int, step: Int[Array, ""]) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(key), sense), step)


def _blurred(observation: Array, key: Array, step: Int[Array, ""], noise: float) -> Array:
    if not noise:
        return observation
    return observation + noise * jax.random.normal(_key(key, 1, step), observation.shape, observation.dtype)
