"""The choice of a source of lifetimes, from what the algorithm wants and from the kind of task distribution.

This is the one place in this package that asks for either. `training.lifetime_source` describes the interface.
"""

import dataclasses

import jax
from jaxtyping import Array, Key, PyTree

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, Fresh, MetaAlgorithm, Replayed
from quickstudy.protocol.records import Spec
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.replay import Replay, ReplayedLifetimes, empty_lifetime, steps_of
from quickstudy.training import fresh_source, host_source
from quickstudy.training.lifetime_source import Collected, LifetimeSource


def source_for(
    algorithm: MetaAlgorithm,
    distribution: AnyDistribution,
    *,
    tasks: int,
    collecting: CollectingConfig = CollectingConfig(),
) -> LifetimeSource:
    """The source of the lifetimes that an algorithm wants, on tasks of this distribution.

    Args:
      algorithm: the algorithm that is trained; `wants` decides between fresh and replayed lifetimes.
      distribution: of the tasks, written in JAX or outside.
      tasks: the number of held-out tasks; fewer where lifetimes are long.
      collecting: where lifetimes on tasks outside JAX are collected.
    Raises:
      CollectingError: a worker does not start.
      UsageError: the tasks are outside JAX, and this run has several processes; or the algorithm wants ceilings that the tasks
        do not have.
    """
    wants = algorithm.wants
    if isinstance(wants, Fresh):
        _check_known(wants, distribution)
    source: LifetimeSource
    if isinstance(distribution, HostDistribution):
        if jax.process_count() > 1:
            raise UsageError(
                f"{distribution.name} is not written in JAX, so only one process can train on it; came "
                f"{jax.process_count()} processes. Use collectors on other hosts instead: --collectors ray."
            )
        source = host_source.HostSource(algorithm, distribution, tasks=tasks, collecting=collecting)
    else:
        source = fresh_source.FreshSource(algorithm, distribution, tasks=tasks)
    if isinstance(algorithm.wants, Replayed):
        return ReplayedSource(source, distribution.spec, room=algorithm.wants.room)
    return source


def _check_known(wants: Fresh, distribution: AnyDistribution) -> None:
    """Raises UsageError unless the tasks know what the algorithm wants to learn from beside lifetimes."""
    in_jax = not isinstance(distribution, HostDistribution)
    for wanted, setting, what in (
        (wants.ceilings, "subtract_ceiling", "ceiling"),
        (wants.mean_rewards, "mean_rewards", "mean_reward"),
    ):
        if wanted and not (in_jax and getattr(distribution, what)):
            raise UsageError(
                f"{setting} needs tasks that are written in JAX and have a {what}; came {distribution.name}, which "
                f"{f'has no {what}' if in_jax else 'is not written in JAX'}. Leave it out."
            )


def held_out_tasks(distribution: AnyDistribution, *, tasks: int) -> tuple[PyTree, Key[Array, " tasks"]]:
    """The held-out tasks that agents are evaluated on during training, leading axis `[tasks]`, and the key of each lifetime.

    Args:
      distribution: of the tasks; they are drawn from its test split.
      tasks: the number of tasks; fewer where lifetimes are long.
    """
    if isinstance(distribution, HostDistribution):
        return host_source.held_out_tasks(distribution, tasks=tasks)
    return fresh_source.held_out_tasks(distribution, tasks=tasks)


class ReplayedSource:
    """Lifetimes of another source, and a store of earlier ones beside them; the store is part of every checkpoint.

    Adding to the store is traced into the compiled update, and so are the draws of the algorithm.

    Args:
      source: gives the fresh lifetimes.
      spec: of the tasks.
      room: the number of lifetimes that the store holds, at least those of one update.
    """

    def __init__(self, source: LifetimeSource, spec: Spec, *, room: int):
        self._source, self._spec, self._room = source, spec, room
        self.supplies = source.supplies
        self.compile, self.supply, self.held_out = source.compile, source.supply, source.held_out
        self.seconds, self.close = source.seconds, source.close

    def initial(self) -> PyTree:
        """An empty store, and what the other source keeps."""
        return Replay.with_room_for(self._room, empty_lifetime(self._spec)), self._source.initial()

    def lifetime_bytes(self, params: PyTree) -> int:
        """As of the other source."""
        return self._source.lifetime_bytes(params)

    def next(self, kept: PyTree, params: PyTree, supplied: PyTree, keys: Key[Array, " lifetimes"]) -> tuple[PyTree, Collected]:
        """The fresh lifetimes, and a store that holds those of all devices."""
        replay, of_source = kept
        of_source, fresh = self._source.next(of_source, params, supplied, keys)
        replay = replay.after(jax.lax.all_gather(steps_of(fresh.fresh), LIFETIMES_AXIS, axis=1, tiled=True))
        given = ReplayedLifetimes(fresh=fresh.fresh, replay=replay)
        return (replay, of_source), dataclasses.replace(fresh, given=given)
