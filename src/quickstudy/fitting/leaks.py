"""Columns that hold the future: the value of the next row, in a table whose rows are in the order of time or have a day.

A column leaks if it holds the next value in nearly all rows, and also in nearly all rows after which the value changes. So a
column of zeros beside clicks that are rare does not leak, and neither does one that is always the opposite.
"""

from typing import Any

from quickstudy.fitting.tables import Column, Table, plain_name
from quickstudy.protocol.errors import UsageError

LEAST_PAIRS, LEAST_CHANGES = 30, 5
_LEAKS = 0.9


class Leaks:
    """Looks for such columns among those that are not read.

    Args:
      table: with the rows.
      wanted: the columns that are read.
    """

    def __init__(self, table: Table, wanted: tuple[Column, ...]):
        self._table, self._others = table.name, table.others(wanted)
        self._columns = {header: plain_name(header) for header in self._others}
        self._before: dict[str, tuple[int, float, dict[str, float]]] = {}
        # Of each column: pairs of neighbouring rows, and those that hold the next value; then the same for pairs with a change.
        self._pairs = {header: [0, 0, 0, 0] for header in self._others}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are looked at, as they are asked of the table."""
        return tuple(Column(name=name, kind="any") for name in self._columns.values())

    def add(self, of: str, value: float, row: dict[str, Any], *, day: int | None = None) -> None:
        """Takes in a row.

        Args:
          of: the series that it belongs to.
          value: that must not be known beforehand.
          row: all cells.
          day: number of the day, if there is one. The rows may stand in the order of time or the newest may be the first.
        """
        cells = {header: _number(row[name]) for header, name in self._columns.items()}
        now = day or 0, value, {header: number for header, number in cells.items() if number is not None}
        if of in self._before:
            earlier, later = (self._before[of], now) if now[0] >= self._before[of][0] else (now, self._before[of])
            change = earlier[1] != later[1]
            for header, number in earlier[2].items():
                counts, same = self._pairs[header], number == later[1]
                counts[0] += 1
                counts[1] += same
                counts[2] += change
                counts[3] += same and change
        self._before[of] = now

    def check(self) -> None:
        """Raises UsageError for a column that leaks the future."""
        for header, (pairs, same, changes, same_changes) in self._pairs.items():
            enough = pairs >= LEAST_PAIRS and changes >= LEAST_CHANGES
            if enough and same >= _LEAKS * pairs and same_changes >= _LEAKS * changes:
                raise UsageError(
                    f"{self._table}: column {header!r} holds the value of the next row in {same / pairs:.0%} of the rows: it "
                    "leaks the future. Leave it out of the table."
                )


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
