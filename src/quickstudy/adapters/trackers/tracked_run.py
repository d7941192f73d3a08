"""What a tracker is given of a run: its name, its settings, and points of several series.

A run of S training seeds has S series, `seed-0` to `seed-(S-1)`. With two seeds or more it also has the series `mean`, their
mean. Each split that was evaluated is a series with one point, such as `evaluation-test`.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.errors import UsageError
from quickstudy.storage.run_description import read_description

MEAN = "mean"
_EVALUATIONS = "evaluation-*.json"
_LARGEST = 1e100
_OF_ALL_SEEDS = ("update", "seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """Values of one series at one step.

    Args:
      step: environment steps of each seed so far.
      seconds: that the run had taken by then.
      values: by name, all finite; returns in reward units, all others as in `metrics.jsonl`.
    """

    step: int
    seconds: float
    values: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as trackers know it.

    Args:
      name: of the run in the tracker.
      project: that the tracker groups runs by, where it does.
      identity: two runs have different ones, also where one took the place of the other in a folder.
      settings: of the algorithm, the tasks and the training, and versions, by flat name.
      began: when the run began, in seconds since 1970, about.
    """

    name: str
    project: str
    identity: str
    settings: Mapping[str, str]
    began: float


def run_folder(folder: str | Path) -> Path:
    """The folder of a run; the bundle in it stands for the run.

    Raises:
      UsageError: there is no such folder, or it holds no run.
    """
    given = Path(folder)
    place = given.parent if given.name == "bundle" and (given.parent / "run.json").is_file() else given
    if not place.is_dir():
        raise UsageError(f"there is no folder {str(place)!r:.300}. Name the folder of a run, as in runs/rl2-bernoulli-bandit.")
    if not (place / "run.json").is_file():
        raise UsageError(f"{place} holds no run: it has no run.json. Name the folder of a run; a bundle alone has no metrics.")
    return place


def tracked_run(folder: Path, first: Mapping[str, Any], *, name: str | None, project: str) -> TrackedRun:
    """The run in a folder.

    Args:
      folder: of the run.
      first: the first line of its metrics. Its times and losses tell one run from another.
      name: of the run in the tracker; that of the folder if None.
      project: that the run belongs to.
    Raises:
      UsageError: `run.json` is damaged.
    """
    description = read_description(folder)
    text = json.dumps(first, sort_keys=True)
    return TrackedRun(
        name=folder.resolve().name if name is None else name,
        project=project,
        identity=hashlib.sha256(text.encode()).hexdigest()[:12],
        settings=dict(_settings(description)),
        began=(folder / "run.json").stat().st_mtime,
    )


def points_of(lines: Sequence[Mapping[str, Any]], *, seeds: int) -> dict[str, list[Point]]:
    """The points of lines of metrics, by series. Numbers that are not finite are left out.

    Args:
      lines: of `metrics.jsonl`, oldest first. A line without steps and seconds is left out.
      seeds: of the run.
    """
    series: dict[str, list[Point]] = {name: [] for name in series_of(seeds)}
    for line in lines:
        if not (_is_number(line.get("steps")) and _is_number(line.get("seconds"))):
            continue
        shared = {name: float(line[name]) for name in _OF_ALL_SEEDS}
        lists = {name: value for name, value in line.items() if isinstance(value, list) and len(value) == seeds}
        step, seconds = int(line["steps"]), float(line["seconds"])
        for seed in range(seeds):
            own = {name: float(value[seed]) for name, value in lists.items() if _is_number(value[seed])}
            series[f"seed-{seed}"].append(Point(step=step, seconds=seconds, values=shared | own))
        if seeds > 1:
            means = {name: math.fsum(value) / seeds for name, value in lists.items() if all(map(_is_number, value))}
            series[MEAN].append(Point(step=step, seconds=seconds, values=shared | means))
    return series


def series_of(seeds: int) -> list[str]:
    """Names of the series of a run with so many seeds."""
    return [*(f"seed-{seed}" for seed in range(seeds)), *([MEAN] if seeds > 1 else [])]


def seeds_of(line: Mapping[str, Any]) -> int:
    """Training seeds of a run, from a line of its metrics.

    Raises:
      UsageError: it has no lists over seeds, or they differ in length.
    """
    lengths = {len(value) for value in line.values() if isinstance(value, list)}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(f"line {line.get('update')} of metrics.jsonl must have lists of one length, one number for each seed.")
    return lengths.pop()


def evaluations_of(folder: Path, *, step: int, seconds: float) -> Iterator[tuple[str, Point]]:
    """What `quickstudy evaluate` has stored in the folder of a run: a series and its only point for each split.

    Args:
      folder: of the run.
      step: at the end of training.
      seconds: that training took.
    Raises:
      UsageError: a file that holds no evaluation.
    """
    for path in sorted(folder.glob(_EVALUATIONS)):
        evaluation = Evaluation.load(path)
        values: dict[str, float] = {}
        for contender, result in evaluation.results.items():
            for measure in ("lifetime_return", "normalised_score", "regret", "asymptote"):
                estimate = getattr(result, measure)
                if estimate is not None:
                    ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
                    values |= {f"{measure}{end}/{contender}": float(one) for end, one in ends.items() if _is_number(one)}
        yield path.stem, Point(step=step, seconds=seconds, values=values)


def other_run_error(name: str, where: str) -> UsageError:
    """Says that a tracker holds another run of this name."""
    return UsageError(
        f"{where} holds another run that is named {name!r:.120}. Give this one another name with --name, or write it "
        "elsewhere with --address."
    )


def _settings(description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in ("algorithm", "distribution", "training", "versions"):
        found = description.get(part)
        for name, value in found.items() if isinstance(found, Mapping) else ():
            if isinstance(value, Mapping):
                yield from ((f"{part}.{inner}", _text(one)) for inner, one in value.items())
            else:
                yield f"{part}.{name}", _text(value)
    if isinstance(description.get("command"), str):
        yield "command", description["command"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
