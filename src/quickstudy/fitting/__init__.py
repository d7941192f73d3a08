"""Distributions of tasks, fitted to records of past ones: experiments, prices, visitors, series.

`KINDS` has one line for each kind.
"""

from typing import Any

from quickstudy.fitting.results import Fitted
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.registry import resolve

__all__ = ["KINDS", "fit_records"]

KINDS = {
    "ab-test": "quickstudy.fitting.ab_tests:fit_ab_tests",
    "forecasting": "quickstudy.fitting.series:fit_series",
    "pricing": "quickstudy.fitting.prices:fit_prices",
    "recommendation": "quickstudy.fitting.visitors:fit_visitors",
}


def fit_records(records: Any, *, kind: str, held_out: float = 0.2, seed: int = 0, **settings: Any) -> Fitted:
    """Fits a task distribution to records of past tasks.

    Args:
      records: path of a CSV file, or a frame of pandas or polars.
      kind: a key of `KINDS`.
      held_out: share of the tasks that nothing is fitted to; the fit is checked on them. In [0, 0.5].
      seed: which tasks are held out, and of simulated ones.
      settings: of the kind.
    Raises:
      UnknownNameError: no such kind.
      UsageError: a table with a fault; names it, with line and column.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of records", kind, KINDS)
    return resolve("kind of records", kind, KINDS)(records, held_out=held_out, seed=seed, **settings)
