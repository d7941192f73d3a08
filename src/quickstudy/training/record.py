"""The record of a run: its metrics, and checkpoints in a folder if it has one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import in_words
from quickstudy.storage.run_description import check_same_run
from quickstudy.storage.run_folder import RunFolder
from quickstudy.training.budget import is_longer
from quickstudy.training.learning_within import within_line
from quickstudy.training.lifetime_source import HeldOut
from quickstudy.training.update import RunState


class RunRecord:
    """The metrics of a run, and the folder that they and the checkpoints are written to.

    Args:
      folder: of the run; None writes nothing.

    A full disk costs a checkpoint, not the run. The newest line of metrics then says so under `trouble`, and so does the next
    one that is written. Lines wait in memory until the disk takes them.
    The attribute `metrics` holds one line per update, oldest first. The attribute `evaluations` holds the steps and the
    held-out returns over seeds of every evaluation during training.
    """

    def __init__(self, folder: RunFolder | None):
        self._folder = folder
        self.metrics: list[dict[str, Any]] = []
        self.evaluations: list[tuple[int, list[float]]] = []
        self._trouble: str | None = None

    @classmethod
    def open(
        cls,
        path: str | Path | None,
        description: dict[str, Any],
        *,
        resume: bool = False,
        extend: bool = False,
        overwrite: bool = False,
    ) -> "RunRecord":
        """The record of a new run, or of one that goes on.

        Args:
          path: of the run folder; None writes nothing.
          description: the content of `run.json`.
          resume: go on with the run in the folder.
          extend: let it go on beyond its budget, if the description has a longer one.
          overwrite: delete the run in the folder.
        Raises:
          UsageError: the folder holds a run already, or one of another configuration, or of a longer budget.
        """
        if path is None:
            return cls(None)
        folder = RunFolder(path, resume=resume, overwrite=overwrite)
        try:
            stored = folder.description() if resume else None
            if stored is None:  # a new run, or one that was killed before it wrote its description
                folder.describe(description)
            else:
                longer = extend and _is_extension(stored, description)
                check_same_run(stored, description, longer=longer)
                if longer:
                    folder.describe(_extended(stored, description))
        except BaseException:
            folder.close()
            raise
        return cls(folder)

    def first_budget(self) -> str | None:
        """The budget that the run began with; None where there is no folder. Checkpoints of earlier versions hold none."""
        stored = None if self._folder is None else self._folder.description()
        if stored is None:
            return None
        return stored["earlier"][0]["budget"] if stored.get("earlier") else stored["training"]["budget"]

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
        if self._trouble is not None:
            line["trouble"], self._trouble = self._trouble, None
        self._remember(line)
        if self._folder is not None:
            with self._surviving_disk_trouble("metrics"):
                self._folder.append_metrics(line)

    def append_within(self, line: dict[str, Any], held_out: HeldOut) -> None:
        """Adds the return within a held-out lifetime, as an evaluation during training has measured it.

        Args:
          line: number of the update, steps and seconds.
          held_out: the evaluation.
        """
        if self._folder is not None:
            with self._surviving_disk_trouble("returns within a lifetime"):
                self._folder.append_within(line | within_line(held_out))

    def save(self, update: int, state: RunState, notes: dict[str, Any]) -> None:
        """Writes a checkpoint."""
        if self._folder is not None:
            with self._surviving_disk_trouble("checkpoint"):
                self._folder.save(update, state, notes)

    def latest_checkpoint(self) -> str:
        """Describes the newest checkpoint in words."""
        return "nothing was saved" if self._folder is None else self._folder.latest_checkpoint()

    def close(self) -> None:
        """Lets go of the folder."""
        if self._folder is not None:
            self._folder.close()

    @contextmanager
    def _surviving_disk_trouble(self, what: str) -> Iterator[None]:
        """A disk that is full or gone is noted in the metrics, and tried again next time."""
        try:
            yield
        except OSError as error:
            self._trouble = f"the {what} could not be written: {in_words(error)}"
            if self.metrics:
                self.metrics[-1]["trouble"] = self._trouble

    def _remember(self, line: dict[str, Any]) -> None:
        self.metrics.append(line)
        if "held_out_return" in line:
            self.evaluations.append((line["steps"], line["held_out_return"]))


def _is_extension(stored: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a run is to go on beyond its budget.

    Raises:
      UsageError: the budget is another one, and not longer.
    """
    training = stored.get("training")
    before, now = training.get("budget") if isinstance(training, dict) else None, asked["training"]["budget"]
    if before in (None, now):
        return False
    if not is_longer(now, before):
        raise UsageError(
            f"the run to resume has the budget {before!r}; came {now!r}. Give the same budget, or a longer one of the same "
            "kind (a time, or steps) to go on beyond it. A budget counts from the beginning of the run."
        )
    return True


def _extended(stored: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The description of a run with its new budget; earlier budgets and their commands are kept."""
    earlier = [*stored.get("earlier", ()), {"budget": stored["training"]["budget"], "command": stored.get("command")}]
    training = stored["training"] | {"budget": asked["training"]["budget"]}
    return stored | {"command": asked["command"], "training": training, "earlier": earlier}
