"""Columns that hold the future: the value of the next row, in a table whose rows are in the order of time."""

from typing import Any

from quickstudy.fitting.tables import Column, Table
from quickstudy.protocol.errors import UsageError

LEAST_PAIRS = 30
_LEAKS = 0.9


class Leaks:
    """Looks for such columns among those that are not read.

    Args:
      table: with the rows.
      wanted: the columns that are read.
    """

    def __init__(self, table: Table, wanted: tuple[Column, ...]):
        self._table, self._others = table.name, table.others(wanted)
        self._columns = {header: header.lower().replace(" ", "_") for header in self._others}
        self._before: dict[str, dict[str, float]] = {}
        self._pairs, self._same = dict.fromkeys(self._others, 0), dict.fromkeys(self._others, 0)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are looked at, as they are asked of the table."""
        return tuple(Column(name=name, kind="any") for name in self._columns.values())

    def add(self, of: str, value: float, row: dict[str, Any]) -> None:
        """Takes in a row.

        Args:
          of: the series that it belongs to.
          value: that must not be known beforehand.
          row: all cells.
        """
        for header, number in self._before.get(of, {}).items():
            self._pairs[header] += 1
            self._same[header] += number == value
        numbers = {header: _number(row[name]) for header, name in self._columns.items()}
        self._before[of] = {header: number for header, number in numbers.items() if number is not None}

    def check(self) -> None:
        """Raises UsageError for a column that leaks the future."""
        for header, pairs in self._pairs.items():
            if pairs >= LEAST_PAIRS and self._same[header] >= _LEAKS * pairs:
                raise UsageError(
                    f"{self._table}: column {header!r} holds the value of the next row in {self._same[header] / pairs:.0%} of "
                    "the rows: it leaks the future. Leave it out of the table."
                )


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
