"""How an agent is wrapped: what a wrapper keeps, in one place."""

import dataclasses
from collections.abc import Callable

from quickstudy.protocol.agent import Agent


def wrapped(agent: Agent, *, begin: Callable, act: Callable, adapt: Callable, exchangeable: bool = True) -> Agent:
    """An agent around another one, with a memory that holds the other's.

    It keeps `spec`, `init` (so parameters are the inner agent's) and `cadence`. It keeps `exchangeable` unless the wrapper
    itself depends on the order of steps. It does not keep a fast `unroll`, which knows nothing of the wrapper; the
    one derived from `begin`, `act` and `adapt` takes its place.

    Args:
      agent: the inner agent.
      begin, act, adapt: the functions of the new agent, as `Agent` describes them.
      exchangeable: whether the wrapper's own memory ignores the order of steps.
    """
    return dataclasses.replace(
        agent, begin=begin, act=act, adapt=adapt, exchangeable=agent.exchangeable and exchangeable, fast_unroll=None
    )
