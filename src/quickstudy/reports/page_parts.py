"""Parts of every generated HTML page: the document with its styles, sections, charts, and text that came from anybody."""

import html
from collections.abc import Sequence
from importlib import resources
from typing import Any

from quickstudy.protocol.printable import printable
from quickstudy.reports import canvas
from quickstudy.reports.canvas import Picture


def document(title: str, body: Sequence[str]) -> str:
    """A whole HTML page; empty parts are left out."""
    css = resources.files("quickstudy.reports").joinpath("page.css").read_text(encoding="utf-8")
    for word, palette in (("LIGHT_SERIES", canvas.LIGHT), ("DARK_SERIES", canvas.DARK)):
        css = css.replace(word, " ".join(f"--series-{place}: {colour};" for place, colour in enumerate(palette)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, content: str) -> str:
    """A part of a page below a heading of ours."""
    return f"<section><h2>{heading}</h2>{content}</section>"


def grid(shown: Sequence[Picture]) -> str:
    """Charts side by side, as far as the width allows."""
    cells = []
    for picture in shown:
        svg = canvas.inline(picture, label=text(picture.alternative))
        cells.append(f"<figure><h3>{text(picture.title)}</h3>{svg}<figcaption>{text(picture.caption)}</figcaption></figure>")
    return f'<div class="pictures">{"".join(cells)}</div>'


def table(heads: Sequence[str], rows: Sequence[str], *, label: str) -> str:
    """A table that scrolls sideways where it is wider than the page.

    Args:
      heads: text above each column.
      rows: HTML of the rows, as `table_row` makes them.
      label: names the table for screen readers; words of ours.
    """
    cells = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def table_row(head: str, cells: Sequence[str]) -> str:
    """A row of a table.

    Args:
      head: HTML of its first cell.
      cells: text of anybody, for the other cells.
    """
    return f'<tr><th scope="row">{head}</th>{"".join(f"<td>{text(cell)}</td>" for cell in cells)}</tr>'


def text(value: Any) -> str:
    """Text from any source as text of a page: without markup and without control characters."""
    return html.escape(printable(value, lines=True))
