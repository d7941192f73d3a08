"""Visitors who are shown items: clusters of tastes, fitted to a table of who clicked on what.

    visitor,item,click          one row for each time that an item was shown; click is 0 or 1

The estimates are those of `numerics.visitor_tastes`.
"""

import dataclasses
import zlib
from typing import Any

import numpy as np

from quickstudy.fitting.leaks import Leaks
from quickstudy.fitting.results import Fitted, Histogram, Match
from quickstudy.fitting.tables import Column, Table
from quickstudy.numerics.latent_classes import class_weights, log_likelihood
from quickstudy.numerics.visitor_tastes import Tastes, best_number_of_clusters, tastes_of
from quickstudy.protocol.errors import UsageError

COLUMNS = (
    Column(name="visitor", also=("user", "user_id", "visitor_id", "household", "customer")),
    Column(name="item", also=("item_id", "product", "sku", "movie")),
    Column(name="click", also=("clicked", "response", "reward", "liked"), kind="flag"),
)
LEAST_VISITORS, FEW_VISITORS, MOST_ITEMS = 20, 200, 200
_TABLES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class PastVisitors:
    """`shows`, `clicks` `[visitors, items]`: counts; names of both, `rows` of the table, and rows of other items left out."""

    names: list[str]
    items: list[str]
    shows: np.ndarray
    clicks: np.ndarray
    rows: int
    left_out: int


def read_visitors(records: Any) -> PastVisitors:
    """Reads a table of items that were shown; memory is that of visitors times items.

    Args:
      records: as of `Table`.
    Raises:
      UsageError: a fault of the table; names line and column.
    """
    table = Table(records)
    table.columns(COLUMNS)
    leaks, rows = Leaks(table, COLUMNS), 0
    seen: dict[str, dict[str, list[int]]] = {}
    total: dict[str, int] = {}
    for line, row in table.rows((*COLUMNS, *leaks.columns)):
        rows += 1
        if row["click"] > 1:
            raise UsageError(
                f"{table.name}, line {line}, column click: {row['click']} must be 0 or 1. Turn ratings into likes, such as "
                "1 from four stars."
            )
        leaks.add(row["visitor"], row["click"], row)
        counts = seen.setdefault(row["visitor"], {}).setdefault(row["item"], [0, 0])
        counts[0] += 1
        counts[1] += row["click"]
        total[row["item"]] = total.get(row["item"], 0) + 1
    leaks.check()
    items = sorted(sorted(total), key=lambda item: -total[item])[:MOST_ITEMS]
    if len(seen) < LEAST_VISITORS or len(items) < 2:
        raise UsageError(
            f"{table.name} has {rows} rows of {len(seen)} visitors and {len(total)} items; a distribution of visitors needs "
            f"{LEAST_VISITORS} visitors and 2 items, and is useful from about {FEW_VISITORS} visitors."
        )
    place = {item: number for number, item in enumerate(items)}
    shows, clicks = np.zeros((2, len(seen), len(items)))
    for number, of_visitor in enumerate(seen.values()):
        for item, (shown, clicked) in of_visitor.items():
            if item in place:
                shows[number, place[item]], clicks[number, place[item]] = shown, clicked
    if clicks.sum() in (0, shows.sum()):
        raise UsageError(f"{table.name}: every click is {int(clicks.sum() > 0)}, so nothing differs between visitors.")
    return PastVisitors(names=list(seen), items=items, shows=shows, clicks=clicks, rows=rows, left_out=rows - int(shows.sum()))


