"""A part of the lines of a file of metrics: enough for a list of runs or a curve, without parsing all of a long file."""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.storage.metrics_file import has_digest, is_whole, parsed_line
from quickstudy.storage.reading import METRICS_BYTES, read_file, regular_file

_WHAT = "metrics of the run"
_LAST_BYTES = 2**15
_FIRST_BYTES = 2**13


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampledMetrics:
    """Some lines of a file of metrics.

    Args:
      lines: the whole ones among those that were looked at, oldest first.
      damaged: how many of those that were looked at are damaged.
    """

    lines: list[dict[str, Any]]
    damaged: int


def last_lines(path: Path, *, most: int = 25, holding: str = "", most_bytes: int = _LAST_BYTES) -> SampledMetrics:
    """The lines at the end of a file of metrics; none where there is no file.

    Args:
      path: of the file.
      most: how many lines.
      holding: a text. Of the lines before those, the newest that holds it is given, too; none if not given.
      most_bytes: of the file that are read, from its end.
    Raises:
      UsageError: it is no regular file, or too large.
    """
    if not path.exists():
        return SampledMetrics(lines=[], damaged=0)
    with regular_file(path, what=_WHAT, most_bytes=METRICS_BYTES) as (file, size):
        first = file.read(_FIRST_BYTES).decode(errors="replace")
        start = max(0, size - most_bytes)
        file.seek(start)
        texts = file.read(most_bytes).decode(errors="replace").split("\n")
    whole = texts[1 if start else 0 : -1]  # the last one is empty, or is being written
    newest = whole[-most:]
    if holding and not any(holding in text for text in newest):
        newest = [text for text in whole[:-most] if holding in text][-1:] + newest
    return _sampled(newest, with_digest=has_digest(first))


def evenly_chosen_lines(path: Path, *, most: int, names: Sequence[str], parsed: bool = False) -> SampledMetrics:
    """Some values of lines of a file of metrics, evenly chosen, and always the last one; none where there is no file.

    A line with a whole digest is not parsed beyond these values, which takes a tenth of the time.

    Args:
      path: of the file.
      most: how many lines are looked at.
      names: of the values; a line is chosen if it has the last of them.
      parsed: give everything that a line holds, such as lists of lists.
    Raises:
      UsageError: it is no regular file, or too large.
    """
    if not path.exists():
        return SampledMetrics(lines=[], damaged=0)
    content = read_file(path, what=_WHAT, most_bytes=METRICS_BYTES)
    mark, ends = f'"{names[-1]}"'.encode(), content.rfind(b"\n")  # what follows is being written
    places, at = [], content.find(mark)
    while 0 <= at < ends:
        places.append(at)
        at = content.find(mark, content.find(b"\n", at))
    if len(places) > most:
        places = [places[place] for place in np.linspace(0, len(places) - 1, most).round().astype(int)]
    texts = [content[content.rfind(b"\n", 0, at) + 1 : content.find(b"\n", at)].decode(errors="replace") for at in places]
    with_digest = has_digest(content[:_FIRST_BYTES].decode(errors="replace"))
    if parsed or not with_digest:
        return _sampled(texts, with_digest=with_digest)
    wanted = [(name, re.compile(rf'"{re.escape(name)}": ([^,\[\]{{}}"]+|\[[^\[\]{{}}"]*\])[,}}]')) for name in names]
    lines = [_values_of(text, wanted) for text in texts if is_whole(text)]
    return SampledMetrics(lines=lines, damaged=len(texts) - len(lines))


def _values_of(text: str, wanted: Sequence[tuple[str, re.Pattern]]) -> dict[str, Any]:
    """The values of a line by name, as far as they are numbers or lists of numbers."""
    found: dict[str, Any] = {}
    for name, pattern in wanted:
        if (match := pattern.search(text)) is not None:
            with contextlib.suppress(ValueError):  # a word, which is no value that curves show
                inner = match[1].removeprefix("[").removesuffix("]")
                values = [float(one) for one in inner.split(",")] if inner else []
                found[name] = values if inner != match[1] else values[0]
    return found


def _sampled(texts: list[str], *, with_digest: bool) -> SampledMetrics:
    lines = [line for text in texts if (line := parsed_line(text, with_digest=with_digest)) is not None]
    return SampledMetrics(lines=lines, damaged=len(list(filter(None, texts))) - len(lines))
