"""What was measured of one agent, wherever it is stored: in its bundle, in the evaluations of its run, in rows of the bench.

Nothing is measured here. A result is taken only if it is of the parameters of this bundle: a row of the bench names their
digest, and an evaluation in the folder of a run must have the return that the bundle has noted for it.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.evaluation.bench.rows import Group, load_groups
from quickstudy.evaluation.bench.stored import Measurement, Stored, load, result_path
from quickstudy.evaluation.results import Evaluation
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.storage.card import FILE
from quickstudy.storage.plain import from_plain
from quickstudy.storage.reading import is_file

RETURN = "lifetime return"
_ROUNDING = 2e-6
"""Relative; stored numbers keep six digits or more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opposed:
    """A baseline, or another agent, on the same tasks with common random numbers.

    Args:
      name: of it.
      value: of the measure.
      difference: of the agent's value minus this one, task by task; None if the two were not compared.
      outcome: `"win"`, `"tie"` or `"loss"`, seen from the agent; None if the two were not compared.
      is_bound: no agent that must find out the task can do better, as an exact optimum.
    """

    name: str
    value: Estimate
    difference: Estimate | None
    outcome: str | None
    is_bound: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredResult:
    """The agent on one list of tasks.

    Args:
      distribution: of the tasks, its name.
      settings: of the distribution.
      split: that the tasks were drawn from.
      tasks: how many.
      task_hash: SHA-256 of the task list.
      measure: `"lifetime return"`, or `"regret"`, which is better if it is lower.
      value: of the agent.
      seeds: training runs that the value is of; None where that is not stored.
      opponents: the best first.
      command: that measures it again.
      source: where it is stored, for people.
    """

    distribution: str
    settings: Mapping[str, Any]
    split: str
    tasks: int
    task_hash: str
    measure: str
    value: Estimate
    seeds: int | None
    opponents: tuple[Opposed, ...]
    command: str
    source: str

    def of(self, outcome: str) -> list[Opposed]:
        """The opponents with one outcome."""
        return [one for one in self.opponents if one.outcome == outcome]


def measured_results(
    bundle: Path, card: Mapping[str, Any], *, rows: Sequence[tuple[Stored, Group]] = ()
) -> tuple[MeasuredResult, ...]:
    """Every stored result of an agent, those on its training distribution first; of one task list that with most opponents.

    Args:
      bundle: its folder. The folder above it may be that of its run.
      card: of the bundle.
      rows: of the bench that hold results of this agent, as `rows_of` gives them.
    Raises:
      UsageError: a number that is not finite, or two stored results on the same tasks that differ.
    """
    found: dict[tuple, MeasuredResult] = {}
    ours = (*_of_rows(card, rows), *_of_run(bundle.parent, card), *_of_bundle(bundle, card))
    for one in ours:
        _check_numbers(one)
        settings = sorted((name, str(value)) for name, value in one.settings.items())
        key = (one.distribution, tuple(settings), one.split, one.task_hash, one.measure)
        other = found.setdefault(key, one)
        if not _same(other.value, one.value):
            raise UsageError(
                f"{other.source} and {one.source} have different results of this agent on the same tasks "
                f"({one.distribution}, split {one.split}): {other.value.value} and {one.value.value}. Measure the agent again."
            )
        if len(one.opponents) > len(other.opponents):
            found[key] = one
    trained_on = card["distribution"]
    at_home = lambda one: (one.distribution, dict(one.settings)) == (trained_on["name"], dict(trained_on["config"]))  # noqa: E731
    noted = {(one.split, one.task_hash) for one in found.values() if one.opponents and at_home(one)}
    kept = [one for one in found.values() if one.opponents or (one.split, one.task_hash) not in noted]
    return tuple(sorted(kept, key=lambda one: (not at_home(one), one.split != "test", one.split, one.source)))


def rows_of(checkout: Path, parameters_sha256: str) -> list[tuple[Stored, Group]]:
    """The stored results of the bench, below a checkout, that hold this agent, each with its group.

    Raises:
      UsageError: a stored result that was altered, or measured for another definition of its row.
    """
    found = []
    for group in load_groups():
        for entry in group.entries:
            path = result_path(checkout, entry.name)
            if is_file(path) and parameters_sha256 in path.read_text(encoding="utf-8"):
                stored = load(checkout, entry)
                if stored is not None:
                    found.append((stored, group))
    return found


def checkout_above(path: Path) -> Path | None:
    """The nearest folder above a bundle that holds `results/rows`; None if there is none."""
    above = path.resolve().parents
    return next((folder for folder in above if (folder / "results" / "rows").is_dir()), None)


def _of_rows(card: Mapping[str, Any], rows: Sequence[tuple[Stored, Group]]) -> Iterator[MeasuredResult]:
    for stored, group in rows:
        for one in stored.measurements:
            for name, agent in one.agents.items():
                if agent.parameters_sha256 == card["parameters_sha256"]:
                    yield MeasuredResult(
                        distribution=one.distribution,
                        settings=one.settings,
                        split=one.split,
                        tasks=one.tasks,
                        task_hash=one.task_hash,
                        measure=stored.measure,
                        value=agent.value,
                        seeds=agent.seeds,
                        opponents=_opponents(one, name, stored.measure, group.bounds),
                        command=stored.command,
                        source=f"results/rows/{stored.name}.json",
                    )


