"""Evaluations that `quickstudy evaluate` has stored, and the raw returns beside them, as charts and tables need them."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import is_text
from quickstudy.storage.reading import RESULTS, read_file

Measure = Literal["return", "regret"]
_DEPTH = 4
_MOST_FOUND = 2000
_MOST_POINTS = 1000
_MOST_RAW_ROWS = 5_000_000
_COLUMNS = ("agent", "split", "task", "seed", "return")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptationCurve:
    """A contender along a lifetime. `kind`: a band over tasks around the median, or the mean with its 95 % interval.

    Args:
      name: of the contender.
      trained: meta-trained, in contrast to a baseline.
      steps: counted from 1.
      middle, low, high: of the return or the regret so far, reward units; None where no lifetime was going on.
    """

    name: str
    trained: bool
    kind: Literal["band", "interval"]
    steps: tuple[int, ...]
    middle: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorstTask:
    """A task on which an agent has a low return: `task` is its number in the list of its split.

    Args:
      task: from 0.
      own: mean return of a lifetime over seeds, reward units.
      best_name: the baseline with the highest return on the same task; empty where none was measured.
      best: that return.
    """

    task: int
    own: float
    best_name: str
    best: float | None


def folders_with_evaluations(root: Path) -> dict[str, list[str]]:
    """Splits that were measured, by the folder below a root; folders are at most four deep."""
    found: dict[str, list[str]] = {}
    for folder, inner, files in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        inner[:] = sorted(
            one
            for one in inner
            if is_text(one) and not one.startswith(".") and one not in ("checkpoints", "pictures", "bundle")
        )
        if len(parts) >= _DEPTH:
            inner.clear()
        names = sorted(one for one in files if one.startswith("evaluation-") and one.endswith(".json"))
        if names and len(found) < _MOST_FOUND:
            found["/".join(parts) or "."] = [name.removeprefix("evaluation-").removesuffix(".json") for name in names]
    return found


def adaptation_curves(evaluation: Evaluation, measure: Measure) -> list[AdaptationCurve]:
    """The contenders of an evaluation along a lifetime, trained ones first; controls are left out.

    Args:
      evaluation: that was stored.
      measure: the return, or the regret where it is known.
    """
    found = [_curve_of(name, one, measure) for name, one in evaluation.results.items() if one.control is None]
    return sorted((one for one in found if one is not None), key=lambda one: not one.trained)


def _curve_of(name: str, result: Result, measure: Measure) -> AdaptationCurve | None:
    band = result.return_band if measure == "return" else result.regret_band
    if band is not None:
        columns: tuple[tuple, ...] = (band.at, band.median, band.low, band.high)
    else:
        curve = result.cumulative_return if measure == "return" else result.cumulative_regret
        if curve is None:
            return None
        columns = (curve.at, curve.value, curve.low, curve.high)
    count = len(columns[0])
    chosen = range(count)
    if count > _MOST_POINTS:
        chosen = sorted(set(np.linspace(0, count - 1, _MOST_POINTS).round().astype(int).tolist()))  # type: ignore[assignment]
    steps, middle, low, high = (tuple(column[place] for place in chosen) for column in columns)
    kind: Literal["band", "interval"] = "interval" if band is None else "band"
    return AdaptationCurve(
        name=name, trained=result.trained, kind=kind, steps=steps, middle=middle, low=low, high=high
    )  # fmt: skip


def agent_of(evaluation: Evaluation) -> tuple[str, Result]:
    """The first trained contender that is no control, else the reference."""
    name = next((name for name, one in evaluation.results.items() if one.trained and one.control is None), evaluation.reference)
    return name, evaluation.results[name]


def raw_files(folder: Path) -> list[str]:
    """Names of the tables of raw returns in a folder: CSV files with the columns that `evaluate --raw` writes."""
    return sorted(path.name for path in folder.glob("*.csv") if _is_raw(path))


def worst_tasks(path: Path, *, split: str, agent: str, baselines: Sequence[str], most: int) -> list[WorstTask]:
    """The tasks on which an agent has its lowest returns, lowest first.

    Args:
      path: of a table of raw returns.
      split: of the tasks.
      agent: whose returns are looked at.
      baselines: that the returns are compared with.
      most: how many.
    Raises:
      UsageError: the table is damaged.
    """
    own = _returns_by_task(path, split, (agent, *baselines))
    if agent not in own:
        return []
    returns = own.pop(agent)
    order = np.argsort(np.where(np.isnan(returns), np.inf, returns), kind="stable")[:most]
    rows = []
    for task in order.tolist():
        others = {name: float(values[task]) for name, values in own.items() if task < len(values)}
        best = max(others, key=lambda name: others[name], default="")
        rows.append(WorstTask(task=task, own=float(returns[task]), best_name=best, best=others.get(best)))
    return rows


def _returns_by_task(path: Path, split: str, names: Sequence[str]) -> dict[str, Float[np.ndarray, " tasks"]]:
    """Lifetime returns of each contender on each task, as means over seeds: episodes are added up."""
    sums: dict[str, dict[int, float]] = {name: {} for name in names}
    seeds: dict[str, set[str]] = {name: set() for name in names}
    rows = csv.DictReader(read_file(path, what="raw returns", most_bytes=RESULTS.bytes).decode("utf-8", "replace").splitlines())
    try:
        for number, row in enumerate(rows):
            if number > _MOST_RAW_ROWS:
                raise UsageError(f"{path} has more than {_MOST_RAW_ROWS:,} rows. Evaluate fewer tasks with --raw.")
            name = row["agent"]
            if row["split"] == split and name in sums:
                task = int(row["task"])
                sums[name][task] = sums[name].get(task, 0.0) + float(row["return"])
                seeds[name].add(row["seed"])
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as raw returns: {error}. Evaluate again with --raw.") from None
    return {name: _as_array(of_task) / len(seeds[name]) for name, of_task in sums.items() if of_task}


def _as_array(of_task: dict[int, float]) -> Float[np.ndarray, " tasks"]:
    returns = np.full(max(of_task) + 1, np.nan)
    returns[list(of_task)] = list(of_task.values())
    return returns


def _is_raw(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header: list[Any] = file.readline(400).strip().split(",")
    except OSError:
        return False
    return set(_COLUMNS) <= set(header)
