"""A run folder, written to a tracker: all at once, or as the run trains."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from quickstudy.adapters.trackers.tracked_run import (
    Point,
    evaluations_of,
    points_of,
    run_folder,
    seeds_of,
    series_of,
    tracked_run,
)
from quickstudy.adapters.trackers.tracker import Tracker, check_word
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.folder_lock import in_use
from quickstudy.storage.metrics_tail import MetricsTail

TRACKERS = {
    "tensorboard": "quickstudy.adapters.trackers.tensorboard:open_tensorboard",
    "trackio": "quickstudy.adapters.trackers.trackio:open_trackio",
    "mlflow": "quickstudy.adapters.trackers.mlflow:open_mlflow",
    "wandb": "quickstudy.adapters.trackers.wandb:open_wandb",
}
"""Trackers by name, and what opens each. A tracker is imported when it is asked for."""
_ADDRESSES = {
    "tensorboard": "tracked/tensorboard",
    "trackio": "tracked/trackio",
    "mlflow": "sqlite:///tracked/mlflow.db",
    "wandb": "tracked/wandb",
}
_LINES_AT_ONCE = 500
_PAUSE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracked:
    """What was written to a tracker.

    Args:
      points: how many are new there; a point holds all values of one series at one step.
      series: names of the series of the run that have points there.
      damaged: lines of `metrics.jsonl` that were left out.
      where: the place, in words.
      shown_by: the command that shows it.
    """

    points: int
    series: tuple[str, ...]
    damaged: int
    where: str
    shown_by: str


def track(
    folder: str | Path,
    *,
    to: str,
    address: str | None = None,
    name: str | None = None,
    project: str = "quickstudy",
    follow: bool = False,
    begins: Callable[[Tracker], None] = lambda tracker: None,
) -> Tracked:
    """Writes the metrics and the evaluations of a run to a tracker. Points that it holds already are not written again.

    Args:
      folder: of the run.
      to: name of the tracker, one of `TRACKERS`.
      address: folder of the tracker, or address of its database; `tracked/` in the working folder if None.
      name: of the run in the tracker; that of its folder if None.
      project: that the tracker groups runs by, where it does.
      follow: wait for new lines until the run ends.
      begins: called once the tracker is open.
    Returns:
      What was written.
    Raises:
      UnknownNameError: there is no such tracker.
      MissingExtraError: its package is not installed.
      UsageError: the folder holds no run or no metrics yet, the address does not fit, or another run has the name.
    Example:
      >>> track("runs/rl2-bernoulli-bandit", to="tensorboard", address="tracked/tensorboard")
    """
    if to not in TRACKERS:
        raise UnknownNameError("tracker", to, TRACKERS)
    check_word(project, flag="--project")
    if name is not None:
        check_word(name, flag="--name", parts=True)
    place = run_folder(folder)
    module, _, function = TRACKERS[to].partition(":")
    opened = getattr(import_module(module), function)
    tail = MetricsTail(place / "metrics.jsonl")
    batches = _batches(place, tail, follow=follow)
    first = next(batches, [])
    if not first:
        raise UsageError(f"{place} has no metrics yet. Wait for its first update, or give --follow.")
    run, seeds = tracked_run(place, first[0], name=name, project=project), seeds_of(first[0])
    check_word(run.name, flag="--name", parts=True)
    with closing(opened(run, _ADDRESSES[to] if address is None else address)) as tracker:
        begins(tracker)
        steps = {series: tracker.last_step(series) for series in series_of(seeds)}
        points, seconds = 0, 0.0
        for lines in chain([first], batches):
            found = points_of(lines, seeds=seeds)
            points += _write(tracker, found, steps)
            seconds = max([seconds, *(point.seconds for point in found["seed-0"])])
        if not in_use(place):
            points += _write_evaluations(tracker, place, seconds, steps)
    series = tuple(sorted(one for one, step in steps.items() if step >= 0))
    return Tracked(points=points, series=series, damaged=tail.damaged, where=tracker.where, shown_by=tracker.shown_by)


def _batches(place: Path, tail: MetricsTail, *, follow: bool) -> Iterator[list[dict[str, Any]]]:
    """The lines of a run, some at a time; where it is followed, until it ends."""
    while True:
        over = not follow or _has_ended(place)  # looked at before the lines, so that none is missed
        lines = tail.new_lines()
        yield from (lines[start : start + _LINES_AT_ONCE] for start in range(0, len(lines), _LINES_AT_ONCE))
        if over:
            return
        if not lines:
            time.sleep(_PAUSE_SECONDS)


def _has_ended(place: Path) -> bool:
    """Whether no process writes to a run any more. From another host, the bundle tells it."""
    running = in_use(place)
    return (place / "bundle" / "bundle.json").is_file() if running is None else not running


def _write(tracker: Tracker, found: Mapping[str, Sequence[Point]], steps: dict[str, int]) -> int:
    """Writes the points that lie above the last steps, and brings the last steps up to date; how many they were."""
    count = 0
    for series, points in found.items():
        new = [point for point in points if point.step > steps[series] and point.values]
        if new:
            tracker.write(series, new)
            steps[series] = new[-1].step
            count += len(new)
    return count


def _write_evaluations(tracker: Tracker, place: Path, seconds: float, steps: dict[str, int]) -> int:
    """Writes what was evaluated after the training, at its last step."""
    count = 0
    for series, point in evaluations_of(place, step=max(steps["seed-0"], 0), seconds=seconds):
        steps[series] = tracker.last_step(series)
        count += _write(tracker, {series: [point]}, steps)
    return count
