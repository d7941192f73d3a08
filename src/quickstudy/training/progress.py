"""The state of a run, for people who watch it."""

import dataclasses
from typing import Any

from quickstudy.training.budget import Schedule
from quickstudy.training.record import RunRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """The state of a run after an update, for people who watch it.

    Args:
      update: the number of updates so far.
      updates: the number of updates in all; None until a budget in time was turned into it.
      steps: environment steps per seed so far.
      seconds_per_update: mean duration of the newest updates.
      steps_per_second: over all seeds, in the newest updates.
      seconds: the time that the run has taken.
      seconds_left: the time of the updates that are left; None where their number is not known.
      spent: seconds by activity.
      metrics: the newest line of the metrics file.
      evaluations: steps and held-out returns over seeds, for every evaluation during training so far.
    """

    update: int
    updates: int | None
    steps: int
    seconds_per_update: float
    steps_per_second: float
    seconds: float
    seconds_left: float | None
    spent: dict[str, float]
    metrics: dict[str, Any]
    evaluations: list[tuple[int, list[float]]]


def progress_of(
    record: RunRecord, schedule: Schedule, *, seconds_per_update: float, spent: dict[str, float], seeds: int
) -> Progress:
    """The state of the run after the newest update.

    Args:
      record: whose newest line of metrics is that update's.
      schedule: knows the number of updates.
      seconds_per_update: the mean duration of the newest updates.
      spent: seconds by activity.
      seeds: the number of seeds that are trained side by side.
    """
    line = record.metrics[-1]
    left = None if schedule.updates is None else (schedule.updates - line["update"]) * seconds_per_update
    return Progress(
        update=line["update"],
        updates=schedule.updates,
        steps=line["steps"],
        seconds_per_update=seconds_per_update,
        steps_per_second=seeds * line["steps"] / line["update"] / seconds_per_update,
        seconds=line["seconds"],
        seconds_left=left,
        spent=spent,
        metrics=line,
        evaluations=record.evaluations,
    )
