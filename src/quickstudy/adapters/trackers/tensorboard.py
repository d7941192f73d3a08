"""Event files of TensorBoard, written by tensorboardX.

    ADDRESS/NAME/SERIES/events.out.tfevents.TIME.HOST.IDENTITY.NUMBER

A point is one event, so it is there as a whole or not at all. A file that was cut off in the middle of an event is left as it
is: TensorBoard and this module read it up to there, and the next command begins another file.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quickstudy.adapters.trackers.tracked_run import Point, TrackedRun, other_run_error
from quickstudy.adapters.trackers.tracker import NOTHING
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.protocol.printable import shell_word
from quickstudy.storage.results_folder import check_results_folder

try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.summary import text
except ImportError as error:
    raise MissingExtraError("tensorboardX, which writes for TensorBoard,", "track") from error

_FILES = "events.out.tfevents.*"
_HEADER, _AFTER = 12, 4
"""Bytes before and after the data of a record: its length and a checksum, and a checksum."""


class TensorBoard:
    """The folder of a run below the folder that TensorBoard shows.

    Args:
      run: that is written.
      folder: that TensorBoard shows.
    Raises:
      UsageError: another run has its name there.
    """

    def __init__(self, run: TrackedRun, folder: Path):
        self._run, self._folder = run, folder / run.name
        self._writers: dict[str, Any] = {}
        if any(_identity(path) != run.identity for path in self._folder.glob(f"*/{_FILES}")):
            raise other_run_error(run.name, str(folder))
        self.where = str(self._folder)
        self.shown_by = f"tensorboard --logdir {shell_word(folder)}"

    def last_step(self, series: str) -> int:
        """As of `Tracker`."""
        events = _events_of(self._folder / series)
        return max((event.step for event in events if any(map(_is_of_a_point, event.summary.value))), default=NOTHING)

    def write(self, series: str, points: Sequence[Point]) -> None:
        """As of `Tracker`."""
        writer = self._writer(series)
        for point in points:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            writer.write_event(Event(wall_time=self._run.began + point.seconds, step=point.step, summary=Summary(value=values)))
        writer.flush()

    def close(self) -> None:
        """As of `Tracker`."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, series: str) -> Any:
        """A new file of a series; the first one of all begins with the settings."""
        if series not in self._writers:
            place = self._folder / series
            place.mkdir(parents=True, exist_ok=True)
            number = len(list(place.glob(_FILES)))
            writer = EventsWriter(str(place / "events"), filename_suffix=f".{self._run.identity}.{number}")
            if number == 0:
                table = "\n".join(f"    {name} = {value}" for name, value in self._run.settings.items())
                writer.write_event(Event(wall_time=self._run.began, step=0, summary=text("settings", table)))
            self._writers[series] = writer
        return self._writers[series]


def open_tensorboard(run: TrackedRun, address: str) -> TensorBoard:
    """Opens a folder of event files for a run.

    Args:
      run: that is written.
      address: the folder that TensorBoard shows; it is made if it is not there.
    Raises:
      UsageError: the folder cannot be written, or another run has the name.
    """
    check_results_folder(address, flag="--address")
    return TensorBoard(run, Path(address))


def _events_of(folder: Path) -> Iterator[Any]:
    """All events in the files of a folder, file by file; of a file that was cut off, those before the cut."""
    for path in sorted(folder.glob(_FILES)):
        data, place = path.read_bytes(), 0
        while place + _HEADER <= len(data):
            begin = place + _HEADER
            end = begin + struct.unpack_from("<Q", data, place)[0]
            if end + _AFTER > len(data):
                break
            yield Event.FromString(data[begin:end])
            place = end + _AFTER


def _is_of_a_point(value: Any) -> bool:
    return value.WhichOneof("value") == "simple_value"


def _identity(path: Path) -> str:
    return path.name.rsplit(".", 2)[-2]
