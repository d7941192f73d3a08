"""The outer loop's interface: what meta-training writes, as a record of pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from jaxtyping import Array, PRNGKeyArray

from quickstudy.protocol.agent import Agent, Params
from quickstudy.protocol.records import Transition

TrainState = TypeVar("TrainState")

LIFETIMES_AXIS = "lifetimes"
"""Name of the device axis over which meta-training splits the lifetimes of one update. `update` averages its gradients and
statistics over it with `jax.lax.pmean`, which on one device changes nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetaAlgorithm(Generic[TrainState, Params]):
    """How an agent's parameters are learned from lifetimes.

    Args:
      name: how people call it, as on the command line.
      config: its configuration, a frozen dataclass of plain values.
      agent: the agent that it meta-trains.
      init: `(key) -> state`: parameters, optimiser, whatever else the outer loop needs.
      update: `(state, lifetimes, progress, key) -> (state, metrics)`. `lifetimes` is a `Transition` with leading axes
        `[T, lifetimes]`, this device's share; `progress` `[]` in [0, 1) is the spent part of the budget; `metrics` are
        scalars by name, `loss` among them.
      params: `(state) -> params`: what the agent needs once it is deployed.
      lifetimes: lifetimes per update, over all devices.
      share_multiple: each device's share of the lifetimes is a multiple of this (the number of minibatches, say).
      wants: where lifetimes come from: `"fresh"` ones are lived under the present parameters.
    """

    name: str
    config: Any
    agent: Agent
    init: Callable[[PRNGKeyArray], TrainState]
    update: Callable[[TrainState, Transition, Array, PRNGKeyArray], tuple[TrainState, dict[str, Array]]]
    params: Callable[[TrainState], Params]
    lifetimes: int
    share_multiple: int = 1
    wants: Literal["fresh"] = "fresh"
