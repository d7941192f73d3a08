"""The outer loop's interface: what meta-training writes, as a record of pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.agent import Agent, Params
from quickstudy.protocol.records import Transition, record

TrainState = TypeVar("TrainState")

LIFETIMES_AXIS = "lifetimes"
"""Name of the device axis over which meta-training splits the lifetimes of one update. `update` averages its gradients and
statistics over it with `jax.lax.pmean`, which on one device changes nothing."""


@dataclasses.dataclass(frozen=True)
class Fresh:
    """The algorithm learns from lifetimes that are run under the present parameters, and from no others.

    Args:
      ceilings: it also learns from the ceiling of each lifetime's task.
      mean_rewards: it learns from the mean of the reward of each action.
    """

    ceilings: bool = False
    mean_rewards: bool = False


@record
class KnownLifetimes:
    """Lifetimes, and what only the simulator knows about them, in reward units.

    `lifetimes` `[T, lifetimes]`; the `ceiling` `[lifetimes]` of the task of each; the `mean_reward` `[T, lifetimes]` of each
    action. The last two are None where the algorithm does not want them.
    """

    lifetimes: Transition
    ceiling: Float[Array, " lifetimes"] | None
    mean_reward: Float[Array, "T lifetimes"] | None


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The algorithm learns from earlier lifetimes too.

    Args:
      room: the number of lifetimes that are kept; the oldest are dropped. At least the lifetimes of one update.
    """

    room: int


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """A learning rate that an `update` takes as a fifth argument, and that `update`."""

    rate: float
    update: Callable[..., Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetaAlgorithm(Generic[TrainState, Params]):
    """How an agent's parameters are learned from lifetimes.

    Args:
      name: the name of the algorithm, as on the command line.
      config: its configuration, a frozen dataclass of plain values.
      agent: the agent that it meta-trains.
      collects: the agent that acts in the lifetimes of training, with the same parameters and memory, if it is not `agent`: one
        that draws its actions, say, where `agent` does not.
      init: `(key) -> state`: parameters, optimiser, and anything else that one update hands to the next.
      update: `(state, lifetimes, progress, key) -> (state, metrics)`. `lifetimes` depends on `wants`, below; it is this
        device's share. `progress` `[]` in [0, 1) is the spent part of the budget. `metrics` are scalars by name, `loss` among
        them.
      params: `(state) -> params`: the parameters that the deployed agent needs.
      lifetimes: lifetimes per update, over all devices.
      share_multiple: each device's share of the lifetimes is a multiple of this (the number of minibatches, say).
      wants: which lifetimes `update` is given. `Fresh()`: a `Transition` `[T, lifetimes]`. `Fresh(ceilings=True)` and
        `Fresh(mean_rewards=True)`: `KnownLifetimes`, on tasks that are written in JAX and know these. `Replayed(room=...)`: a
        `rollout.replay.ReplayedLifetimes`, which holds the fresh lifetimes and a store to draw earlier ones from. The training
        loop builds the source of lifetimes from this (`training.sources.source_for`).
      learning_rate: set by `with_learning_rate`.
    """

    name: str
    config: Any
    agent: Agent
    init: Callable[[PRNGKeyArray], TrainState]
    update: Callable[..., tuple[TrainState, dict[str, Array]]]
    params: Callable[[TrainState], Params]
    lifetimes: int
    share_multiple: int = 1
    wants: Fresh | Replayed = Fresh()
    collects: Agent | None = None
    learning_rate: LearningRate | None = None

    def with_learning_rate(self, rate: float) -> "MetaAlgorithm[TrainState, Params]":
        """This algorithm, whose `update` takes the learning rate as a fifth argument `[]`, with this rate as its default.

        Training then gives the rate to the compiled update as a number, so another rate needs no new compilation. Where
        `update` is replaced later, it is given four arguments again.
        """
        return dataclasses.replace(self, learning_rate=LearningRate(rate, self.update))

    @property
    def collector(self) -> Agent:
        """The agent that acts in the lifetimes of training."""
        return self.agent if self.collects is None else self.collects

    @property
    def rates(self) -> tuple[float, ...]:
        """What training gives to `update` after the key: the learning rate, or nothing."""
        known = self.learning_rate
        return (known.rate,) if known is not None and known.update is self.update else ()
