"""Checks of results that were read from a file: whether their parts fit each other, so that they can be shown.

The types of all fields are checked before, by `storage.plain`. The records are in `results.py` and in
`adaptation_speed/results.py`. They import this file, so this file cannot import them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from quickstudy.protocol.descriptions import check_spec_description
from quickstudy.protocol.errors import SpecError, UsageError

MOST_CONTENDERS = 256
"""Contenders of one evaluation, and thresholds of one measurement of speed."""
LARGEST_NUMBER = 1e100
"""Of a return; charts cannot be drawn beyond."""


def check_evaluation(evaluation: Any) -> None:
    """Raises UsageError, naming the first fault, for an `Evaluation` that `evaluate` could not have given."""
    for fault in _faults(evaluation):
        raise UsageError(f"the evaluation: {fault} Evaluate again.")


def check_speed(found: Any) -> None:
    """Raises UsageError, naming the first fault, for an `AdaptationSpeed` that `adaptation_speed` could not have given."""
    for fault in _faults_of_speed(found):
        raise UsageError(f"the adaptation speed: {fault} Measure again.")


def _faults_of_speed(found: Any) -> Iterator[str]:
    yield from _faults_of_origin(found)
    if not 1 <= len(found.thresholds) <= MOST_CONTENDERS:
        yield f"it must have 1 to {MOST_CONTENDERS} thresholds; came {len(found.thresholds)}."
    for name in ("agent", "baseline", "shuffled"):
        side = getattr(found, name)
        if side is not None:
            if side.steps <= 0 or side.episodes < 1 or side.seeds < 1:
                yield f"{name} must have steps above zero, and 1 or more episodes and seeds."
            yield from (f"{name}: {fault}" for fault in _faults_of_curve("curve", side.curve))
            if side.curve.at and (side.curve.at[0] < 1 or side.curve.value[0] is None):
                yield f"{name}: the curve must begin at step 1 or later, with a number."
    if found.meta_training_steps is None and any(one.tasks_to_pay_back is not None for one in found.thresholds):
        yield "meta_training_steps are not known, so there can be no tasks_to_pay_back."
    if found.lifetimes < 1 or found.window < 1 or found.horizon < 1:
        yield "lifetimes, window and horizon must be 1 or more."
    yield from _too_large(found)


def _faults(evaluation: Any) -> Iterator[str]:
    yield from _faults_of_origin(evaluation)
    try:
        check_spec_description(evaluation.spec)
    except SpecError as error:
        yield f"spec: {error}"
    if not 1 <= len(evaluation.results) <= MOST_CONTENDERS:
        yield f"it must have 1 to {MOST_CONTENDERS} contenders; came {len(evaluation.results)}."
    named = [evaluation.reference, *(name for one in evaluation.comparisons for name in (one.first, one.second))]
    for name in named:
        if name not in evaluation.results:
            yield f"{name!r:.100} is compared, and is not among its contenders."
    for name, result in evaluation.results.items():
        if result.control is not None and result.control.agent not in evaluation.results:
            yield f"{name:.100} is a control of {result.control.agent!r:.100}, which is not among its contenders."
        for fault in _faults_of_result(result):
            yield f"results of {name:.100}: {fault}"
    if evaluation.ceiling is not None and not any(_ends(result) for result in evaluation.results.values()):
        yield "a ceiling is known, and no contender has a regret at the end."
    yield from _too_large(evaluation)


def _faults_of_origin(found: Any) -> Iterator[str]:
    distribution = found.distribution
    if not isinstance(distribution.get("name"), str) or not isinstance(distribution.get("config"), Mapping):
        yield "distribution must hold a name and a config."
    for name in ("split", "label"):
        if not getattr(found, name):
            yield f"{name} must not be empty."
    if found.tasks < 1:
        yield f"tasks must be 1 or more; came {found.tasks}."


def _too_large(found: Any) -> Iterator[str]:
    if any(abs(number) > LARGEST_NUMBER for number in _numbers_in(found)):
        yield f"its numbers must lie within ±{LARGEST_NUMBER:g}."


def _ends(result: Any) -> bool:
    return result.cumulative_regret is not None and result.cumulative_regret.value[-1] is not None


def _faults_of_result(result: Any) -> Iterator[str]:
    for name in ("reward_by_step", "cumulative_return", "return_by_episode", "cumulative_regret"):
        curve = getattr(result, name)
        if curve is not None:
            yield from _faults_of_curve(name, curve)
    for name in ("return_band", "regret_band"):
        band = getattr(result, name)
        if band is not None:
            yield from _faults_of_columns(name, (band.at, band.median, band.low, band.high))
    if result.seeds < 1 or result.memory_bytes < 0:
        yield f"seeds must be 1 or more and memory_bytes 0 or more; came {result.seeds} and {result.memory_bytes}."
    times = set(result.decision_microseconds)  # none if that was not measured
    missing = {"median", "percentile_99"} - times if times else set()
    if missing:
        yield f"decision_microseconds lacks {', '.join(sorted(missing))}."


def _faults_of_curve(name: str, curve: Any) -> Iterator[str]:
    yield from _faults_of_columns(name, (curve.at, curve.value, curve.low, curve.high))


def _faults_of_columns(name: str, columns: tuple) -> Iterator[str]:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1 or not lengths[0]:
        yield f"{name} must have columns of one length, 1 or more; came {lengths}."
    elif all(value is None for value in columns[1]):
        yield f"{name} holds no number."


def _numbers_in(thing: Any) -> Iterator[float]:
    """Every number of an evaluation's curves and estimates."""
    if isinstance(thing, int | float):
        yield thing
    elif isinstance(thing, Mapping):
        for inner in thing.values():
            yield from _numbers_in(inner)
    elif isinstance(thing, list | tuple):
        for inner in thing:
            yield from _numbers_in(inner)
    elif hasattr(thing, "__dataclass_fields__"):
        for field in thing.__dataclass_fields__:
            yield from _numbers_in(getattr(thing, field))
