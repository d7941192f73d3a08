"""The interface of a source of lifetimes: where the lifetimes of an update come from.

A source has two halves, so that training on tasks written in JAX stays one compiled program:

    supply   runs in Python before the update and hands arrays to the compiled program (`HostSource`: collected lifetimes)
    next     is traced into the compiled update (`FreshSource`: runs the lifetimes; `ReplayedSource`: adds them to the store)

`training.sources` holds the choice between them.

A source of *recorded* lifetimes needs a format for them on disk, which does not exist yet. It must provide these. Its `supply`
reads arrays `[seeds, T, lifetimes, ...]` and depends on the number of the update alone, since a resumed run must see the same
lifetimes again. Its `next` is that of `HostSource`, and `initial` gives `()`. Its `held_out` is that of another source, because
an agent cannot be evaluated on recordings.

Steps whose numbers are not finite are masked in `collected`, and nowhere after it. There the record of a lifetime leaves its
source, so learning, the replay store, held-out returns and metrics see the same numbers. The guard inside the agent
(`rollout.nonfinite.with_nonfinite_guard`) serves another purpose. It protects the agent's memory while the lifetime is under
way, and it never writes the record.
"""

import dataclasses
from typing import Protocol

import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.rollout.nonfinite import mask_nonfinite, overflowing

Metrics = dict[str, list[float]]
"""Metrics by name, each a list over seeds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """An evaluation during training, on held-out tasks.

    Args:
      metrics: `held_out_return`, the mean return of a lifetime, and `held_out_<measure>`.
      steps: points along a lifetime, in steps from 1; the last one is its end.
      so_far: `[seeds, points]`, mean return of a lifetime up to each of them, reward units.
    """

    metrics: Metrics
    steps: tuple[int, ...]
    so_far: Float[np.ndarray, "seeds points"]


@record
class Collected:
    """The lifetimes of one update of one seed: this device's share.

    `fresh`: `[T, lifetimes]`, run under the present parameters; non-finite steps are masked. `nonfinite`: `[T, lifetimes]`,
    true at those steps. `overflowing`: those of them whose reward is too large. `given`: the lifetimes that the algorithm's
    `update` receives, see `MetaAlgorithm.wants`.
    """

    fresh: Transition
    nonfinite: Bool[Array, "T lifetimes"]
    overflowing: Bool[Array, "T lifetimes"]
    given: PyTree


def collected(lifetimes: Transition) -> Collected:
    """Lifetimes `[T, lifetimes]` as they were recorded, with their non-finite steps masked."""
    clean, nonfinite = mask_nonfinite(lifetimes)
    too_large = nonfinite & overflowing(lifetimes.outcome.reward)
    return Collected(fresh=clean, nonfinite=nonfinite, overflowing=too_large, given=clean)


class LifetimeSource(Protocol):
    """Gives the lifetimes of each update, and evaluates agents on held-out tasks.

    `supplies`: whether `supply` gives arrays. Then the update is compiled after the first call, which shows their shapes.
    """

    supplies: bool

    def initial(self) -> PyTree:
        """What the source keeps from update to update, for one seed; checkpoints hold it. `()` where it keeps nothing."""

    def lifetime_bytes(self, params: PyTree) -> int:
        """Bytes of one lifetime as it is recorded, with its task where that is an array; found from shapes alone.

        Args:
          params: of the agent, or their shapes.
        """

    def compile(self, train: PyTree) -> None:
        """Compiles what `held_out` runs, so that no evaluation waits for it. Raises UsageError if it does not fit into memory.

        Args:
          train: train states of the algorithm `[seeds]`.
        """

    def supply(self, train: PyTree, roots: Key[Array, " seeds"], update: int) -> tuple[PyTree, Metrics]:
        """Arrays `[seeds, T, lifetimes, ...]` for the compiled update, and metrics of collecting them; `()` for none.

        Args:
          train: train states of the algorithm `[seeds]`.
          roots: root keys `[seeds]`.
          update: the number of the update, from 0.
        Raises:
          CollectingError: not one lifetime could be collected.
        """

    def next(self, kept: PyTree, params: PyTree, supplied: PyTree, keys: Key[Array, " lifetimes"]) -> tuple[PyTree, Collected]:
        """What is kept after this update, and the lifetimes to learn from. Traced; one seed, this device's share.

        Args:
          kept: what `initial` or the update before gave.
          params: of the agent.
          supplied: this device's share `[T, lifetimes, ...]` of what `supply` gave.
          keys: one for each lifetime `[lifetimes]`.
        """

    def held_out(self, train: PyTree) -> HeldOut:
        """An evaluation on the same held-out tasks at every call.

        Args:
          train: train states of the algorithm `[seeds]`.
        """

    def seconds(self) -> dict[str, float]:
        """Seconds of collecting for training so far, by activity; empty where they are part of the compiled update."""

    def close(self) -> None:
        """Ends processes that the source started."""


def affordable_tasks(tasks: int, spec: Spec, *, most_steps: int, least: int) -> int:
    """The number of held-out tasks: as asked for, or fewer if their lifetimes would have more than `most_steps` together.

    Args:
      tasks: the number that was asked for.
      spec: of the tasks.
      most_steps: steps of all held-out lifetimes together.
      least: the number of tasks that is kept however long lifetimes are.
    """
    return min(tasks, max(least, most_steps // spec.lifetime_steps))
