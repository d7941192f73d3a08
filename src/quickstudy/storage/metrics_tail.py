"""The lines of a file of metrics as they are added, for readers that follow a run."""

from pathlib import Path
from typing import Any

from quickstudy.storage.metrics_file import has_digest, parsed_line
from quickstudy.storage.reading import METRICS_BYTES, regular_file


class MetricsTail:
    """Reads what was added to a file of metrics since it was last read, and never gives a line twice.

    A run that goes on from a checkpoint drops the lines after it and writes them again. The file is then read from its start,
    and updates that were given before are left out.

    Args:
      path: of the file; it need not be there yet.

    The attribute `damaged` counts lines that were cut off or changed, and left out.
    """

    def __init__(self, path: Path):
        self._path = path
        self._read, self._last = 0, b""
        self._update = 0
        self._with_digests = False
        self.damaged = 0

    def new_lines(self) -> list[dict[str, Any]]:
        """The whole lines since the last call, oldest first. A last line without an end waits for its end.

        Raises:
          UsageError: it is no regular file, or too large.
        """
        if not self._path.exists():
            return []
        with regular_file(self._path, what="metrics of the run", most_bytes=METRICS_BYTES) as (file, size):
            start = self._read - len(self._last)
            file.seek(start)
            if size < self._read or file.read(len(self._last)) != self._last:
                self._read, self._last = 0, b""
                file.seek(0)
            added = file.read(max(0, size - self._read))
        whole = added[: added.rfind(b"\n") + 1]
        if not whole:
            return []
        self._read += len(whole)
        self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
        return self._parsed(whole.decode(errors="replace"))

    def _parsed(self, text: str) -> list[dict[str, Any]]:
        """The lines of a text that were not given before."""
        self._with_digests = self._with_digests or has_digest(text)
        lines = []
        for one in filter(None, text.split("\n")):
            line = parsed_line(one, with_digest=self._with_digests)
            if line is None:
                self.damaged += 1
            elif line["update"] > self._update:
                self._update = line["update"]
                lines.append(line)
        return lines
