"""A run on disk: what was asked for, what was measured, and checkpoints to go on from.

run.json            command, resolved configuration, spec, versions, machine, and a digest of all this
metrics.jsonl       one JSON object per line; `update`, `steps`, `seconds`, then lists over seeds
within.jsonl        at each evaluation during training, the return so far at points of a held-out lifetime
checkpoints/        the last two, written whole or not at all
lock                while a run is under way: its process
bundle/             the trained agent, once training has ended
baselines.json      held-out returns of the baselines, as far as they are known
evaluation-*.json   one per split, `report.html`, `pictures/`
"""

import logging
import os
import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import clear_leftovers, is_temporary, write_atomically
from quickstudy.storage.checkpoints import Checkpoints
from quickstudy.storage.folder_lock import LOCK, FolderLock
from quickstudy.storage.metrics_file import MetricsFile, read_metrics
from quickstudy.storage.run_description import description_text, read_description
from quickstudy.storage.whole_folders import recover_folder, remove_at_once

WITHIN = "within.jsonl"
"""Name of the file with the returns within a lifetime, measured during training."""

_log = logging.getLogger("quickstudy")


def versions() -> dict[str, str]:
    """Versions of everything that a result may depend on."""
    packages = ("quickstudy", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


def machine() -> dict[str, Any]:
    """The machine, as far as a timing depends on it."""
    device = jax.devices()[0]
    return {
        "cores": os.cpu_count(),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": len(jax.devices()),
    }


def check_folder(path: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuses a folder that a run cannot have; changes nothing.

    Args:
      path: of the run.
      resume: to go on from what the folder holds.
      overwrite: to delete what the folder holds.
    Raises:
      UsageError: the folder holds a run and neither was asked for, or it holds something that is not a run.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file. Choose a folder for the run.")
    held = _held_by(path) if path.is_dir() else set()
    # A run that was killed before it wrote `run.json` leaves its lock. Without `run.json` it can go on from a checkpoint.
    begun, is_run = held == {LOCK}, bool({"run.json", "checkpoints"} & held)
    if resume and not (is_run or begun):
        raise UsageError(f"{path} holds no run to resume. Leave out --resume to start one.")
    if resume or not held or begun:
        return
    if not overwrite:
        raise UsageError(f"{path} already exists. Go on with --resume, start again with --overwrite, or name another.")
    if not is_run:
        raise UsageError(f"{path} does not hold a run, so it is not overwritten. Name another folder.")


def _held_by(folder: Path) -> set[str]:
    """Names of what a folder holds, without what killed processes were writing."""
    return {path.name for path in folder.iterdir() if not is_temporary(path)}


class RunFolder:
    """A folder that one meta-training run owns, and that no other run can have until `close`.

    Args:
      path: created if it is not there.
      resume: go on from what the folder holds.
      overwrite: delete what the folder holds.
    Raises:
      UsageError: see `check_folder`; or another run is under way in the folder.
      OSError: the folder cannot be written.
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False):
        self.path, self._resumed = Path(path), resume
        check_folder(self.path, resume=resume, overwrite=overwrite)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock.take(self.path)
        try:
            check_folder(self.path, resume=resume, overwrite=overwrite)  # another run may have begun and ended meanwhile
            for folder in (self.path, self.path / "checkpoints", self.path / "pictures", self.path / "bundle"):
                clear_leftovers(folder)
            recover_folder(self.path / "bundle")
            if not resume:
                self._clear()
        except BaseException:
            self._lock.release()
            raise
        self._checkpoints = Checkpoints(self.path / "checkpoints")
        self._metrics, self._within = MetricsFile(self.path / "metrics.jsonl"), MetricsFile(self.path / WITHIN)
        self._description: dict[str, Any] = {}

    def describe(self, description: dict[str, Any]) -> None:
        """Writes `run.json`."""
        write_atomically(self.path / "run.json", description_text(description))
        self._description = description

    def description(self) -> dict[str, Any] | None:
        """The content of `run.json`; None where there is none. It is written again from a checkpoint if it is damaged.

        Raises:
          UsageError: it is damaged, and no checkpoint holds it.
        """
        try:
            found = read_description(self.path)
        except UsageError as error:
            copy = self._checkpoints.description()
            if copy is None and not (self.path / "run.json").exists():
                return None
            if copy is None:
                raise UsageError(f"{error} No checkpoint holds a copy of it. Start again with --overwrite.") from error
            _log.warning("%s It is written again from a checkpoint.", error)
            self.describe(found := copy)
        self._description = found
        return found

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Adds one line to `metrics.jsonl`."""
        self._metrics.append(line)

    def append_within(self, line: dict[str, Any]) -> None:
        """Adds one line to `within.jsonl`."""
        self._within.append(line)

    def metrics(self) -> list[dict[str, Any]]:
        """Every whole line of `metrics.jsonl`; those that are cut off or damaged are left out."""
        return read_metrics(self.path)

    def save(self, update: int, state: PyTree, notes: dict[str, Any]) -> None:
        """Writes a checkpoint, whole or not at all, and lets go of the oldest; one that is there already stays."""
        with suppress(OSError):  # it is told when a line is added
            self._metrics.flush(durable=True)
            self._within.flush(durable=True)
        self._checkpoints.save(update, state, notes, self._description)

    def restore(self, state: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """The newest whole checkpoint as (update, state, notes), or None; metrics written after it are dropped.

        Args:
          state: of the structure, shapes and types that were saved; its values are not used.
        Raises:
          UsageError: the newest checkpoint is whole, but of another state, or only an earlier version can read it.
        """
        found = self._checkpoints.restore(state)
        if found is None and self._resumed:
            _log.warning("The run in %s has no whole checkpoint, so it starts again from the beginning.", self.path)
        for file in (self._metrics, self._within):
            file.keep(0 if found is None else found[0])
        return found

    def latest_checkpoint(self) -> str:
        """The newest checkpoint in words."""
        update = self._checkpoints.latest()
        return (
            "there is no checkpoint yet" if update is None else f"the last good checkpoint is {self.path}/checkpoints/{update}"
        )

    def close(self) -> None:
        """Lets go of the folder."""
        self._lock.release()

    def _clear(self) -> None:
        """Deletes what an earlier run has left. `run.json` goes last: until then the folder can still be overwritten."""
        held = sorted(_held_by(self.path) - {LOCK}, key=lambda name: name == "run.json")
        for name in held:
            remove_at_once(self.path / name)


def steps_of_run(folder: str | Path) -> int | None:
    """Environment steps that each seed of a run was trained for; None where the folder holds no run."""
    metrics = read_metrics(folder) if (Path(folder) / "run.json").is_file() else []
    return metrics[-1]["steps"] if metrics else None
