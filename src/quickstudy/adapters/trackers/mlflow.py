"""MLflow: a project is an experiment, and each series is a run of it.

MLflow keeps each value of a point for itself. The tag with the last step is written after the values. So a point that was cut
off is written again, and MLflow drops the values that it holds already.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from quickstudy.adapters.mlflow_client import experiment_of, open_client, plain_name
from quickstudy.adapters.trackers.tracked_run import Point, TrackedRun, other_run_error
from quickstudy.adapters.trackers.tracker import NOTHING
from quickstudy.protocol.printable import shell_word

_KEY, _IDENTITY, _STEP = "quickstudy.series", "quickstudy.run", "quickstudy.step"
_AT_ONCE = 1000
"""Values that MLflow takes in one call."""
_LONGEST_SETTING = 6000


class Mlflow:
    """An experiment of MLflow.

    Args:
      run: that is written.
      client: of MLflow.
      experiment: its number.
      address: of the client.
    """

    def __init__(self, run: TrackedRun, client: Any, experiment: str, address: str):
        self._run, self._client, self._experiment = run, client, experiment
        self._ids: dict[str, str] = {}
        self.where = f"{address}, experiment {run.project}"
        self.shown_by = f"mlflow ui --backend-store-uri {shell_word(address)}"

    def last_step(self, series: str) -> int:
        """As of `Tracker`.

        Raises:
          UsageError: another run has this name there.
        """
        key = hashlib.sha256(f"{self._run.name}/{series}".encode()).hexdigest()[:16]
        found = self._client.search_runs([self._experiment], filter_string=f"tags.`{_KEY}` = '{key}'", max_results=1)
        if not found:
            tags = {_KEY: key, _IDENTITY: self._run.identity}
            made = self._client.create_run(self._experiment, run_name=f"{self._run.name}/{series}", tags=tags)
            self._ids[series] = made.info.run_id
            return NOTHING
        data, self._ids[series] = found[0].data, found[0].info.run_id
        if data.tags.get(_IDENTITY) != self._run.identity:
            raise other_run_error(self._run.name, f"MLflow, experiment {self._run.project},")
        return int(data.tags.get(_STEP, NOTHING))

    def write(self, series: str, points: Sequence[Point]) -> None:
        """As of `Tracker`."""
        from mlflow.entities import Metric, RunTag

        key = self._ids[series]
        self._settings(key)
        for some in _groups(points):
            metrics = [
                Metric(plain_name(name), value, round(1000 * (self._run.began + point.seconds)), point.step)
                for point in some
                for name, value in point.values.items()
            ]
            for start in range(0, len(metrics), _AT_ONCE):
                self._client.log_batch(key, metrics=metrics[start : start + _AT_ONCE])
            self._client.log_batch(key, tags=[RunTag(_STEP, str(some[-1].step))])

    def close(self) -> None:
        """As of `Tracker`. The runs of MLflow are finished: nothing writes to them now."""
        for key in self._ids.values():
            self._client.set_terminated(key)

    def _settings(self, key: str) -> None:
        """Writes the settings once: MLflow refuses other values for them later, as after a longer budget."""
        from mlflow.entities import Param

        if not self._client.get_run(key).data.params:
            settings = self._run.settings.items()
            params = [Param(plain_name(name), value[:_LONGEST_SETTING]) for name, value in settings]
            for start in range(0, len(params), 100):
                self._client.log_batch(key, params=params[start : start + 100])


def open_mlflow(run: TrackedRun, address: str) -> Mlflow:
    """Opens an experiment of MLflow for a run.

    Args:
      run: that is written; its project names the experiment.
      address: as of `open_client`.
    Raises:
      UsageError: MLflow cannot use the address, or the experiment was deleted.
    """
    client = open_client(address)
    return Mlflow(run, client, experiment_of(client, run.project, address), address)


def _groups(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Points in groups that fit into one call; a point that alone does not fit is a group of its own."""
    group: list[Point] = []
    values = 0
    for point in points:
        if group and values + len(point.values) > _AT_ONCE:
            yield group
            group, values = [], 0
        group.append(point)
        values += len(point.values)
    if group:
        yield group
