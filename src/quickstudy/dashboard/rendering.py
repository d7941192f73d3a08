"""Templates, and how numbers and times are written on every page."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import printable, shell_word

_TEMPLATES = Path(__file__).with_name("templates")
NOT_KNOWN = "–"


class Pages:
    """Makes pages from templates.

    Args:
      form_key: that forms of these pages hold.
      signs_out: whether a caller can sign out.
    """

    def __init__(self, *, form_key: str, signs_out: bool):
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES, encoding="utf-8"),
            autoescape=True,
            finalize=_shown,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"form_key": form_key, "signs_out": signs_out}
        self._templates.filters |= {
            "number": number,
            "duration": duration,
            "moment": moment,
            "counted": counted,
            "sentence": sentence,
            "shell_word": shell_word,
        }

        self._templates.globals["parts"] = self._templates.get_template("parts.html").module

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The page that a template makes of values."""
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def chosen(self, make: Callable[[], Response], values: Mapping[str, Any]) -> Response:
        """The page that a function makes; if it cannot, its reason below the form that chooses other results.

        Args:
          make: makes the page.
          values: what the form needs: `here`, `title`, `folders` and `name`; and `splits` and `split`, if there are splits.
        """
        try:
            return make()
        except UsageError as error:
            return self.page("other_result.html", status=400, said=str(error), **values)

    def part(self, template: str, *blocks: str, **values: Any) -> Response:
        """Some blocks of a template, to be put into a page that is there already."""
        made = self._templates.get_template(template)
        return HTMLResponse("".join(piece for block in blocks for piece in made.blocks[block](made.new_context(values))))


def csv_response(header: Sequence[str], rows: Iterable[Sequence[Any]], *, name: str) -> Response:
    """A table as a file. A cell that is None is empty.

    Args:
      header: names of the columns, with their units.
      rows: of the table.
      name: of the file, without its ending.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_cell, header))
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'inline; filename="{name}.csv"'}
    return Response(file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def number(value: float | None, digits: int = 4) -> str:
    """A number as people read it: with separators, and so many significant digits."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A time in its two largest units."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_KNOWN
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def moment(at: float | None) -> str:
    """A time of day, in UTC."""
    if at is None:
        return NOT_KNOWN
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return NOT_KNOWN


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural where there is not one: `3 seeds`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """Text that begins with a capital letter, unless it begins with a path, which must stay as it is."""
    return text if "/" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def _shown(value: Any) -> Any:
    """What a template writes: text of anybody with its steering characters made visible."""
    if value is None:
        return NOT_KNOWN
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(value: Any) -> Any:
    """A cell. Text that a spreadsheet would take for a formula gets a blank in front."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        text = printable(value)
        return f" {text}" if text[:1] in "=+-@" else text
    return float(f"{value:.7g}") if isinstance(value, float) else value
