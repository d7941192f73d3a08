"""Products with their own prices: levels of demand and elasticities, fitted to a table of past sales.

    product,price,sales,cost          rows of a product are in the order of time
    product,day,price,sales,cost      or have a day

Prices are counted in units of the cost, so products of any price have one grid. `numerics.demand_fit` has the estimates.
"""

import dataclasses
import zlib
from typing import Any

import numpy as np

from quickstudy.fitting.days import Zones
from quickstudy.fitting.leaks import Leaks
from quickstudy.fitting.repeated_rows import Repetitions
from quickstudy.fitting.results import Fitted, Histogram, Match
from quickstudy.fitting.tables import Column, Table
from quickstudy.numerics.demand_fit import DemandFit, fit_demand
from quickstudy.protocol.errors import UsageError

COLUMNS = (
    Column(name="product", also=("sku", "product_id", "item", "id")),
    Column(name="price", also=("own_price",), kind="number"),
    Column(name="sales", also=("units", "quantity", "sold"), kind="whole"),
    Column(name="cost", also=("unit_cost",), kind="number"),
    Column(name="day", also=("date", "week"), kind="day", optional=True),
)
LEAST_PRODUCTS, FEW_PRODUCTS, LEAST_PERIODS = 8, 30, 4
_TABLES, _GRID = 200, 12
_MOST_SALES = 1e18
"""Largest mean of simulated sales; NumPy draws no counts that are much larger."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PastProducts:
    """Past products by name: prices in units of the cost and sales, `[periods]` each; `rows`, `products` of the table."""

    prices: dict[str, np.ndarray]
    sales: dict[str, np.ndarray]
    rows: int
    products: int


def read_products(records: Any) -> PastProducts:
    """Reads a table of prices and sales; 16 bytes of memory or more for each row.

    Args:
      records: as of `Table`.
    Raises:
      UsageError: a fault of the table; names line and column.
    """
    table = Table(records)
    table.columns(COLUMNS)
    leaks, zones, repetitions, rows = Leaks(table, COLUMNS), Zones(table.name), Repetitions(table.name), 0
    prices: dict[str, list[float]] = {}
    sales: dict[str, list[int]] = {}
    for line, row in table.rows((*COLUMNS, *leaks.columns)):
        rows += 1
        for name in ("price", "cost"):
            if not row[name] > 0:
                raise UsageError(f"{table.name}, line {line}, column {name}: {row[name]:g} must be above 0.")
        if row["price"] <= row["cost"]:
            raise UsageError(
                f"{table.name}, line {line}: the price {row['price']:g} is not above the cost {row['cost']:g}. Leave out rows "
                "that were sold at a loss."
            )
        if row["day"] is not None:
            zones.check(row["day"], line)
            repetitions.add((row["product"], row["day"]))
        leaks.add(row["product"], row["sales"], row, day=row["day"] and row["day"].number)
        prices.setdefault(row["product"], []).append(row["price"] / row["cost"])
        sales.setdefault(row["product"], []).append(row["sales"])
    leaks.check()
    dated = ((line, row) for line, row in table.rows(COLUMNS) if row["day"] is not None)
    repetitions.check(lambda: ((line, (row["product"], row["day"])) for line, row in dated))
    # A product with one price says nothing about its elasticity, and one that sold nothing has no level.
    useful = [one for one in prices if len(prices[one]) >= LEAST_PERIODS and len(set(prices[one])) > 1 and any(sales[one])]
    if len(useful) < LEAST_PRODUCTS:
        raise UsageError(
            f"{table.name} has {rows} rows of {len(prices)} products, of which {len(useful)} have {LEAST_PERIODS} periods, two "
            f"prices and a sale; a distribution of products needs {LEAST_PRODUCTS}, and is useful from about {FEW_PRODUCTS}."
        )
    return PastProducts(
        prices={one: np.asarray(prices[one]) for one in useful},
        sales={one: np.asarray(sales[one], float) for one in useful},
        rows=rows,
        products=len(prices),
    )


def fit_prices(records: Any, *, held_out: float = 0.2, seed: int = 0) -> Fitted:
    """Fits the tasks `pricing` to past products.

    Args:
      records: as of `read_products`.
      held_out: share of the products that are used for checks only.
      seed: which products are held out, and of simulated tables.
    Raises:
      UsageError: a fault of the table, or a share out of range.
    """
    if not 0 <= held_out <= 0.5:
        raise UsageError(f"held_out must be a share between 0 and 0.5; came {held_out!r}.")
    past = read_products(records)
    names = sorted(past.prices, key=lambda name: zlib.crc32(f"{seed} {name}".encode()))
    count = round(held_out * len(names))
    known, checked = names[count:], names[:count] or names
    lowest, highest = _grid(np.concatenate(list(past.prices.values())))
    reference = lowest**0.5 * highest**0.5
    logs = {name: np.log(past.prices[name] / reference) for name in names}
    fit = fit_demand([logs[name] for name in known], [past.sales[name] for name in known])
    matches, histograms = _check([logs[name] for name in checked], [past.sales[name] for name in checked], fit, seed=seed)
    notes = ["Demand is taken as iso-elastic with Poisson sales: seasons, jumps and competitors are not fitted."]
    if len(names) < FEW_PRODUCTS:
        notes.append(f"{len(names)} products are few. {FEW_PRODUCTS} or more are better.")
    if len(names) < past.products:
        notes.append(f"{past.products - len(names)} products with too few periods, one price or no sale were left out.")
    return Fitted(
        kind="pricing",
        distribution="pricing",
        source=Table(records).name,
        rows=past.rows,
        tasks=len(known),
        held_out=count,
        fitted=dict(
            zip(
                ("level_low", "level_high", "elasticity_low", "elasticity_high"),
                (*_apart(*fit.level, factor=True), *_apart(*fit.elasticity, factor=False)),
                strict=True,
            )
        ),
        chosen={
            "periods": max(2, int(np.median([len(past.sales[name]) for name in names]))),
            "prices": _GRID,
            "lowest_price": lowest,
            "highest_price": highest,
            "cost": 1.0,
        },
        intervals={},
        matches=matches,
        histograms=histograms,
        notes=(*notes, *Table(records).note_of_others(COLUMNS)),
    )


def _grid(prices: np.ndarray) -> tuple[float, float]:
    """The ends of the grid of prices: of nearly all that were tried."""
    lowest, highest = np.quantile(prices, [0.02, 0.98])
    return float(max(lowest, 1.01)), float(max(highest, 1.05 * lowest, 1.1))


def _apart(low: float, high: float, *, factor: bool) -> tuple[float, float]:
    """Ends that differ, since a distribution needs two."""
    low = max(low, 0.05)
    return low, max(high, 1.05 * low if factor else low + 0.05)


def _check(
    logs: list[np.ndarray], sales: list[np.ndarray], fit: DemandFit, *, seed: int
) -> tuple[tuple[Match, ...], tuple[Histogram, ...]]:
    random = np.random.default_rng(seed)
    tables = []
    for _ in range(_TABLES):
        levels = np.exp(random.uniform(np.log(fit.level[0]), np.log(fit.level[1]), len(logs)))
        elasticities = random.uniform(fit.elasticity[0], fit.elasticity[1], len(logs))
        tables.append(
            [
                random.poisson(np.minimum(lv * np.exp(-e * x), _MOST_SALES))
                for lv, e, x in zip(levels, elasticities, logs, strict=True)
            ]
        )
    real, numbers = _quantities(logs, sales), [_quantities(logs, one) for one in tables]
    matches = tuple(Match.of(name, real[name], np.asarray([one[name] for one in numbers])) for name in real)
    return matches, (
        Histogram(
            name="ln of mean sales a period",
            real=tuple(_means(sales).tolist()),
            simulated=tuple(np.concatenate([_means(one) for one in tables[:20]]).tolist()),
        ),
        Histogram(
            name="elasticity measured by regression",
            real=tuple(_slopes(logs, sales).tolist()),
            simulated=tuple(np.concatenate([_slopes(logs, one) for one in tables[:20]]).tolist()),
        ),
    )


def _quantities(logs: list[np.ndarray], sales: list[np.ndarray]) -> dict[str, float]:
    """The quantities of a table of products that checks compare."""
    means, slopes = _means(sales), _slopes(logs, sales)
    dispersion = [
        float(np.mean((y - m) ** 2 / np.maximum(m, 0.1)))
        for x, y, slope in zip(logs, sales, slopes, strict=True)
        for m in [np.exp(-slope * x) * y.sum() / np.exp(-slope * x).sum()]
    ]
    return {
        "median of mean sales a period (ln)": float(np.median(means)),
        "spread of mean sales a period (ln)": float(np.std(means)),
        "median elasticity measured by regression": float(np.median(slopes)),
        "spread of these elasticities": float(np.quantile(slopes, 0.8) - np.quantile(slopes, 0.2)),
        "variance of sales by their mean": float(np.median(dispersion)),
    }


def _means(sales: list[np.ndarray]) -> np.ndarray:
    return np.log([max(float(np.mean(one)), 0.05) for one in sales])


def _slopes(logs: list[np.ndarray], sales: list[np.ndarray]) -> np.ndarray:
    """Minus the slope of ln(sales + ½) by ln(price), of each product."""
    return np.asarray([-np.polyfit(x, np.log(np.asarray(y) + 0.5), 1)[0] for x, y in zip(logs, sales, strict=True)])
