"""Measures shipped agents again, and compares the results with the stored ones."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quickstudy.evaluation.bench.measuring import bundles_of, distribution_of, measured_again, this_machine
from quickstudy.evaluation.bench.rows import Matrix, Row, columns_of
from quickstudy.evaluation.bench.stored import FIRST_TASKS, Stored, rounded
from quickstudy.evaluation.contenders import trained_contender
from quickstudy.evaluation.numbers import bounded, number
from quickstudy.numerics.statistics import Estimate
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.run_folder import versions

ARITHMETIC = ("jax", "jaxlib", "numpy", "equinox")
"""Packages whose versions may move the last digit of a number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One agent of one stored measurement, measured again.

    Args:
      row: that the result is of.
      where: the agent, and the column of a matrix.
      stored: the stored value, as text.
      now: the value that was measured now, as text; empty if nothing was measured.
      fault: what differs; empty if nothing does.
      equal: to the last stored digit.
    """

    row: str
    where: str
    stored: str
    now: str
    fault: str
    equal: bool


def load_bundles(entries: list[tuple[Row | Matrix, Stored]], folder: Path) -> list[dict[str, Bundle]]:
    """The bundles of every entry, before minutes are spent on any.

    Raises:
      BundleError: one is missing or damaged.
    """
    return [bundles_of(entry, folder) for entry, _ in entries]


def verify(entry: Row | Matrix, stored: Stored, bundles: dict[str, Bundle], *, quick: bool) -> Iterator[Check]:
    """Measures every agent of a row or matrix again.

    The task list must have the stored hash, and the mean must lie within the stored interval. Where machine and versions
    are those that were measured with, it must be the stored mean, to the last stored digit.

    Args:
      entry: the row or matrix.
      stored: its result.
      bundles: by the row that trained them.
      quick: on the first tasks of each list alone.
    Raises:
      UnknownNameError: no such distribution or setting.
      SpecError: an agent does not fit the tasks.
    """
    same = same_arithmetic(stored)
    for column, measurement in zip(columns_of(entry), stored.measurements, strict=True):
        distribution = distribution_of(column, entry.measure)
        for name, agent in measurement.agents.items():
            bundle = bundles[agent.bundle]
            kept = agent.first_tasks if quick else agent.value
            where = f"{name} on {column.title}" if isinstance(entry, Matrix) else name
            known: dict[str, Any] = {"row": entry.name, "where": where, "stored": bounded(kept)}
            if bundle.card["parameters_sha256"] != agent.parameters_sha256:
                yield Check(**known, now="", fault="the bundle is not the one that was measured", equal=False)
                continue
            value, _, digest = measured_again(
                trained_contender(bundle, distribution.spec),
                distribution,
                split=measurement.split,
                tasks=measurement.tasks,
                measure=stored.measure,
                first=FIRST_TASKS if quick else None,
            )
            fault = _task_fault(digest, measurement.task_hash) or _value_fault(value, rounded(kept), same=same)
            yield Check(**known, now=number(value.value), fault=fault, equal=value.value == kept.value)


def same_arithmetic(stored: Stored) -> bool:
    """Whether a result was measured on such a machine, with such versions, that the same numbers must come out."""
    now = versions()
    return stored.machine == this_machine() and all(stored.versions.get(name) == now[name] for name in ARITHMETIC)


def _task_fault(now: str, stored: str) -> str:
    return "" if now == stored else f"the task list is another: {now[:12]}, stored {stored[:12]}"


def _value_fault(now: Estimate, stored: Estimate, *, same: bool) -> str:
    assert now.value is not None  # means of finite returns
    assert stored.value is not None
    if same and now.value != stored.value:
        return f"not equal on the same kind of machine ({now.value!r}, stored {stored.value!r})"
    if stored.low is None or stored.high is None or not stored.low <= now.value <= stored.high:
        return "outside the stored interval"
    return ""
