"""Rows that occur twice in a table, found in bounded memory.

A first pass marks the hash of every row in a field of bits. A hash that was marked before may be a repetition, or another row
with the same mark. A second pass looks at these few rows exactly.
"""

from collections.abc import Callable, Hashable, Iterator

import numpy as np

from quickstudy.protocol.errors import UsageError

_BITS = 2**27
"""Marks, in 16 MB: of five million different rows one in twenty has a mark that was there before."""
_MOST_LOOKED_AT = 2_000_000


class Repetitions:
    """Collects rows that may be repetitions.

    Args:
      table: its name, for messages.
    """

    def __init__(self, table: str):
        self._table = table
        self._marks = np.zeros(_BITS // 8, np.uint8)
        self._suspects = set[int]()

    def add(self, key: Hashable) -> None:
        """Takes in what identifies a row."""
        place = hash(key) % _BITS
        bit = np.uint8(1 << (place % 8))
        if self._marks[place // 8] & bit:
            self._suspects.add(place)
        else:
            self._marks[place // 8] |= bit

    def check(self, again: Callable[[], Iterator[tuple[int, Hashable]]]) -> None:
        """Looks at the suspects exactly.

        Args:
          again: `() -> lines and keys` of all rows once more.
        Raises:
          UsageError: two rows are the same. Names both lines.
        """
        if not self._suspects:
            return
        seen: dict[Hashable, int] = {}
        for line, key in again():
            if hash(key) % _BITS not in self._suspects:
                continue
            if key in seen:
                shown = ", ".join(str(part) for part in key if part is not None) if isinstance(key, tuple) else str(key)
                raise UsageError(
                    f"{self._table}: lines {seen[key]} and {line} are rows of the same thing ({shown:.120}). Leave one out, "
                    "or add them up."
                )
            if len(seen) < _MOST_LOOKED_AT:
                seen[key] = line
