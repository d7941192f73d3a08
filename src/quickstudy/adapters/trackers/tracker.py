"""What every tracker can do here. Each is a file beside this one."""

from collections.abc import Sequence
from typing import Protocol

from quickstudy.adapters.trackers.tracked_run import Point
from quickstudy.protocol.errors import UsageError

NOTHING = -1
"""The last step of a series that has no point yet."""


class Tracker(Protocol):
    """A tracker that is open for one run.

    What it holds is the only memory of what was written, so a command that was killed goes on where the points end.
    """

    where: str
    """The place, in words for people."""
    shown_by: str
    """The command that shows it."""

    def last_step(self, series: str) -> int:
        """The largest step of a series; `NOTHING` where it has none."""
        ...

    def write(self, series: str, points: Sequence[Point]) -> None:
        """Adds points of a series, each whole or not at all; their steps rise and lie above `last_step`."""
        ...

    def close(self) -> None:
        """Brings everything to its place."""
        ...


def check_word(word: str, *, flag: str, parts: bool = False) -> None:
    """Refuses a name that a tracker could not use in a path.

    Args:
      word: the name.
      flag: that gives it.
      parts: whether slashes may divide it.
    Raises:
      UsageError: it is empty, too long, has characters that cannot be shown, or leads out of its folder.
    """
    given = word.split("/") if parts else [word]
    fits = len(word) <= 120 and word.isprintable() and not any(one.strip(" .") == "" or "\\" in one for one in given)
    if not fits or (not parts and "/" in word):
        raise UsageError(
            f"a name has at most 120 characters that can be shown, and no part of it is empty or only dots; came {word!r:.200}."
            f" Give another with {flag}."
        )
