"""What pages keep between requests: answers that take long, and what was read of files."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class Kept(Generic[Found]):
    """The newest answers to questions that take seconds and every core; so one is answered at a time.

    Args:
      most: answers that are kept; then the one that was asked for longest ago is dropped.
    """

    def __init__(self, most: int):
        self._most = most
        self._answers: OrderedDict[Hashable, Found] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, question: Hashable, find: Callable[[], Found]) -> Found:
        """The kept answer, else what `find` gives. An error is passed on, and not kept.

        Args:
          question: everything that the answer depends on.
          find: gives the answer.
        """
        with self._lock:
            if question not in self._answers:
                self._answers[question] = find()
            self._answers.move_to_end(question)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
            return self._answers[question]


class KeptFiles:
    """What functions have read of files; a file is read again only if it has changed.

    Args:
      most: results that are kept; with more of them, all are dropped.
    """

    def __init__(self, most: int):
        self._most = most
        self._kept: dict[tuple[Any, ...], tuple[tuple[int, int] | None, Any]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, function: Callable[..., Found], *arguments: Any) -> Found:
        """What a function gives for its arguments, as long as a file has not changed.

        Args:
          path: of the file, which need not be there.
          function: reads the file.
          arguments: of the function.
        """
        key, stamp = (function.__qualname__, str(path), *arguments), stamp_of(path)
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept[0] != stamp:
            kept = (stamp, function(*arguments))
            with self._lock:
                if key not in self._kept and len(self._kept) >= self._most:
                    self._kept.clear()
                self._kept[key] = kept
        return kept[1]


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written: its time in nanoseconds and its size in bytes; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
