"""Tables, read row by row: a CSV file of any length, or a frame of pandas or polars.

Nothing here keeps rows, so a file may be larger than memory. A wrong cell raises an error that names line and column.
"""

import csv
import dataclasses
import math
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from quickstudy.fitting.days import day_of
from quickstudy.protocol.errors import UsageError

_LONGEST_SHOWN = 40
_EMPTY = ("", "na", "n/a", "nan", "null", "none", "<na>", "nat")
_FLAGS = {"true": 1, "false": 0}
_LARGEST = {"whole": 1e15, "flag": 1e15, "number": 1e100}
"""Largest sizes of numbers: products and squares of them stay finite, and counts stay exact."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column that is read.

    Args:
      name: by which the message and the documentation call it.
      also: other names that are taken for it.
      kind: of its cells: `text`, `whole` numbers of 0 or more, a `flag` (also true or false), any finite `number`, a `day`, or
        `any`, which is not looked at.
      optional: whether the table may lack it.
    """

    name: str
    also: tuple[str, ...] = ()
    kind: Literal["text", "whole", "flag", "number", "day", "any"] = "text"
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
        named = (str(header).strip() for header in self._read_headers())
        self.headers = [header or f"column {place}" for place, header in enumerate(named, start=1)]
        first: dict[str, str] = {}
        for header in self.headers:
            before = first.setdefault(plain_name(header), header)
            if before == header and self.headers.count(header) > 1:
                raise UsageError(f"{self.name}: the header {header!r} stands there twice. Rename one of the columns.")
            if before != header:
                raise UsageError(
                    f"{self.name}: the headers {before!r} and {header!r} are the same name. Rename one of the columns."
                )

    def columns(self, wanted: Sequence[Column]) -> dict[str, int]:
        """The places of the columns that are there, by name.

        Raises:
          UsageError: one that must be there is missing.
        """
        if len(self.headers) == 1 and any(mark in self.headers[0] for mark in ";\t|"):
            raise UsageError(
                f"{self.name}: the line of headers has no comma: {self.headers[0]!r:.120}. Save the table with commas between "
                "cells, and with points in numbers."
            )
        places = {plain_name(header): place for place, header in enumerate(self.headers)}
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

    def note_of_others(self, wanted: Sequence[Column]) -> tuple[str, ...]:
        """A sentence that names the headers that are not read, if there are any."""
        others = self.others(wanted)
        return (f"Not read: {', '.join(others)}.",) if others else ()

    def rows(self, wanted: Sequence[Column]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and cells of every row, by the names of the columns; a column that is not there gives None.

        Raises:
          UsageError: a cell that is empty, no number, or no day; a row that is too short or too long. Names line and column.
        """
        places = self.columns(wanted)
        for line, cells in self._cells():
            if len(cells) != len(self.headers):
                remedy = "Put cells with a comma in quotes."
                if any(isinstance(cell, str) and "\n" in cell for cell in cells):
                    remedy = "A quote that begins in this line may not be closed."
                raise UsageError(
                    f"{self.name}, line {line}: the row has {len(cells)} cells and the table {len(self.headers)} headers. "
                    f"{remedy}"
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
        if str(text).lower() in _EMPTY:
            said = f", as {str(text)!r} says" if str(text) else ""
            raise self._refusal(line, column, f"the cell is empty{said}. Fill it, or leave out the row")
        if column.kind == "text":
            return str(text)
        shown = f"{str(cell)[:_LONGEST_SHOWN]!r}"
        if column.kind == "day":
            try:
                return day_of(text)
            except ValueError:
                raise self._refusal(line, column, f"{shown} is no day. Write days like 2026-03-31") from None
        if column.kind == "flag" and isinstance(text, str):
            text = _FLAGS.get(text.lower(), text)
        try:
            number = math.nan if isinstance(text, str) and "_" in text else float(text)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            remedy = "Write numbers like 1234.5, without signs of thousands, currencies or percent"
            raise self._refusal(line, column, f"{shown} is no number. {remedy}")
        if not math.isfinite(number):
            raise self._refusal(line, column, f"{shown} is not finite. Write a finite number, or leave out the row")
        if abs(number) > _LARGEST[column.kind]:
            raise self._refusal(line, column, f"{shown} is too large; at most {_LARGEST[column.kind]:g} is allowed")
        if column.kind == "number":
            return number
        if number < 0 or number != int(number):
            raise self._refusal(line, column, f"{shown} must be a whole number of 0 or more")
        return int(number)

    def _refusal(self, line: int, column: Column, what: str) -> UsageError:
        header = self.headers[self.columns([column])[column.name]]
        return UsageError(f"{self.name}, line {line}, column {header}: {what}.")

    def _read_headers(self) -> list[Any]:
        if not isinstance(self._records, str | Path):
            columns = getattr(self._records, "columns", None)
            if columns is None or not (hasattr(self._records, "iter_rows") or hasattr(self._records, "itertuples")):
                raise UsageError(
                    f"records must be a CSV file, or a frame of pandas or polars; came {type(self._records).__name__}."
                )
            return list(columns)
        headers = next((cells for _, cells in self._lines()), None)
        if headers is None:
            raise UsageError(f"{self._records} is empty. Name a CSV file with a line of headers.")
        return headers

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
        path, begins = Path(self._records), 1
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UsageError(
                    f"{path} is a folder, or a pipe that cannot be read twice. Name a CSV file with a line of headers."
                )
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield begins, cells
                    begins = reader.line_num + 1
        except FileNotFoundError:
            raise UsageError(f"there is no file {path}. Name a CSV file with a line of headers.") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}. Name a CSV file with a line of headers.") from None
        except UnicodeDecodeError:
            raise UsageError(
                f"{path}, line {_first_line_of_another_code(path)}: this is not UTF-8 text. Save the table as CSV in UTF-8, "
                "and not as a workbook or an archive."
            ) from None
        except csv.Error as error:
            raise UsageError(f"{path}, line {begins}: {error}. A quote in this line may not be closed.") from None


def plain_name(header: str) -> str:
    """A header as it is compared: in small letters, with underscores for spaces."""
    return header.lower().replace(" ", "_")


def _first_line_of_another_code(path: Path) -> int:
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                return line
    return 1
