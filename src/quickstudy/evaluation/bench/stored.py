"""Results of the bench: one JSON file for each row or matrix, with a digest of its own content.

A file that was edited is refused, so that no number is typed by hand.
"""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.evaluation.bench.rows import Matrix, Row, agents_of, columns_of
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, from_plain, read_object, to_document, to_plain

FORMAT = 1

DIGITS = 7
"""Significant digits that stored numbers keep."""

FIRST_TASKS = 256
"""Tasks of the quick check: the first of the list."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """An agent on one list of tasks.

    Args:
      bundle: the row whose bundle holds it.
      parameters_sha256: of the bundle's parameters.
      seeds: independent training runs.
      value: of the row's measure, over seeds and tasks.
      by_seed: the mean over tasks for each seed.
      first_tasks: of the measure, on the first `FIRST_TASKS` tasks by themselves.
    """

    bundle: str
    parameters_sha256: str
    seeds: int
    value: Estimate
    by_seed: tuple[float, ...]
    first_tasks: Estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opponent:
    """A baseline on the same tasks with common random numbers.

    Args:
      value: of the row's measure.
      differences: agent -> mean lifetime return of the agent minus the opponent's, task by task.
      outcomes: agent -> how the agent compares with it: `"win"`, `"tie"` or `"loss"`.
    """

    value: Estimate
    differences: Mapping[str, Estimate]
    outcomes: Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """Agents and opponents on one list of tasks.

    Args:
      title: of the row, or of the matrix's column.
      distribution: its name.
      settings: of the distribution, all of them.
      split: that the tasks were drawn from.
      tasks: how many.
      seed: of the tasks and the lifetimes' keys.
      task_hash: SHA-256 of the task list.
      lifetime_steps: slots in one lifetime.
      agents: by the name that the page shows.
      opponents: the baselines, by name.
      verdict: the summary of the evaluation, in sentences.
    """

    title: str
    distribution: str
    settings: Mapping[str, Any]
    split: str
    tasks: int
    seed: int
    task_hash: str
    lifetime_steps: int
    agents: Mapping[str, Measured]
    opponents: Mapping[str, Opponent]
    verdict: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """The record of an agent's training.

    Args:
      command: that trains it again.
      seeds: independent training runs.
      budget: of each seed; this and the next three are None where only the bundle of the run is left.
      steps: environment steps of each.
      seconds: wall-clock of all of them together, compilation and evaluations included.
      machine: that it was trained on.
      algorithm: `name` and `config`, all of it.
      versions: of what a result may depend on.
      curve: environment steps, and the mean held-out return over seeds at that point.
    """

    command: str
    seeds: int
    budget: str | None
    steps: int | None
    seconds: float | None
    machine: Mapping[str, Any] | None
    algorithm: Mapping[str, Any]
    versions: Mapping[str, str]
    curve: tuple[tuple[int, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored:
    """The result of a row or of a matrix.

    Args:
      name: of the row or matrix.
      measure: that the values are of.
      measurements: one for a row, one per column for a matrix.
      command: that measures it again.
      seconds: wall-clock of the measuring, baselines included.
      machine: that it was measured on.
      versions: of what a result may depend on.
      training: the record of the agent's training; None for a matrix, and for a row that shares the agent of another.
    """

    name: str
    measure: str
    measurements: tuple[Measurement, ...]
    command: str
    seconds: float
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    training: Training | None

    def save(self, folder: Path) -> Path:
        """Writes the result below a checkout, whole or not at all, and gives its path."""
        content = to_document(self, version=FORMAT, digits=DIGITS)
        path = result_path(folder, self.name)
        write_atomically(path, json.dumps({**content, "digest": _digest(content)}, indent=1, ensure_ascii=False) + "\n")
        return path


def result_path(folder: Path, name: str) -> Path:
    """Where the result of a row lies below a checkout."""
    return folder / "results" / "rows" / f"{name}.json"


def bundle_path(folder: Path, name: str) -> Path:
    """Where the bundle of a row lies below a checkout."""
    return folder / "bundles" / name


def processor() -> str:
    """The model of the processor, from the platform."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), "") or platform.processor() or platform.machine()


def load(folder: Path, entry: Row | Matrix) -> Stored | None:
    """The stored result of a row or matrix; None if it was not run.

    Raises:
      UsageError: it was altered, or measured for another definition of the row; says what to do.
    """
    path = result_path(folder, entry.name)
    if not path.is_file():
        return None
    again = f"Measure again: quickstudy bench run {entry.name} --evaluate-only"
    try:
        content = read_object(path, what="bench result")
    except UsageError as error:
        raise UsageError(f"{error} {again}") from error
    digest = content.pop("digest", None)
    if content.get("format") == FORMAT and digest != _digest(content):
        raise UsageError(f"{path} is not as it was measured: its digest differs. {again}")
    stored = from_document(Stored, content, version=FORMAT, what=f"bench result {path}", remedy=again)
    differing = _differing(entry, stored)
    if differing:
        raise UsageError(f"{path} was measured for another definition of {entry.name}: {'; '.join(differing)}. {again}")
    return stored


def kept_training(folder: Path, name: str, parameters_sha256: str) -> Training | None:
    """The record of an agent's training, from the stored result of its row; None if that is of other parameters.

    Other changes of the row's definition make no difference.
    """
    try:
        content = read_object(result_path(folder, name), what="bench result")
        if content.pop("digest", None) != _digest(content):
            return None
        stored = from_document(Stored, content, version=FORMAT, what="bench result", remedy="")
    except UsageError:
        return None
    measured = [agent.parameters_sha256 for one in stored.measurements for agent in one.agents.values()]
    return stored.training if parameters_sha256 in measured else None


def rounded(estimate: Estimate) -> Estimate:
    """An estimate as it comes back from disk."""
    return from_plain(Estimate, to_plain(estimate, digits=DIGITS))


def _differing(entry: Row | Matrix, stored: Stored) -> list[str]:
    """In words, what of a row's definition a result was not measured for."""
    columns, agents = columns_of(entry), agents_of(entry)
    found = [f"{name} was {was}, now {now}" for name, was, now in (
        ("measure", stored.measure, entry.measure),
        ("number of columns", len(stored.measurements), len(columns)),
    ) if was != now]  # fmt: skip
    for column, measurement in zip(columns, stored.measurements, strict=False):
        settings = {name: measurement.settings.get(name) for name in column.settings}
        measured = tuple(agent.bundle for agent in measurement.agents.values())
        found += [f"{name} was {was}, now {now}" for name, was, now in (
            ("distribution", measurement.distribution, column.distribution),
            ("settings", settings, dict(column.settings)),
            ("split", measurement.split, column.split),
            ("tasks", measurement.tasks, entry.tasks),
            ("agents", list(measured), list(agents)),
        ) if was != now]  # fmt: skip
    return found


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
