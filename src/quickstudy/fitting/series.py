"""Series to forecast: frequency and size of shifts of their mean, fitted to a table of past series.

    series,value              rows of a series are in the order of time
    series,day,value          or have a day, and no day is missing

A series is first scaled to its own units: around its median, in units of its noise. The noise is estimated from the changes
between neighbours, robustly, since shifts are rare. `numerics.shifts` has the likelihood.

The median of a series with few shifts lies near its levels, so sizes come out too small. This is corrected once: the fit is
repeated on a simulated table, and its error there is subtracted (indirect inference, Gouriéroux et al. 1993).
"""

import array
import dataclasses
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.fitting.days import Day, Zones, check_no_day_missing
from quickstudy.fitting.leaks import Leaks
from quickstudy.fitting.results import Fitted, Histogram, Match
from quickstudy.fitting.tables import Column, Table
from quickstudy.numerics.shifts import ShiftFit, fit_shifts
from quickstudy.protocol.errors import UsageError

COLUMNS = (
    Column(name="series", also=("series_id", "unique_id", "sku", "item", "id")),
    Column(name="value", also=("y", "sales", "target"), kind="number"),
    Column(name="day", also=("date", "ds", "time"), kind="day", optional=True),
)
LEAST_SERIES, FEW_SERIES, LEAST_VALUES = 5, 30, 30
_MOST_FITTED, _MOST_VALUES = 150, 300
"""Series, and newest values of each, that the likelihood is computed of."""
_TABLES = 100
_MAD = 0.6745


@dataclasses.dataclass(frozen=True, kw_only=True)
class PastSeries:
    """Past series by name, each in the order of time; `rows` and `series` of the table, short ones included."""

    values: dict[str, np.ndarray]
    rows: int
    series: int


def read_series(records: Any, *, missing_days: bool = False) -> PastSeries:
    """Reads a table of series; 8 bytes of memory for each value.

    Args:
      records: as of `Table`.
      missing_days: allow gaps between the days of a series.
    Raises:
      UsageError: a fault of the table; names line and column, or the series.
    """
    table = Table(records)
    table.columns(COLUMNS)
    leaks, zones, rows = Leaks(table, COLUMNS), Zones(table.name), 0
    values: dict[str, array.array] = {}
    days: dict[str, array.array] = {}
    for line, row in table.rows((*COLUMNS, *leaks.columns)):
        rows += 1
        series = row["series"]
        leaks.add(series, row["value"], row)
        values.setdefault(series, array.array("d")).append(row["value"])
        if row["day"] is not None:
            zones.check(row["day"], line)
            known = days.setdefault(series, array.array("l"))
            if known and row["day"].number == known[-1]:
                raise UsageError(
                    f"{table.name}, line {line}: series {series!r} has the day {row['day']} twice. Leave one out; or leave out "
                    "the column of days if values are less than a day apart."
                )
            if known and row["day"].number < known[-1]:
                raise UsageError(
                    f"{table.name}, line {line}: series {series!r} goes back in time to {row['day']}. Sort the rows by day."
                )
            known.append(row["day"].number)
    leaks.check()
    for series, known in days.items():
        if not missing_days:
            _check_no_gap(table.name, series, known)
    long = {series: np.asarray(known) for series, known in values.items() if len(known) >= LEAST_VALUES}
    if len(long) < LEAST_SERIES:
        raise UsageError(
            f"{table.name} has {rows} rows, and {len(long)} series with {LEAST_VALUES} values or more; a distribution of "
            f"series needs {LEAST_SERIES}, and is useful from about {FEW_SERIES}."
        )
    flat = [series for series, known in long.items() if _noise(known[-_MOST_VALUES:]) == 0]
    if flat:
        raise UsageError(
            f"{table.name}: most neighbours in series {flat[0]!r} are equal, so its noise cannot be measured. Leave it out, or "
            "add up values over longer periods."
        )
    return PastSeries(values=long, rows=rows, series=len(values))


def fit_series(records: Any, *, held_out: float = 0.2, seed: int = 0, missing_days: bool = False) -> Fitted:
    """Fits the tasks `forecasting` of the kind `shifts` to past series.

    Args:
      records, missing_days: as of `read_series`.
      held_out: share of the series that are used for checks only.
      seed: which series are held out, and of simulated tables.
    Raises:
      UsageError: a fault of the table, or a share out of range.
    """
    if not 0 <= held_out <= 0.5:
        raise UsageError(f"held_out must be a share between 0 and 0.5; came {held_out!r}.")
    past = read_series(records, missing_days=missing_days)
    names = sorted(past.values, key=lambda name: zlib.crc32(f"{seed} {name}".encode()))
    count = round(held_out * len(names))
    known, checked = names[count:], names[:count] or names
    fit, intervals = _corrected(standardised([past.values[name] for name in known[:_MOST_FITTED]]), seed=seed)
    matches, histograms = _check(standardised([past.values[name] for name in checked[:_MOST_FITTED]]), fit, seed=seed)
    notes = ["The kind is `shifts`: independent noise around a level. Seasons, trends and autocorrelation are not fitted."]
    if len(names) < FEW_SERIES:
        notes.append(f"{len(names)} series are few. {FEW_SERIES} or more are better.")
    if len(known) > _MOST_FITTED:
        notes.append(f"The likelihood is that of {_MOST_FITTED} of the series.")
    if len(names) < past.series:
        notes.append(f"{past.series - len(names)} series with fewer than {LEAST_VALUES} values were left out.")
    if not all(one.fits for one in matches):
        notes.append("Where a check says NO, these series are not of this kind: compare with the classical methods first.")
    return Fitted(
        kind="forecasting",
        distribution="forecasting",
        source=Table(records).name,
        rows=past.rows,
        tasks=len(known),
        held_out=count,
        fitted={"hazard": fit.hazard, "size": fit.size},
        chosen={"kind": "shifts"},
        intervals=intervals,
        matches=matches,
        histograms=histograms,
        notes=(*notes, *Table(records).note_of_others(COLUMNS)),
    )


