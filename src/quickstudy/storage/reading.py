"""Files that may come from anybody are read here, and nowhere else.

A file is read only if it is a regular file. A link to one is followed; devices, pipes and folders are refused and never opened.
Its size is known before it is read, and has a limit. Text is UTF-8, whatever the locale. JSON has more limits: its nesting, the
number of its values, and its numbers, which must be finite and fit into 64 bits. A key stands once in an object.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from quickstudy.protocol.errors import QuickstudyError, UsageError

_IN_FULL = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.S)
_LARGEST_INTEGER = 2**64
_BLOCK, _SMALL = 2**20, 2**24
_BLOCK_OF_DISK, _MOST_COMPRESSED = 512, 8
"""A file of holes claims bytes that no disk holds. Disks may compress, but no disk compresses parameters so far."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """How large a JSON file may be.

    Args:
      bytes: of the file.
      values: numbers, texts, lists and objects in it, about.
      depth: of lists and objects within each other.
    """

    bytes: int
    values: int
    depth: int = 64


CARD = Limit(bytes=16 * 2**20, values=2**21)
"""The card of a bundle. Images of 210 x 160 pixels in colour need about 2 MB of bounds."""
RESULTS = Limit(bytes=256 * 2**20, values=2**24)
"""Results, which hold a number for each step of a lifetime and each contender."""
DESCRIPTION = Limit(bytes=16 * 2**20, values=2**20)
"""Files that describe a run, and small results."""
METRICS_BYTES = 2**30
"""Of a file of metrics: a run of a month has that many."""


@contextlib.contextmanager
def regular_file(
    path: str | os.PathLike, *, what: str, most_bytes: int, refusal: type[QuickstudyError] = UsageError
) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a file to read, and gives its size in bytes.

    Args:
      path: of the file.
      what: what it should hold, in words, as in `evaluation`.
      most_bytes: that it may have.
      refusal: kind of the error.
    Raises:
      UsageError: (or what `refusal` names) no such file, something else than a regular file, or one that is too large.
    """
    name = os.fspath(path)
    try:
        _check_regular(os.stat(name).st_mode, name, what, refusal)  # opening a device may already act on it
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise refusal(f"{name} cannot be read as the {what}: {reason}.") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check_regular(found.st_mode, name, what, refusal)
        if found.st_size > most_bytes:
            raise refusal(
                f"{name} has {found.st_size:,} bytes; the {what} may have {most_bytes:,}. It is damaged, or another file."
            )
        on_disk = _BLOCK_OF_DISK * getattr(found, "st_blocks", 0)
        if found.st_size > _SMALL and 0 < on_disk < found.st_size // _MOST_COMPRESSED:
            raise refusal(
                f"{name} has {found.st_size:,} bytes, and {on_disk:,} of them are there. It is damaged; copy it again."
            )
        try:
            yield file, found.st_size
        except OSError as error:
            raise refusal(f"{name} cannot be read as the {what}: {error.strerror or error}.") from error


def read_file(
    path: str | os.PathLike,
    *,
    what: str,
    most_bytes: int,
    refusal: type[QuickstudyError] = UsageError,
    begins: bytes = b"",
) -> bytes:
    """The content of a file.

    Args:
      path: of the file.
      what: what it should hold, in words.
      most_bytes: that it may have.
      refusal: kind of the error.
      begins: how the content begins, after blank characters. Of a large file that begins otherwise only a part is read.
    Raises:
      UsageError: (or what `refusal` names) as of `regular_file`.
    """
    with regular_file(path, what=what, most_bytes=most_bytes, refusal=refusal) as (file, size):
        start = file.read(min(size, _BLOCK))
        return start + file.read(size - len(start)) if start.lstrip().startswith(begins) else start


def read_json(
    path: str | os.PathLike,
    *,
    what: str,
    limit: Limit = RESULTS,
    refusal: type[QuickstudyError] = UsageError,
    finite: bool = True,
) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
      path: of the file.
      what: what it should hold, in words, as in `evaluation`.
      limit: of its size.
      refusal: kind of the error.
      finite: as of `parse_json`.
    Raises:
      UsageError: (or what `refusal` names) as of `regular_file`; or it does not parse, or holds something else than an object.
    """
    content = read_file(path, what=what, most_bytes=limit.bytes, refusal=refusal, begins=b"{")
    try:
        data = parse_json(content, limit=limit, finite=finite)
    except ValueError as error:
        raise refusal(f"{os.fspath(path)} does not parse as the {what}: {error}.") from error
    if not isinstance(data, dict):
        raise refusal(f"{os.fspath(path)} must hold one JSON object, the {what}; came a {type(data).__name__}.")
    return data


def parse_json(content: bytes | str, *, limit: Limit, finite: bool = True) -> Any:
    """JSON within limits.

    Args:
      content: the text, as UTF-8 where it is bytes.
      limit: of its nesting and of its number of values.
      finite: refuse the words NaN and Infinity, which JSON does not have and Python writes.
    Raises:
      ValueError: it is not UTF-8 or not JSON, is nested too deeply or too large, holds a number that is not finite or does not
        fit into 64 bits, or an object with one key twice.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error
    values = 1 + text.count(",") + text.count("[") + text.count("{")
    if values > limit.values:
        raise ValueError(f"it holds about {values:,} values, and {limit.values:,} are allowed")
    if text.count("[") + text.count("{") > limit.depth:
        _check_depth(text, limit.depth)
    refused = {"parse_constant": _refuse_constant} if finite else {}
    return json.loads(text, parse_int=_integer, parse_float=_number, object_pairs_hook=_object, **refused)  # type: ignore[arg-type]


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name that could be read; False for a path that no file can have."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def _check_regular(mode: int, name: str, what: str, refusal: type[QuickstudyError]) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise refusal(f"{name} is {kind}, so it is not read as the {what}. It must be a regular file.")


def _check_depth(text: str, most: int) -> None:
    depth = 0
    for found in _IN_FULL.finditer(text):
        mark = found[0][0]
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        if depth > most:
            raise ValueError(f"lists and objects are nested more than {most} deep")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -_LARGEST_INTEGER < int(digits) < _LARGEST_INTEGER:
        raise ValueError(f"a whole number of {len(digits)} digits does not fit into 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice in one object")
    return made
