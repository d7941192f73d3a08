"""Parts of a generated Markdown page: tables, wrapped text, list items and folded parts."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120
"""Characters in a line of generated text; a table's lines are as long as their cells."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every row has as many cells as there are heads."""
    lines = [list(heads), ["---"] * len(heads), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paragraph(text: str) -> str:
    """Text on lines of at most `WIDTH` characters; a longer word, such as an address, stays whole."""
    return textwrap.fill(text.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)


def item(text: str) -> str:
    """One item of a list, wrapped as a paragraph is."""
    return textwrap.fill(
        text.strip(), WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def folded(summary: str, *parts: str) -> str:
    """Parts that a reader sees after a click on the summary."""
    return "\n\n".join([f"<details><summary>{summary}</summary>", *(part for part in parts if part), "</details>"])


def join(parts: Iterable[str]) -> str:
    """Parts with an empty line between them; an empty part leaves no trace."""
    return "\n\n".join(part.strip() for part in parts if part.strip())
