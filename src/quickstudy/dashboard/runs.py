"""Runs as the dashboard lists and compares them, from their folders alone: nothing is asked of the process that trains."""

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from quickstudy.dashboard.kept import KeptFiles
from quickstudy.evaluation.training_runs import has_spent_its_budget, planned_updates
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import is_text
from quickstudy.storage.folder_lock import in_use
from quickstudy.storage.metrics_sample import SampledMetrics, evenly_chosen_lines, last_lines
from quickstudy.storage.run_description import read_description
from quickstudy.training.budget import parse_budget

State = Literal["running", "finished", "interrupted", "on another machine", "damaged"]
MEASURES = {"held_out_return": "held-out return", "train_return": "training return"}
"""Measures that curves show, by their name in the file of metrics. Both are returns of a lifetime."""
MOST_RUNS = 1000
_DEPTH = 3
_RECENT_LINES = 20
_STALLED_SECONDS = 600.0
_LARGEST = 1e100


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunState:
    """A run in a list.

    Args:
      name: path of its folder below the folder of runs.
      folder: of the run.
      state: what it does now.
      algorithm: its name.
      distribution: name of its tasks.
      tasks: names the tasks with all their settings and lengths; returns of two runs may be compared if it is equal.
      seeds: training seeds.
      steps: environment steps of each seed.
      steps_per_second: over all seeds, in the newest updates; None where unknown.
      seconds: that the run has taken, compiling included.
      seconds_left: None where it is not running or unknown.
      held_out_return: mean over seeds of the newest evaluation among the newest lines, reward units.
      changed: when its metrics were last written, in seconds since 1970.
      alerts: sentences about what a person should look at.
    """

    name: str
    folder: Path
    state: State
    algorithm: str = ""
    distribution: str = ""
    tasks: str = ""
    seeds: int = 0
    steps: int = 0
    steps_per_second: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    held_out_return: float | None = None
    changed: float = 0.0
    alerts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunCurve:
    """A measure of one run: `steps` of each seed at each line, and `values` of every seed, in reward units."""

    steps: Float[np.ndarray, " lines"]
    values: Float[np.ndarray, "lines seeds"]


