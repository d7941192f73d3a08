"""Days in tables, and their faults: mixed time zones, missing days."""

import dataclasses
import datetime
from typing import Any

from quickstudy.protocol.errors import UsageError

_MOST_NAMED = 3


@dataclasses.dataclass(frozen=True, order=True)
class Day:
    """A day, as days since 0001-01-01, and the time zone that its cell named: minutes from UTC, or None."""

    number: int
    zone: int | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        return datetime.date.fromordinal(self.number).isoformat()


def day_of(cell: Any) -> Day:
    """A day from ISO text such as `2026-03-31` or `2026-03-31T10:00+02:00`, or from a date.

    Raises:
      ValueError: it is none.
    """
    if isinstance(cell, datetime.datetime):
        moment = cell
    elif isinstance(cell, datetime.date):
        return Day(cell.toordinal())
    elif isinstance(cell, str):
        moment = datetime.datetime.fromisoformat(cell)
    else:
        raise ValueError(f"no day: {cell!r:.40}")
    offset = moment.utcoffset()
    return Day(moment.date().toordinal(), None if offset is None else int(offset.total_seconds() // 60))


class Zones:
    """Holds the days of a table to one time zone.

    Args:
      table: its name, for messages.
    """

    def __init__(self, table: str):
        self._table = table
        self._first: tuple[int, int | None] | None = None

    def check(self, day: Day, line: int) -> None:
        """Takes in the day of a line.

        Raises:
          UsageError: its time zone is not that of the lines before.
        """
        if self._first is None:
            self._first = line, day.zone
        elif self._first[1] != day.zone:
            raise UsageError(
                f"{self._table}: time zones are mixed: line {self._first[0]} has {_zone(self._first[1])} and line {line} "
                f"{_zone(day.zone)}. Days then begin at different moments. Write all days in one zone."
            )


def check_no_day_missing(table: str, of: str, days: set[int]) -> None:
    """Raises UsageError if there is a gap between the first day and the last.

    Args:
      table: its name.
      of: what the days belong to, in words.
      days: numbers of the days that are there.
    """
    missing = [day for day in range(min(days), max(days)) if day not in days]
    if missing:
        named = ", ".join(str(Day(day)) for day in missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise UsageError(
            f"{table}: {of} lacks {len(missing)} days between {Day(min(days))} and {Day(max(days))}: {named}{more}. Add them, "
            "with zeros where nothing happened; or allow gaps with --missing-days; or leave out the column of days."
        )


def _zone(minutes: int | None) -> str:
    if minutes is None:
        return "none"
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
