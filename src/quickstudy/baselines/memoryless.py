"""Agents without memory: what they decide follows from the present observation and a random key."""

from collections.abc import Callable

from jaxtyping import Array, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition


def memoryless_agent(spec: Spec, choose: Callable[[Array, PRNGKeyArray], Decision]) -> Agent:
    """An agent that has no parameters and remembers nothing.

    Args:
      spec: of the tasks.
      choose: `(observation, key) -> Decision`, for one observation without a batch axis.
    """

    def act(params: tuple, memory: tuple, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, memory
        return choose(observation, key)

    def adapt(params: tuple, memory: tuple, experience: Transition, key: PRNGKeyArray) -> tuple:
        del params, experience, key
        return memory

    return Agent(spec=spec, init=lambda key: (), begin=lambda params, key: (), act=act, adapt=adapt, exchangeable=True)