class Runs:
    """The runs below a folder. What was read of a file is kept until the file changes.

    Args:
      folder: that holds runs, or folders with runs.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._files = KeptFiles(4 * MOST_RUNS)

    def names(self) -> list[str]:
        """Paths of the run folders below the folder, at most three folders deep, in alphabetical order; `.` is itself."""
        own = ["."] if (self.folder / "run.json").is_file() else []
        return sorted(own + _runs_below(self.folder, "", _DEPTH))[:MOST_RUNS]

    def folder_of(self, name: str) -> Path:
        """The folder of a run.

        Raises:
          UsageError: there is no such run.
        """
        if name not in self.names():
            raise UsageError(f"there is no run {name!r:.120} in {self.folder}. The page of runs lists those that there are.")
        return self.folder / name

    def states(self) -> list[RunState]:
        """All runs, those that changed last first."""
        return sorted(map(self.state, self.names()), key=lambda one: -one.changed)

    def state(self, name: str) -> RunState:
        """One run as it is now; `name` must be one of `names`."""
        folder = self.folder / name
        try:
            description = self._files.read(folder / "run.json", read_description, folder)
            return _state_of(name, folder, description, self._files)
        except (UsageError, OSError) as error:
            return RunState(name=name, folder=folder, state="damaged", alerts=(str(error),), changed=_changed(folder))

    def description(self, name: str) -> dict[str, Any]:
        """The content of a run's `run.json`.

        Raises:
          UsageError: it is damaged, or there is no such run.
        """
        return read_description(self.folder_of(name))

    def curve(self, name: str, measure: str, *, most: int) -> RunCurve:
        """A measure of a run along its training, from at most so many lines of its file of metrics."""
        path = self.folder / name / "metrics.jsonl"
        return self._files.read(path, _curve_of, path, measure, most)


def comparable(states: Sequence[RunState]) -> list[list[RunState]]:
    """Runs in groups of the same tasks, the largest group first: only their returns can be compared."""
    groups: dict[str, list[RunState]] = {}
    for state in states:
        if state.state != "damaged":
            groups.setdefault(state.tasks, []).append(state)
    return sorted(groups.values(), key=lambda group: -len(group))


def binned(curves: Sequence[RunCurve], *, bins: int) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, "bins curves"]]:
    """Curves on one axis: the mean over seeds and lines in equal bins of steps, NaN where a curve has no line.

    Args:
      curves: of the same measure.
      bins: how many there are, up to the largest number of steps.
    Returns:
      The mean steps of the lines in each bin that has lines, and the means.
    """
    largest = max((float(curve.steps[-1]) for curve in curves if len(curve.steps)), default=0.0)
    edges = np.linspace(0.0, largest, bins + 1)[1:]
    means, steps, lines = np.full((bins, len(curves)), np.nan), np.zeros(bins), np.zeros(bins)
    for place, curve in enumerate(curves):
        if len(curve.steps):
            at = np.minimum(np.searchsorted(edges, curve.steps), bins - 1)
            counts = np.bincount(at, minlength=bins)
            sums = np.bincount(at, weights=curve.values.mean(axis=1), minlength=bins)
            means[counts > 0, place] = sums[counts > 0] / counts[counts > 0]
            steps += np.bincount(at, weights=curve.steps, minlength=bins)
            lines += counts
    filled = lines > 0
    return steps[filled] / lines[filled], means[filled]


def _state_of(name: str, folder: Path, description: Mapping[str, Any], files: KeptFiles) -> RunState:
    path = folder / "metrics.jsonl"
    sample = files.read(path, _newest_lines, path)
    lines = [line for line in sample.lines if all(_is_number(line.get(key)) for key in ("steps", "seconds"))]
    algorithm, distribution, training = (_part(description, part) for part in ("algorithm", "distribution", "training"))
    last = lines[-1] if lines else {"update": 0, "steps": 0, "seconds": 0.0}
    given = training.get("seeds")
    seeds = given if type(given) is int else 0
    recent = lines[-_RECENT_LINES:]
    steps, seconds = (recent[-1][key] - recent[0][key] if recent else 0 for key in ("steps", "seconds"))
    speed = seeds * steps / seconds if steps > 0 and seconds > 0 else None
    running, changed = in_use(folder), _changed(path if path.exists() else folder / "run.json")
    state: State = "finished"
    if running:
        state = "running"
    elif running is None:
        state = "on another machine"
    elif not ((folder / "bundle" / "bundle.json").is_file() or has_spent_its_budget(folder)):
        state = "interrupted"
    returns = [line["held_out_return"] for line in lines if _are_numbers(line.get("held_out_return"))]
    each = seconds / max(1, recent[-1]["update"] - recent[0]["update"]) if len(recent) > 1 else None
    return RunState(
        name=name,
        folder=folder,
        state=state,
        algorithm=str(algorithm.get("name", "unknown")),
        distribution=str(distribution.get("name", "unknown")),
        tasks=json.dumps([distribution, description.get("spec")], sort_keys=True),
        seeds=seeds,
        steps=int(last["steps"]),
        steps_per_second=speed,
        seconds=last["seconds"],
        seconds_left=_left(folder, training, last, each) if state == "running" else None,
        held_out_return=float(np.mean(returns[-1])) if returns else None,
        changed=changed,
        alerts=tuple(_alerts(state, lines, sample.damaged, changed)),
    )


def _newest_lines(path: Path) -> SampledMetrics:
    return last_lines(path, most=_RECENT_LINES, holding='"held_out_return"')


def _left(folder: Path, training: Mapping[str, Any], last: Mapping[str, Any], each: float | None) -> float | None:
    """Seconds until the budget is spent, at the speed of the newest updates."""
    try:
        seconds, steps = parse_budget(str(training.get("budget", "")))
    except UsageError:
        return None
    if each is not None and last["update"] > 0:
        _, planned = planned_updates(folder)
        if planned is None and steps is not None:
            planned = -(-steps * last["update"] // max(1, last["steps"]))
        if planned is not None:
            return max(0, planned - last["update"]) * each
    return None if seconds is None else max(0.0, seconds - last["seconds"])


def _alerts(state: State, lines: Sequence[Mapping[str, Any]], damaged: int, changed: float) -> list[str]:
    said = []
    if state == "running" and lines and time.time() - changed > _STALLED_SECONDS:
        said.append(f"No update for {(time.time() - changed) / 60:.0f} minutes.")
    if state == "interrupted":
        said.append("It ended before its budget was spent. Go on with --resume.")
    for name, words in (("nonfinite_steps", "steps that are not finite"), ("lost", "lost lifetimes")):
        if any(_are_numbers(line.get(name)) and sum(line[name]) > 0 for line in lines):
            said.append(f"The newest updates have {words}.")
    if damaged:
        said.append("The newest lines of metrics.jsonl are damaged.")
    return said


def _curve_of(path: Path, measure: str, most: int) -> RunCurve:
    lines = evenly_chosen_lines(path, most=most, names=("steps", measure)).lines
    rows = [
        (line["steps"], line[measure]) for line in lines if _is_number(line.get("steps")) and _are_numbers(line.get(measure))
    ]
    seeds = len(rows[0][1]) if rows else 0
    rows = [row for row in rows if len(row[1]) == seeds]
    values = np.asarray([row[1] for row in rows], float).reshape(len(rows), seeds)
    return RunCurve(steps=np.asarray([row[0] for row in rows], float), values=values)


def _runs_below(folder: Path, prefix: str, depth: int) -> list[str]:
    try:
        inner = [one for one in os.scandir(folder) if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return []
    found = []
    for one in inner:
        name = f"{prefix}{one.name}"
        if not is_text(name):
            continue
        if (folder / one.name / "run.json").is_file():
            found.append(name)
        elif depth > 1:
            found += _runs_below(folder / one.name, f"{name}/", depth - 1)
    return found


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _part(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = tree.get(name)
    return part if isinstance(part, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(map(_is_number, values))
