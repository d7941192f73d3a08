"""What a fit gives: settings of a task distribution, and a comparison of simulated tasks with real ones."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """One quantity of the real tasks beside the same quantity of simulated tables.

    Args:
      name: of the quantity, in words.
      real: of the tasks that are checked.
      low, high: 5 % and 95 % quantiles over simulated tables of the same size.
    """

    name: str
    real: float
    low: float
    high: float

    @property
    def fits(self) -> bool:
        """Whether the real number lies within the range of simulated tables. For a perfect fit, one of ten does not."""
        return self.low <= self.real <= self.high

    @classmethod
    def of(cls, name: str, real: float, simulated: np.ndarray) -> "Match":
        """From the quantity of each simulated table."""
        low, high = np.quantile(simulated, [0.05, 0.95])
        return cls(name=name, real=float(real), low=float(low), high=float(high))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """Numbers of real tasks, one each, beside those of simulated ones."""

    name: str
    real: tuple[float, ...]
    simulated: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted task distribution.

    Args:
      kind: of the records.
      distribution: the name of the task distribution.
      source: of the records, in words.
      rows: of the table.
      tasks: that the distribution was fitted to.
      held_out: other tasks, that it was checked on. If 0, the check is on the tasks of the fit.
      fitted: settings that were estimated.
      chosen: settings that were read off the table or given, by name.
      intervals: 95 % intervals of some of the fitted settings.
      matches: of the checks.
      histograms: for the picture.
      notes: for people, one sentence each.
      item_names: of the item that each action shows, as in the table, from action 0 on; empty if actions show no items.
    """

    kind: str
    distribution: str
    source: str
    rows: int
    tasks: int
    held_out: int
    fitted: Mapping[str, float | tuple[float, ...]]
    chosen: Mapping[str, float | int | str]
    intervals: Mapping[str, tuple[float, float]]
    matches: tuple[Match, ...]
    histograms: tuple[Histogram, ...]
    notes: tuple[str, ...] = ()
    item_names: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, float | int | str | tuple[float, ...]]:
        """All settings of the task distribution."""
        return {**self.chosen, **self.fitted}