def standardised(series: list[np.ndarray]) -> Float[np.ndarray, "series T"]:
    """The newest values of each series, around its median and in units of its noise; NaN behind its end."""
    length = min(_MOST_VALUES, max(len(one) for one in series))
    found = np.full((len(series), length), np.nan)
    for row, one in zip(found, series, strict=True):
        newest = one[-length:]
        row[: len(newest)] = (newest - np.median(newest)) / _noise(newest)
    return found


def _check_no_gap(table: str, series: str, days: array.array) -> None:
    """Raises UsageError where two neighbours are clearly further apart than usual; months are of nearly one length."""
    steps = np.diff(days) if len(days) > 1 else np.ones(1, int)
    usual, widest = int(np.median(steps)), int(steps.argmax())
    if steps[widest] <= 1.5 * usual:
        return
    if usual == 1:
        check_no_day_missing(table, f"series {series!r}", set(days))
    raise UsageError(
        f"{table}: series {series!r} has no value between {Day(days[widest])} and {Day(days[widest + 1])}, and usually one "
        f"every {usual} days. Add the missing ones; or allow gaps with --missing-days; or leave out the column of days."
    )


def _noise(values: np.ndarray) -> float:
    """Standard deviation of the noise: the median absolute change, as that of normal noise."""
    return float(np.median(np.abs(np.diff(values))) / (_MAD * 2**0.5))


def _corrected(values: np.ndarray, *, seed: int) -> tuple[ShiftFit, dict[str, tuple[float, float]]]:
    """The fit and its intervals, after the correction."""
    fit, intervals = fit_shifts(values)
    simulated = _simulated(values.shape, fit, np.random.default_rng(seed))
    simulated[~np.isfinite(values)] = np.nan
    again, _ = fit_shifts(standardised([row[np.isfinite(row)] for row in simulated]))
    factors = {"hazard": fit.hazard / again.hazard, "size": fit.size / again.size}
    corrected = ShiftFit(
        hazard=min(0.5, fit.hazard * factors["hazard"]), size=fit.size * factors["size"], log_likelihood=fit.log_likelihood
    )
    # The factors are those of one simulated table, that errs as much as the real one. So the variance is twice that of a fit.
    fitted, most = {"hazard": fit.hazard, "size": fit.size}, {"hazard": 0.5, "size": np.inf}
    widened = {}
    for name, ends in intervals.items():
        low, high = (factors[name] * fitted[name] * (end / fitted[name]) ** 2**0.5 for end in ends)
        widened[name] = min(low, most[name]), min(high, most[name])
    return corrected, widened


def _check(real: np.ndarray, fit: ShiftFit, *, seed: int) -> tuple[tuple[Match, ...], tuple[Histogram, ...]]:
    random = np.random.default_rng(seed)
    numbers, shown = [], []
    for _ in range(_TABLES):
        simulated = _simulated(real.shape, fit, random)
        simulated[~np.isfinite(real)] = np.nan
        again = standardised([row[np.isfinite(row)] for row in simulated])
        numbers.append(_quantities(again))
        shown.append(_changes(again))
    found = _quantities(real)
    matches = tuple(Match.of(name, found[name], np.asarray([one[name] for one in numbers])) for name in found)
    return matches, (
        Histogram(
            name="change to the next value, in units of the noise",
            real=tuple(_changes(real).tolist()),
            simulated=tuple(np.concatenate(shown[:5]).tolist()),
        ),
    )


def _simulated(shape: tuple[int, ...], fit: ShiftFit, random: np.random.Generator) -> np.ndarray:
    shifts = random.random(shape) < fit.hazard
    shifts[:, 0] = True
    newest = np.maximum.accumulate(np.where(shifts, np.arange(shape[1]), 0), axis=1)
    levels = fit.size * random.standard_normal(shape)
    return np.take_along_axis(levels, newest, axis=1) + random.standard_normal(shape)


def _changes(values: np.ndarray) -> np.ndarray:
    changes = np.diff(values, axis=1)
    return changes[np.isfinite(changes)]


def _quantities(values: np.ndarray) -> dict[str, float]:
    """The quantities of a table of series that checks compare."""
    changes = np.diff(values, axis=1)
    first, second = changes[:, :-1], changes[:, 1:]
    both = np.isfinite(first) & np.isfinite(second)
    small = both & (np.abs(np.nan_to_num(first)) < 4) & (np.abs(np.nan_to_num(second)) < 4)
    return {
        "median standard deviation of a series": float(np.median(np.nanstd(values, axis=1))),
        "share of changes above 4": float((np.abs(_changes(values)) > 4).mean()),
        "correlation of neighbouring changes, below 4": float(np.corrcoef(first[small], second[small])[0, 1]),
    }
