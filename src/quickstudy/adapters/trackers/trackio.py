"""The database of trackio on this machine; nothing is sent anywhere.

    ADDRESS/PROJECT.db        one run of trackio, NAME/SERIES, for each series

trackio writes all points of one call in one transaction, and a point has an identity, so it cannot stand there twice.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from quickstudy.adapters.trackers.tracked_run import Point, TrackedRun, other_run_error
from quickstudy.adapters.trackers.tracker import NOTHING
from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.storage.results_folder import check_results_folder

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
try:
    from trackio import sqlite_storage, utils
except ImportError as error:
    raise MissingExtraError("trackio", "track") from error


class Trackio:
    """A project in a folder of trackio.

    Args:
      run: that is written.
      folder: of trackio.
    Raises:
      UsageError: trackio does not take the name of the project.
    """

    def __init__(self, run: TrackedRun, folder: Path):
        self._run, self._folder, self._storage = run, folder, sqlite_storage.SQLiteStorage
        # trackio reads its folder from the environment once, when it is imported.
        utils.TRACKIO_DIR = sqlite_storage.TRACKIO_DIR = folder
        try:
            self._storage.validate_project_name(run.project)
        except ValueError as error:
            raise UsageError(f"trackio does not take the project {run.project!r}. Give another with --project.") from error
        self.where = f"{folder}, project {run.project}"
        self.shown_by = f"TRACKIO_DIR={shell_word(folder)} trackio show --project {shell_word(run.project)}"

    def last_step(self, series: str) -> int:
        """As of `Tracker`.

        Raises:
          UsageError: another run has this name there.
        """
        found = self._storage.get_latest_run_record_by_name(self._run.project, f"{self._run.name}/{series}")
        if found is not None and found["id"] != self._key(series):
            raise other_run_error(self._run.name, f"trackio in {self._folder}, project {self._run.project},")
        step = self._storage.get_max_step_for_run(self._run.project, run_id=self._key(series))
        return NOTHING if step is None else int(step)

    def write(self, series: str, points: Sequence[Point]) -> None:
        """As of `Tracker`."""
        times = [datetime.fromtimestamp(self._run.began + point.seconds, UTC).isoformat() for point in points]
        key = self._key(series)
        self._storage.bulk_log(
            self._run.project,
            f"{self._run.name}/{series}",
            [dict(point.values) for point in points],
            steps=[point.step for point in points],
            timestamps=times,
            config=dict(self._run.settings),
            log_ids=[f"{key}/{point.step}" for point in points],
            run_id=key,
        )

    def close(self) -> None:
        """As of `Tracker`. Every point is in the database already."""

    def _key(self, series: str) -> str:
        return f"{self._run.identity}/{self._run.name}/{series}"


def open_trackio(run: TrackedRun, address: str) -> Trackio:
    """Opens a folder of trackio for a run.

    Args:
      run: that is written.
      address: folder of trackio; it is made if it is not there.
    Raises:
      UsageError: the folder cannot be written, or trackio does not take the name of the project.
    """
    check_results_folder(address, flag="--address")
    folder = Path(address).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return Trackio(run, folder)
