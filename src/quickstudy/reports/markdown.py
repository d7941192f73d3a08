"""Parts of a generated Markdown page: tables, wrapped text, list items and folded parts; and text from any source, escaped."""

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from quickstudy.protocol.printable import printable

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
    """Parts with an empty line between them; empty parts are left out."""
    return "\n\n".join(part.strip() for part in parts if part.strip())


_MARKS = re.compile(r"([\\`*_\[\]<>|#])")


def shown(text: object) -> str:
    """Text from any source on one line, escaped, so that Markdown shows it as it is."""
    return _MARKS.sub(r"\\\1", printable(text))


def code(text: object) -> str:
    """Text from any source as code within a line, also in a table. A backtick becomes an apostrophe."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', chr(92) + '|') or ' '}`"


def fenced(text: str, *, language: str = "text") -> str:
    """Text as it is, in a fence that no run of backticks in it can close."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{printable(text, lines=True)}\n{fence}"


def setting(value: Any) -> str:
    """The value of a setting: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