def fit_visitors(records: Any, *, held_out: float = 0.2, seed: int = 0, clusters: int | None = None) -> Fitted:
    """Fits the tasks `recommendation` to past visitors.

    Args:
      records: as of `read_visitors`.
      held_out: share of the visitors that are used for checks only.
      seed: which visitors are held out, and of simulated tables.
      clusters: of visitors; if not given, of `CLUSTERS` the number that predicts other visitors best.
    Raises:
      UsageError: a fault of the table, or a setting out of range.
    """
    if not 0 <= held_out <= 0.5:
        raise UsageError(f"held_out must be a share between 0 and 0.5; came {held_out!r}.")
    past = read_visitors(records)
    order = np.asarray([zlib.crc32(f"{seed} {name}".encode()) for name in past.names]).argsort()
    count = round(held_out * len(order))
    known, checked = order[count:], order[:count] if count else order
    if clusters is not None and not 1 <= clusters <= min(256, len(known)):
        raise UsageError(f"clusters must be 1 to {min(256, len(known))}; came {clusters}.")
    chosen = clusters or best_number_of_clusters(past.shows[known], past.clicks[known], seed=seed)
    tastes = tastes_of(past.shows[known], past.clicks[known], clusters=chosen, seed=seed)
    matches, histograms = _check(past.shows[checked], past.clicks[checked], tastes, seed=seed)
    notes = [
        "Items are numbered by how often they were shown, from 0: "
        + ", ".join(past.items[:8])
        + (", ...; all names are in tasks.py and fit.json." if len(past.items) > 8 else ".")
    ]
    if len(past.names) < FEW_VISITORS:
        notes.append(f"{len(past.names)} visitors are few. {FEW_VISITORS} or more are better.")
    if past.left_out:
        notes.append(f"{past.left_out:,} rows of items beyond the {MOST_ITEMS} most shown were left out.")
    return Fitted(
        kind="recommendation",
        distribution="recommendation",
        source=Table(records).name,
        rows=past.rows,
        tasks=len(known),
        held_out=count,
        fitted=tastes.settings,
        chosen={
            "items": len(past.items),
            "size": tastes.vectors.shape[1],
            "clusters": chosen,
            "steps": max(2, int(np.median(past.shows.sum(1)))),
        },
        intervals={},
        matches=matches,
        histograms=histograms,
        notes=(*notes, *Table(records).note_of_others(COLUMNS)),
        item_names=tuple(past.items),
    )


def _check(
    shows: np.ndarray, clicks: np.ndarray, tastes: Tastes, *, seed: int
) -> tuple[tuple[Match, ...], tuple[Histogram, ...]]:
    random = np.random.default_rng(seed)
    at_centres = tastes.chances(tastes.centres)
    numbers, rates = [], []
    for _ in range(_TABLES):
        centre = tastes.centres[random.integers(len(tastes.centres), size=len(shows))]
        taste = centre + tastes.offset * random.standard_normal(centre.shape)
        simulated = random.binomial(shows.astype(int), tastes.chances(taste)).astype(float)
        numbers.append(_quantities(at_centres, shows, simulated))
        rates.append(_rates(shows, simulated))
    real = _quantities(at_centres, shows, clicks)
    matches = tuple(Match.of(name, real[name], np.asarray([one[name] for one in numbers])) for name in real)
    histogram = Histogram(
        name="share of clicks of a visitor",
        real=tuple(_rates(shows, clicks).tolist()),
        simulated=tuple(np.concatenate(rates[:20]).tolist()),
    )
    return matches, (histogram,)


def _quantities(at_centres: np.ndarray, shows: np.ndarray, clicks: np.ndarray) -> dict[str, float]:
    """The quantities of a table of visitors that checks compare."""
    rates = _rates(shows, clicks)
    of_items = (clicks.sum(0) + 0.5) / (shows.sum(0) + 1)
    weights = class_weights(at_centres, shows, clicks)
    return {
        "share of clicks": float(clicks.sum() / shows.sum()),
        "spread of this share over visitors": float(rates.std()),
        "spread of this share over items": float(of_items.std()),
        "log-likelihood of a row, by clusters (nats)": log_likelihood(at_centres, shows, clicks) / float(shows.sum()),
        "how sure the cluster of a visitor is": float(weights.max(1).mean()),
    }


def _rates(shows: np.ndarray, clicks: np.ndarray) -> np.ndarray:
    return clicks.sum(1) / np.maximum(shows.sum(1), 1)
