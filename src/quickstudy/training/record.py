"""The record of a run: its metrics, and checkpoints in a folder if it has one."""

from pathlib import Path
from typing import Any

from quickstudy.storage.run_folder import RunFolder, check_same_run, surviving_disk_trouble
from quickstudy.training.update import RunState


class RunRecord:
    """The metrics of a run, and the folder that they and the checkpoints are written to.

    Args:
      folder: of the run; None writes nothing.

    A full disk costs a line or a checkpoint, not the run; the newest line of metrics then says so under `trouble`.
    The attribute `metrics` holds one line per update, oldest first. The attribute `evaluations` holds the steps and the
    held-out returns over seeds of every evaluation during training.
    """

    def __init__(self, folder: RunFolder | None):
        self._folder = folder
        self.metrics: list[dict[str, Any]] = []
        self.evaluations: list[tuple[int, list[float]]] = []

    @classmethod
    def open(
        cls, path: str | Path | None, description: dict[str, Any], *, resume: bool = False, overwrite: bool = False
    ) -> "RunRecord":
        """The record of a new run, or of one that goes on.

        Args:
          path: of the run folder; None writes nothing.
          description: the content of `run.json`.
          resume: go on with the run in the folder.
          overwrite: delete the run in the folder.
        Raises:
          UsageError: the folder holds a run already, or one of another configuration.
        """
        if path is None:
            return cls(None)
        folder = RunFolder(path, resume=resume, overwrite=overwrite)
        try:
            if resume:
                check_same_run(folder.description(), description)
            else:
                folder.describe(description)
        except BaseException:
            folder.close()
            raise
        return cls(folder)

    @property
    def path(self) -> Path | None:
        """The folder's path; None where there is no folder."""
        return None if self._folder is None else self._folder.path

    def restore(self, state: RunState) -> tuple[int, RunState, dict[str, Any]] | None:
        """The number of the update, the state and the notes of the newest checkpoint; None where there is none.

        Args:
          state: of the structure, shapes and types that were saved; its values are not used.
        """
        found = None if self._folder is None else self._folder.restore(state)
        if found is not None and self._folder is not None:
            for line in self._folder.metrics():
                self._remember(line)
        return found

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line of metrics."""
        self._remember(line)
        if self._folder is not None:
            with surviving_disk_trouble("metrics", line):
                self._folder.append_metrics(line)

    def save(self, update: int, state: RunState, notes: dict[str, Any]) -> None:
        """Writes a checkpoint."""
        if self._folder is not None:
            with surviving_disk_trouble("checkpoint", self.metrics[-1] if self.metrics else {}):
                self._folder.save(update, state, notes)

    def latest_checkpoint(self) -> str:
        """Describes the newest checkpoint in words."""
        return "nothing was saved" if self._folder is None else self._folder.latest_checkpoint()

    def close(self) -> None:
        """Lets go of the folder."""
        if self._folder is not None:
            self._folder.close()

    def _remember(self, line: dict[str, Any]) -> None:
        self.metrics.append(line)
        if "held_out_return" in line:
            self.evaluations.append((line["steps"], line["held_out_return"]))
