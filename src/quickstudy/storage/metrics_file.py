"""The metrics of a run on disk: one JSON object a line, each with a digest of itself.

    {"update": 3, "steps": 480, "seconds": 2.1, "train_return": [3.4], "digest": "51ab9c0d2e7f6a18"}

The digest is the beginning of the SHA-256 of the line without it. A line that was cut off, or in which a number has changed,
is left out by `read`. Files of earlier versions hold no digests and are read without them.
"""

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from quickstudy.storage.atomic import errors_name, write_all, write_atomically
from quickstudy.storage.reading import DESCRIPTION, METRICS_BYTES, parse_json, read_file

_DIGITS = 16
_MARK = ', "digest": "'
_END = '"}'

_log = logging.getLogger("quickstudy")


class MetricsFile:
    """The file that a run adds its lines to.

    Args:
      path: of the file; created with the first line.

    A line that a full disk does not take is kept in memory, and is written with the next one that it takes.
    """

    def __init__(self, path: Path):
        self._path = path
        self._waiting: list[str] = []
        self._torn = False

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line.

        Raises:
          OSError: the disk is full, gone or read-only. The line waits for the next call.
        """
        self._waiting.append(_rendered(line))
        self.flush()

    def flush(self, *, durable: bool = False) -> None:
        """Writes the lines that wait.

        Args:
          durable: also bring the file to the disk, so that a power cut does not lose it.
        Raises:
          OSError: the disk is full, gone or read-only. The lines wait for the next call.
        """
        if self._waiting or (durable and self._path.exists()):
            with errors_name(self._path):
                handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                try:
                    self._write_waiting(handle)
                    if durable:
                        os.fsync(handle)
                finally:
                    os.close(handle)

    def _write_waiting(self, handle: int) -> None:
        size = os.fstat(handle).st_size
        try:
            write_all(handle, ("\n" if self._torn else "").encode() + "".join(self._waiting).encode())
        except OSError:
            self._torn = True  # until the part that was written is gone, the next line must not join it
            with suppress(OSError):
                os.ftruncate(handle, size)
                self._torn = False
            raise
        self._torn, self._waiting = False, []

    def keep(self, update: int) -> list[dict[str, Any]]:
        """Drops the lines after an update, and those that are damaged; gives the others, oldest first.

        Raises:
          OSError: the disk is full, gone or read-only. The file is as it was before.
        """
        self._waiting, self._torn = [], False
        lines, damaged, torn = read(self._path)
        _say_what_is_left_out(self._path, damaged + torn)
        kept = [line for line in lines if line["update"] <= update]
        if self._path.exists():
            write_atomically(self._path, "".join(map(_rendered, kept)))
        return kept


def read(path: Path) -> tuple[list[dict[str, Any]], int, int]:
    """The whole lines of a file of metrics, oldest first, the number of damaged ones, and 1 where the last one was cut off.

    A last line without an end may be one that is being written now.
    """
    if not path.exists():
        return [], 0, 0
    text = read_file(path, what="metrics of the run", most_bytes=METRICS_BYTES).decode(errors="replace")
    *ended, last = text.split("\n")
    with_digests = any(map(has_digest, ended))
    lines: list[dict[str, Any]] = []
    damaged = 0
    for one in filter(None, ended):
        line = parsed_line(one, with_digest=with_digests)
        if line is None or (lines and line["update"] <= lines[-1]["update"]):
            damaged += 1
        else:
            lines.append(line)
    return lines, damaged, int(bool(last))


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Every whole line of a run's `metrics.jsonl`, oldest first; empty where there is none.

    A line that is damaged is left out, and the log says how many there are.
    """
    path = Path(folder) / "metrics.jsonl"
    lines, damaged, _ = read(path)
    _say_what_is_left_out(path, damaged)
    return lines


def _say_what_is_left_out(path: Path, damaged: int) -> None:
    if damaged:
        lines = "1 line is" if damaged == 1 else f"{damaged} lines are"
        _log.warning("%s: %s cut off or damaged and left out.", path, lines)


def _rendered(line: dict[str, Any]) -> str:
    text = json.dumps(line)
    return f"{text[:-1]}{_MARK}{_digest(text)}{_END}\n"


def has_digest(text: str) -> bool:
    """Whether a line of a file of metrics holds a digest. If one does, all of that file must."""
    return _MARK in text


def parsed_line(text: str, *, with_digest: bool) -> dict[str, Any] | None:
    """A line's object without its digest; None where it is damaged."""
    if with_digest:
        if not is_whole(text):
            return None
        text = _without_digest(text)
    try:
        line = parse_json(text, limit=DESCRIPTION, finite=False)
    except ValueError:
        return None
    return line if isinstance(line, dict) and type(line.get("update")) is int else None


def is_whole(text: str) -> bool:
    """Whether a line holds the digest of itself."""
    return text.rpartition(_MARK)[2] == _digest(_without_digest(text)) + _END


def _without_digest(text: str) -> str:
    return text.rpartition(_MARK)[0] + "}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
