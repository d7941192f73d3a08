"""A monitor beside an agent: a baseline that sees every step, never acts, and says how unusual the task is."""

import dataclasses

import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Decision, Transition, blank_observation, record
from quickstudy.rollout.compiled import check_fit
from quickstudy.rollout.wrapping import wrapped


@record
class MonitoredMemory:
    """The memories of agent and monitor."""

    agent: PyTree
    monitor: PyTree


def with_monitor(agent: Agent, monitor: Agent) -> Agent:
    """The same agent, whose decisions also hold the p-values of a monitor. Its parameters are the agent's.

    Args:
      agent: that acts.
      monitor: a baseline for the same tasks that needs no meta-training. Its decisions hold `extras["p_values"]`: by kind,
        each `[]` in [0, 1].
    Raises:
      SpecError: a monitor for other tasks.
      UsageError: a monitor without p-values, or one whose cadence is neither 1 nor that of the agent.
    """
    check_fit(monitor, agent.spec)
    if monitor.cadence not in (1, agent.cadence):
        raise UsageError(
            f"the monitor adapts once in {monitor.cadence} steps and the agent once in {agent.cadence}. Name a baseline that "
            "adapts at every step."
        )
    nothing = monitor.init(jax.random.key(0))
    key = jax.eval_shape(lambda: jax.random.key(0))
    begun = jax.eval_shape(monitor.begin, nothing, key)
    if "p_values" not in jax.eval_shape(monitor.act, nothing, begun, blank_observation(agent.spec), key).extras:
        raise UsageError(
            "surprise.monitor in the envelope must name a baseline whose decisions hold p-values, and this one's hold none. "
            "docs/envelope.md names those that do."
        )

    def begin(params: PyTree, key: PRNGKeyArray) -> MonitoredMemory:
        return MonitoredMemory(agent=agent.begin(params, key), monitor=monitor.begin(nothing, key))

    def act(params: PyTree, memory: MonitoredMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        decided = agent.act(params, memory.agent, observation, key)
        p_values = monitor.act(nothing, memory.monitor, observation, key).extras["p_values"]
        return dataclasses.replace(decided, extras=decided.extras | {"p_values": p_values})

    def adapt(params: PyTree, memory: MonitoredMemory, experience: Transition, key: PRNGKeyArray) -> MonitoredMemory:
        return MonitoredMemory(
            agent=agent.adapt(params, memory.agent, experience, key),
            monitor=monitor.adapt(nothing, memory.monitor, experience, key),
        )

    return wrapped(agent, begin=begin, act=act, adapt=adapt, exchangeable=monitor.exchangeable)