def _opponents(one: Measurement, agent: str, measure: str, bounds: Sequence[str]) -> tuple[Opposed, ...]:
    sign = -1.0 if measure == "regret" else 1.0  # a stored difference is always one of returns
    found = [
        Opposed(
            name=name,
            value=other.value,
            difference=_times(other.differences[agent], sign) if agent in other.differences else None,
            outcome=other.outcomes.get(agent),
            is_bound=name in bounds,
        )
        for name, other in one.opponents.items()
    ]
    return tuple(sorted(found, key=lambda other: -sign * (other.value.value or 0.0)))


def _times(estimate: Estimate, sign: float) -> Estimate:
    if sign > 0:
        return estimate
    value, low, high = (None if x is None else -x for x in (estimate.value, estimate.high, estimate.low))
    return Estimate(value=value, low=low, high=high)


def _of_run(folder: Path, card: Mapping[str, Any]) -> Iterator[MeasuredResult]:
    """The evaluations in the folder of a run that the bundle has noted."""
    if not (is_file(folder / "run.json") and (folder / "bundle" / FILE).is_file()):
        return
    for path in sorted(folder.glob("evaluation-*.json")):
        evaluation = Evaluation.load(path)
        noted = card["results"].get(evaluation.split, {})
        name = _noted_name(evaluation, noted)
        if name is not None:
            yield _of_evaluation(evaluation, name, path)


def _noted_name(evaluation: Evaluation, noted: Mapping[str, Any]) -> str | None:
    """The contender of an evaluation that a bundle's note is of; None if the evaluation is of other agents or tasks."""
    if noted.get("task_hash") != evaluation.task_hash:
        return None
    value = from_plain(Estimate, noted.get("lifetime_return"), where="the result of the bundle")
    for name, result in evaluation.results.items():
        if result.trained and result.control is None and _same(result.lifetime_return, value):
            return name
    return None


def _of_evaluation(evaluation: Evaluation, name: str, path: Path) -> MeasuredResult:
    opponents, bounds = [], {name for group in load_groups() for name in group.bounds}
    for other, result in evaluation.results.items():
        comparison = evaluation.compare(name, other) if other != name else None
        if other != name:
            opponents.append(
                Opposed(
                    name=other,
                    value=result.lifetime_return,
                    difference=None if comparison is None else comparison.difference,
                    outcome=None if comparison is None else comparison.outcome,
                    is_bound=other in bounds,
                )
            )
    return MeasuredResult(
        distribution=evaluation.distribution["name"],
        settings=evaluation.distribution["config"],
        split=evaluation.split,
        tasks=evaluation.tasks,
        task_hash=evaluation.task_hash,
        measure=RETURN,
        value=evaluation.results[name].lifetime_return,
        seeds=evaluation.results[name].seeds,
        opponents=tuple(sorted(opponents, key=lambda one: -(one.value.value or 0.0))),
        command=evaluation.command,
        source=path.name,
    )


def _of_bundle(bundle: Path, card: Mapping[str, Any]) -> Iterator[MeasuredResult]:
    """What the bundle itself has noted: the return of the agent, without opponents."""
    for split, noted in card["results"].items():
        where = f"{bundle / FILE}: the result on {split}"
        tasks, task_hash = noted.get("tasks"), noted.get("task_hash")
        if type(tasks) is not int or not isinstance(task_hash, str):
            raise UsageError(f"{where} must hold tasks and task_hash; came {tasks!r:.40} and {task_hash!r:.80}. Measure again.")
        yield MeasuredResult(
            distribution=card["distribution"]["name"],
            settings=card["distribution"]["config"],
            split=split,
            tasks=tasks,
            task_hash=task_hash,
            measure=RETURN,
            value=from_plain(Estimate, noted.get("lifetime_return"), where=where),
            seeds=None,
            opponents=(),
            command=str(noted.get("command") or ""),
            source=FILE,
        )


def _same(first: Estimate, second: Estimate) -> bool:
    """Whether two stored estimates are of one measurement; each may have been rounded when it was stored."""
    pairs = ((getattr(first, part), getattr(second, part)) for part in ("value", "low", "high"))
    return all(
        one == other or (one is not None and other is not None and math.isclose(one, other, rel_tol=_ROUNDING))
        for one, other in pairs
    )


def _check_numbers(one: MeasuredResult) -> None:
    """Raises UsageError for a result that holds a number that is not finite, or none where one must be."""
    estimates = {"the agent": one.value}
    estimates |= {other.name: other.value for other in one.opponents}
    estimates |= {f"the difference from {o.name}": o.difference for o in one.opponents if o.difference is not None}
    for name, estimate in estimates.items():
        for part in ("value", "low", "high"):
            number = getattr(estimate, part)
            if number is None or not math.isfinite(number):
                raise UsageError(
                    f"{one.source}, split {one.split}: the {part} of {name} is {number}, and a card states finite numbers "
                    "only. Find out why the return is not finite, and measure the agent again."
                )
