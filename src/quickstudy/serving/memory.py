"""Memories of recorded lifetimes: their meaning, which is a replay, and the fast path that repeats it bit for bit.

The memory of a session is the fold of the agent's `adapt` over the valid steps of its record, in the order of their slots:

    memory(record) = adapt(... adapt(adapt(begin, chunk 0), chunk 1) ...)        chunks without a valid step left out

`replayed` computes just that. `bring_up_to_date` does not begin again: it continues from the last memory if every new step lies
behind the steps that are in it already, and from the memory of the settled slots otherwise. Both use the same compiled
programs, so their results are equal to the last bit. A law holds them to it.
"""

import dataclasses
from collections.abc import Sequence

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


def bring_up_to_date(programs: AgentPrograms, sessions: Sequence[tuple[Record, Memories]]) -> None:
    """Folds what is new in the records into the memories, and forgets the steps that are settled.

    Args:
      programs: of the agent; all sessions are computed together.
      sessions: each at most once.
    """
    first: list[tuple[Memories, np.ndarray]] = []  # memories to start from, and what each becomes
    jobs: list[Fold] = []
    second: list[tuple[Record, Memories, list[tuple[int, int]], int | None]] = []
    for record, memories in sessions:
        wanted = record.chunks()
        done = len(memories.folded)
        appends, until = wanted[:done] == memories.folded, record.settled()
        if appends and len(wanted) == done and (until == record.first or _behind(record, wanted, until)):
            continue
        row = len(first)
        if appends:
            first.append((memories, memories.working))
            jobs += _jobs(record, wanted[done:], row)
            second.append((record, memories, [], until if not _behind(record, wanted, until) else None))
        else:
            first.append((memories, memories.settled))
            jobs += _jobs(record, _before(record, wanted, until), row)
            second.append((record, memories, _behind(record, wanted, until), until))
        memories.folded = wanted
    if not first:
        return
    keys = np.stack([memories.key for memories, _ in first])
    settled = programs.fold(np.stack([row for _, row in first]), keys, jobs)
    rest = [job for row, (record, _, chunks, _) in enumerate(second) for job in _jobs(record, chunks, row)]
    working = programs.fold(settled, keys, rest) if rest else settled
    for row, (record, memories, _, forgotten) in enumerate(second):
        memories.working = working[row].copy()
        if forgotten is not None:
            memories.settled = settled[row].copy()
            record.forget(forgotten)
            memories.folded = _behind(record, memories.folded, forgotten)


def _jobs(record: Record, chunks: list[tuple[int, int]], row: int) -> list[Fold]:
    return [Fold(row, chunk, record.chunk(chunk)) for chunk, _ in chunks]


def _before(record: Record, chunks: list[tuple[int, int]], slot: int) -> list[tuple[int, int]]:
    return [one for one in chunks if one[0] * record.cadence < slot]


def _behind(record: Record, chunks: list[tuple[int, int]], slot: int) -> list[tuple[int, int]]:
    return [one for one in chunks if one[0] * record.cadence >= slot]
