"""Weights & Biases, offline: its files on this machine, which `wandb sync` sends when somebody asks for it.

    ADDRESS/wandb/offline-run-TIME-ID/run-ID.wandb          or offline-run-TIME-ID-1, where another began in the same second

The package writes from a process of its own. So what was written is read from its files: a log of records in blocks, each
record in one or several parts. Weights & Biases tells runs apart by their identity, not by their name.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from quickstudy.adapters.trackers.tracked_run import Point, TrackedRun
from quickstudy.adapters.trackers.tracker import NOTHING
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.protocol.printable import shell_word
from quickstudy.storage.results_folder import check_results_folder

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it is read when the package is imported
try:
    import wandb

    # Its classes are made when it is imported, so a type checker sees none of them.
    _messages: Any = import_module("wandb.proto.wandb_internal_pb2")
except ImportError as error:
    raise MissingExtraError("wandb", "wandb") from error

_FILE_HEADER, _BLOCK = 7, 32768
_PART = struct.Struct("<IHB")
"""Before each part: a checksum, its length, and its kind."""
_WHOLE, _LAST = 1, 4


class Wandb:
    """A folder of offline runs.

    Args:
      run: that is written.
      folder: that holds the folder `wandb`.
    """

    def __init__(self, run: TrackedRun, folder: Path):
        self._run, self._folder = run, folder
        self._runs: dict[str, Any] = {}
        self.where = f"{folder / 'wandb'}, project {run.project}"
        self.shown_by = f"wandb sync {shell_word(folder / 'wandb')}/offline-run-*"

    def last_step(self, series: str) -> int:
        """As of `Tracker`."""
        return max(_steps_of(self._folder, self._id(series)), default=NOTHING)

    def write(self, series: str, points: Sequence[Point]) -> None:
        """As of `Tracker`."""
        if series not in self._runs:
            self._runs[series] = self._begun(series)
        for point in points:
            at = {"_timestamp": self._run.began + point.seconds}
            self._runs[series].log(dict(point.values) | at, step=point.step, commit=True)

    def close(self) -> None:
        """As of `Tracker`. The process of the package writes what it still holds."""
        for run in self._runs.values():
            run.finish()

    def _begun(self, series: str) -> Any:
        settings = wandb.Settings(
            mode="offline",
            reinit="create_new",
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_save_requirements=False,
        )
        return wandb.init(
            project=self._run.project,
            id=self._id(series),
            name=f"{self._run.name}/{series}",
            group=self._run.name,
            config=dict(self._run.settings),
            dir=self._folder,
            settings=settings,
        )

    def _id(self, series: str) -> str:
        name = hashlib.sha256(f"{self._run.name}/{series}".encode()).hexdigest()[:8]
        return f"{self._run.identity}-{name}"


def open_wandb(run: TrackedRun, address: str) -> Wandb:
    """Opens a folder of offline runs.

    Args:
      run: that is written.
      address: the folder; it is made if it is not there.
    Raises:
      UsageError: the folder cannot be written.
    """
    check_results_folder(address, flag="--address")
    folder = Path(address).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return Wandb(run, folder)


def _steps_of(folder: Path, key: str) -> Iterator[int]:
    """Steps of the points in the offline runs of one identity; of a file that was cut off, those before the cut.

    Args:
      folder: that holds the folder `wandb`.
      key: the identity.
    """
    # A folder that begins in the same second as an earlier one of the run ends in a number of its own.
    for path in sorted(folder.glob(f"wandb/offline-run-*/run-{key}.wandb")):
        for data in _records(path.read_bytes()):
            record = _messages.Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                yield record.history.step.num


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a log; a part does not cross the end of a block."""
    place, record = _FILE_HEADER, b""
    while place + _PART.size <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _PART.size:
            place += left
            continue
        _, length, kind = _PART.unpack_from(data, place)
        place += _PART.size
        if kind == 0 or place + length > len(data):  # never written, or cut off
            return
        record += data[place : place + length]
        place += length
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""
