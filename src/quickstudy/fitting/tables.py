"""Tables, read row by row: a CSV file of any length, or a frame of pandas or polars.

Nothing here keeps rows, so a file may be larger than memory. A wrong cell raises an error that names line and column.
"""

import csv
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from quickstudy.fitting.days import day_of
from quickstudy.protocol.errors import UsageError

_LONGEST_SHOWN = 40
_EMPTY = ("", "na", "n/a", "nan", "null", "none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column that is read.

    Args:
      name: by which the message and the documentation call it.
      also: other names that are taken for it.
      kind: of its cells: `text`, `whole` numbers of 0 or more, any finite `number`, a `day`, or `any`, which is not looked at.
      optional: whether the table may lack it.
    """

    name: str
    also: tuple[str, ...] = ()
    kind: Literal["text", "whole", "number", "day", "any"] = "text"
    optional: bool = False


class Table:
    """Rows of a table, which can be read several times.

    Args:
      records: path of a CSV file with a line of headers, or a frame of pandas or polars.
    Raises:
      UsageError: no such file, no headers, two headers alike, or something else than a table.
    """

    def __init__(self, records: Any):
        self._records = records
        self.name = str(records) if isinstance(records, str | Path) else f"the {type(records).__name__}"
        self.headers = [str(header).strip() for header in self._read_headers()]
        twice = sorted({header for header in self.headers if self.headers.count(header) > 1})
        if twice:
            raise UsageError(f"{self.name}: the header {twice[0]!r} stands there twice. Rename one of the columns.")

    def columns(self, wanted: Sequence[Column]) -> dict[str, int]:
        """The places of the columns that are there, by name.

        Raises:
          UsageError: one that must be there is missing.
        """
        places = {header.lower().replace(" ", "_"): place for place, header in reversed(list(enumerate(self.headers)))}
        found = {}
        for column in wanted:
            place = next((places[name] for name in (column.name, *column.also) if name in places), None)
            if place is not None:
                found[column.name] = place
        missing = [column for column in wanted if column.name not in found and not column.optional]
        if missing:
            names = "; ".join(" or ".join(map(repr, (column.name, *column.also))) for column in missing)
            raise UsageError(
                f"{self.name}: a header is missing: {names}. The headers are: {', '.join(self.headers) or 'none'}. Rename a "
                "column, or add it."
            )
        return found

    def others(self, wanted: Sequence[Column]) -> list[str]:
        """Headers that are not read."""
        used = set(self.columns(wanted).values())
        return [header for place, header in enumerate(self.headers) if place not in used]

    def rows(self, wanted: Sequence[Column]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and cells of every row, by the names of the columns; a column that is not there gives None.

        Raises:
          UsageError: a cell that is empty, no number, or no day; a row that is too short or too long. Names line and column.
        """
        places = self.columns(wanted)
        for line, cells in self._cells():
            if len(cells) != len(self.headers):
                raise UsageError(
                    f"{self.name}, line {line}: the row has {len(cells)} cells and the table {len(self.headers)} headers. Put "
                    "cells with a comma in quotes."
                )
            yield (
                line,
                {
                    column.name: self._value(cells[places[column.name]], column, line) if column.name in places else None
                    for column in wanted
                },
            )

    def _value(self, cell: Any, column: Column, line: int) -> Any:
        if column.kind == "any":
            return cell
        text = cell.strip() if isinstance(cell, str) else cell
        if text is None or (isinstance(text, str) and text.lower() in _EMPTY) or (isinstance(text, float) and math.isnan(text)):
            raise self._refusal(line, column, cell, "the cell is empty. Fill it, or leave out the row")
        if column.kind == "text":
            return str(text)
        if column.kind == "day":
            try:
                return day_of(text)
            except ValueError:
                raise self._refusal(line, column, cell, "is no day. Write days like 2026-03-31") from None
        try:
            number = float(text)
        except (TypeError, ValueError):
            raise self._refusal(line, column, cell, "is no number. Write numbers like 1234.5") from None
        if not math.isfinite(number):
            raise self._refusal(line, column, cell, "is not finite")
        if column.kind == "whole" and (number < 0 or number != int(number)):
            raise self._refusal(line, column, cell, "must be a whole number of 0 or more")
        return int(number) if column.kind == "whole" else number

    def _refusal(self, line: int, column: Column, cell: Any, what: str) -> UsageError:
        shown = "" if what.startswith("the cell is empty") else f"{str(cell)[:_LONGEST_SHOWN]!r} "
        return UsageError(f"{self.name}, line {line}, column {column.name}: {shown}{what}.")

    def _read_headers(self) -> list[Any]:
        if not isinstance(self._records, str | Path):
            columns = getattr(self._records, "columns", None)
            if columns is None or not (hasattr(self._records, "iter_rows") or hasattr(self._records, "itertuples")):
                raise UsageError(
                    f"records must be a CSV file, or a frame of pandas or polars; came {type(self._records).__name__}."
                )
            return list(columns)
        return next((cells for _, cells in self._lines()), [])

    def _cells(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Rows with the number of their line; a frame's first row has the number 1."""
        if isinstance(self._records, str | Path):
            lines = self._lines()
            next(lines, None)
            yield from lines
        elif hasattr(self._records, "iter_rows"):
            yield from enumerate(self._records.iter_rows(), start=1)
        else:
            yield from enumerate(self._records.itertuples(index=False, name=None), start=1)

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Lines of a file that are not empty, headers included; the first has the number 1."""
        path = Path(self._records)
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield reader.line_num, cells
        except FileNotFoundError:
            raise UsageError(f"there is no file {path}. Name a CSV file with a line of headers.") from None
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save the table as CSV in UTF-8."
            ) from None
        except csv.Error as error:
            raise UsageError(f"{path} is no CSV file: {error}.") from None
