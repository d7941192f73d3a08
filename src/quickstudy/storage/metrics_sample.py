"""A part of the lines of a file of metrics: enough for a list of runs or a curve, without parsing all of a long file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.storage.metrics_file import has_digest, parsed_line
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


def evenly_chosen_lines(path: Path, *, most: int, holding: str = "") -> SampledMetrics:
    """Lines of a file of metrics, evenly chosen, and always the last one; none where there is no file.

    Args:
      path: of the file.
      most: how many are parsed.
      holding: a text that chosen lines hold, such as the name of a measure.
    Raises:
      UsageError: it is no regular file, or too large.
    """
    if not path.exists():
        return SampledMetrics(lines=[], damaged=0)
    text = read_file(path, what=_WHAT, most_bytes=METRICS_BYTES).decode(errors="replace")
    held = [line for line in text.split("\n")[:-1] if line and holding in line]
    chosen = held
    if len(held) > most:
        chosen = [held[place] for place in np.linspace(0, len(held) - 1, most).round().astype(int)]
    return _sampled(chosen, with_digest=has_digest(text[:_FIRST_BYTES]))


def _sampled(texts: list[str], *, with_digest: bool) -> SampledMetrics:
    lines = [line for text in texts if (line := parsed_line(text, with_digest=with_digest)) is not None]
    return SampledMetrics(lines=lines, damaged=len(list(filter(None, texts))) - len(lines))
