"""Memories of recorded lifetimes: their meaning, which is a replay, and the fast path that repeats it bit for bit.

The memory of a session is the fold of the agent's `adapt` over the valid steps of its record, in the order of their slots:

    memory(record) = adapt(... adapt(adapt(begin, chunk 0), chunk 1) ...)        chunks without a valid step left out

`replayed` computes just that. `bring_up_to_date` does not begin again: it continues from the last memory if every new step lies
behind the steps that are in it already, and from the memory of the settled slots otherwise. Both use the same compiled
programs, so their results are equal to the last bit. A law holds them to it.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quickstudy.serving.programs import AgentPrograms, Fold
from quickstudy.serving.record import Record


@dataclasses.dataclass(slots=True)
class Memories:
    """The memories that are kept of a session.

    Args:
      key: `[key words]`, of the lifetime.
      settled: `[memory words]`, of the slots before `record.first`.
      working: `[memory words]`, of all steps whose outcome is known; the agent acts with it.
      folded: number and revision of the chunks behind `record.first` that are in `working`.
    """

    key: np.ndarray
    settled: np.ndarray
    working: np.ndarray
    folded: list[tuple[int, int]] = dataclasses.field(default_factory=list)


class Shadow(NamedTuple):
    """The memories of an agent that decides beside the one of a session and is not obeyed. `agent`: its digest."""

    agent: str
    memories: Memories


def begun(programs: AgentPrograms, keys: Sequence[np.ndarray]) -> list[Memories]:
    """The memories at the start of lifetimes with these keys."""
    if not keys:
        return []
    rows = programs.begin(np.stack(keys))
    return [Memories(key, row.copy(), row.copy()) for key, row in zip(keys, rows, strict=True)]


def replayed(programs: AgentPrograms, record: Record, key: np.ndarray) -> np.ndarray:
    """The memory of a record that holds all its steps: what a memory means.

    Args:
      programs: of the agent.
      record: from slot 0 on, as `recorded` makes it.
      key: of the lifetime.
    """
    jobs = [Fold(0, chunk, record.chunk(chunk)) for chunk, _ in record.chunks()]
    return programs.fold(programs.begin(key[None]), key[None], jobs)[0]


def caught_up(programs: AgentPrograms, whole: Record, present: Record, memories: Memories, key: np.ndarray) -> Memories:
    """The memories of another agent that knows what a session's own agent knows, in the middle of its lifetime.

    Args:
      programs: of the other agent.
      whole: the record with every step of the lifetime, as `recorded` makes it.
      present: the record of the live session.
      memories: of the session's own agent.
      key: `[key words]`, of the lifetime with the other agent.
    """
    first = [one for one in whole.chunks() if one[0] * whole.cadence < present.first]
    known = {chunk for chunk, _ in memories.folded}
    settled = programs.fold(programs.begin(key[None]), key[None], _jobs(whole, first, 0))
    working = programs.fold(settled, key[None], _jobs(whole, [one for one in whole.chunks() if one[0] in known], 0))
    return Memories(key, settled[0].copy(), working[0].copy(), list(memories.folded))


def bring_up_to_date(
    programs: AgentPrograms,
    sessions: Sequence[tuple[Record, Memories]],
    *,
    shadow: tuple[AgentPrograms, Sequence[Memories]] | None = None,
) -> None:
    """Folds what is new in the records into the memories, and forgets the steps that are settled.

    Args:
      programs: of the agent; all sessions are computed together.
      sessions: each at most once.
      shadow: programs of an agent that is fed the same steps, and its memories of these sessions, in their order.
    """
    updates = [update for number, session in enumerate(sessions) if (update := _update(number, *session)) is not None]
    if not updates:
        return
    _fold(programs, updates, [sessions[update.number][1] for update in updates])
    if shadow is not None:
        _fold(shadow[0], updates, [shadow[1][update.number] for update in updates])
    for update in updates:
        if update.forgotten is not None:
            update.record.forget(update.forgotten)


class _Update(NamedTuple):
    """What one session needs.

    `first` is folded into the settled memory or into the working one, and `rest` into the result. Steps before `forgotten` are
    settled then. `folded` is what the working memory holds behind them.
    """

    number: int
    record: Record
    from_settled: bool
    first: list[tuple[int, int]]
    rest: list[tuple[int, int]]
    forgotten: int | None
    folded: list[tuple[int, int]]


def _update(number: int, record: Record, memories: Memories) -> _Update | None:
    wanted, done, until = record.chunks(), len(memories.folded), record.settled()
    appends, behind = wanted[:done] == memories.folded, _behind(record, wanted, until)
    if not appends:
        return _Update(number, record, True, _before(record, wanted, until), behind, until, behind)
    if len(wanted) == done and (until == record.first or behind):
        return None
    return _Update(number, record, False, wanted[done:], [], None if behind else until, wanted if behind else [])


def _fold(programs: AgentPrograms, updates: Sequence[_Update], memories: Sequence[Memories]) -> None:
    keys = rows_of([one.key for one in memories])
    begun = rows_of([one.settled if u.from_settled else one.working for u, one in zip(updates, memories, strict=True)])
    settled = programs.fold(begun, keys, [job for row, u in enumerate(updates) for job in _jobs(u.record, u.first, row)])
    rest = [job for row, u in enumerate(updates) for job in _jobs(u.record, u.rest, row)]
    working = programs.fold(settled, keys, rest) if rest else settled
    for row, (update, one) in enumerate(zip(updates, memories, strict=True)):
        one.working, one.folded = working[row].copy(), list(update.folded)
        if update.forgotten is not None:
            one.settled = settled[row].copy()


def rows_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one length as rows `[n, length]`; at least one. `np.stack` takes several times as long."""
    return np.concatenate(arrays).reshape(len(arrays), -1)


def _jobs(record: Record, chunks: list[tuple[int, int]], row: int) -> list[Fold]:
    return [Fold(row, chunk, record.chunk(chunk)) for chunk, _ in chunks]


def _before(record: Record, chunks: list[tuple[int, int]], slot: int) -> list[tuple[int, int]]:
    return [one for one in chunks if one[0] * record.cadence < slot]


def _behind(record: Record, chunks: list[tuple[int, int]], slot: int) -> list[tuple[int, int]]:
    return [one for one in chunks if one[0] * record.cadence >= slot]
