"""A run on disk: what was asked for, what was measured, and checkpoints to go on from.

run.json            command, resolved configuration, spec, versions, machine
metrics.jsonl       one JSON object per line; `update`, `steps`, `seconds`, then lists over seeds
checkpoints/        the last two, written whole or not at all
bundle/             the trained agent, once training has ended
baselines.json      held-out returns of the baselines, as far as they are known
evaluation-*.json   one per split, `report.html`, `pictures/`
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.reading import DESCRIPTION, METRICS_BYTES, parse_json, read_file, read_json


def versions() -> dict[str, str]:
    """Versions of everything that a result may depend on."""
    packages = ("quickstudy", "jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint", "gymnasium")
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
    is_run = (path / "run.json").is_file()
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file. Choose a folder for the run.")
    if resume and not is_run:
        raise UsageError(f"{path} holds no run to resume. Leave out --resume to start one.")
    if resume or not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{path} already exists. Go on with --resume, start again with --overwrite, or name another.")
    if not is_run:
        raise UsageError(f"{path} does not hold a run, so it is not overwritten. Name another folder.")


class RunFolder:
    """A folder that one meta-training run owns.

    Args:
      path: created if it is not there.
      resume: go on from what the folder holds.
      overwrite: delete what the folder holds.
    Raises:
      UsageError: see `check_folder`.
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False):
        check_folder(path, resume=resume, overwrite=overwrite)
        self.path = Path(path)
        if self.path.is_dir() and not resume:
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._checkpoints = ocp.CheckpointManager(
            (self.path / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False),
        )

    def describe(self, description: dict[str, Any]) -> None:
        """Writes `run.json`."""
        write_atomically(self.path / "run.json", json.dumps(description, indent=2, ensure_ascii=False) + "\n")

    def description(self) -> dict[str, Any]:
        """Reads `run.json`."""
        return read_json(self.path / "run.json", what="description of the run", limit=DESCRIPTION, finite=False)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Adds one line to `metrics.jsonl`."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Every whole line of `metrics.jsonl`; a last line that was cut off is passed over."""
        return read_metrics(self.path)

    def save(self, update: int, state: PyTree, notes: dict[str, Any]) -> None:
        """Writes a checkpoint, whole or not at all, and lets go of the oldest; one that is there already stays."""
        if update == self._checkpoints.latest_step():
            return
        items = ocp.args.Composite(state=ocp.args.StandardSave(_arrays(state)), notes=ocp.args.JsonSave(notes))
        self._checkpoints.save(update, args=items, force=True)

    def restore(self, state: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """The newest checkpoint as (update, state, notes), or None; metrics written after it are dropped.

        Args:
          state: of the structure, shapes and types that were saved; its values are not used.
        """
        update = self._checkpoints.latest_step()
        self._keep_metrics(0 if update is None else update)
        if update is None:
            return None
        leaves, structure = jax.tree.flatten(_without_keys(state))
        items = ocp.args.Composite(state=ocp.args.StandardRestore(_arrays(state)), notes=ocp.args.JsonRestore())
        restored = self._checkpoints.restore(update, args=items)
        found = [jax.numpy.asarray(restored.state.get(str(i), leaf)) for i, leaf in enumerate(leaves)]
        return update, _with_keys(jax.tree.unflatten(structure, found), state), restored.notes

    def latest_checkpoint(self) -> str:
        """The newest checkpoint in words."""
        update = self._checkpoints.latest_step()
        return (
            "there is no checkpoint yet" if update is None else f"the last good checkpoint is {self.path}/checkpoints/{update}"
        )

    def close(self) -> None:
        """Lets go of the folder."""
        self._checkpoints.close()

    def _keep_metrics(self, update: int) -> None:
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["update"] <= update]
        write_atomically(self.path / "metrics.jsonl", "".join(kept))


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Every whole line of a run's `metrics.jsonl`, oldest first; empty where there is none."""
    path = Path(folder) / "metrics.jsonl"
    if not path.exists():
        return []
    content = read_file(path, what="metrics of the run", most_bytes=METRICS_BYTES, begins=b"{")
    try:
        lines = [parse_json(line, limit=DESCRIPTION, finite=False) for line in content.split(b"\n")[:-1]]
    except ValueError as error:
        raise UsageError(f"{path} does not parse as the metrics of the run: {error}.") from error
    return [line for line in lines if isinstance(line, dict)]


def steps_of_run(folder: str | Path) -> int | None:
    """Environment steps that each seed of a run was trained for; None where the folder holds no run."""
    metrics = read_metrics(folder) if (Path(folder) / "run.json").is_file() else []
    return metrics[-1]["steps"] if metrics else None


def check_same_run(stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raises UsageError, naming what differs, unless a run may go on under what is asked for now."""
    # How often to evaluate or to save may change: training does not depend on it.
    asked = json.loads(json.dumps(asked))  # as it would have been stored: tuples are lists there
    free = ("evaluation_seconds", "checkpoint_seconds", "held_out_tasks")
    differing = []
    for part in ("algorithm", "distribution", "training"):
        before, now = _flat(stored[part]), _flat(asked[part])
        differing += [
            f"{k} was {before.get(k)}, now {now.get(k)}" for k in before | now if before.get(k) != now.get(k) and k not in free
        ]
    if differing:
        raise UsageError(
            f"the run to resume has another configuration: {'; '.join(differing)}. Give the same, or start a new run."
        )


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: v for key, value in tree.items() for k, v in (value.items() if isinstance(value, dict) else [(key, value)])}


@contextmanager
def surviving_disk_trouble(what: str, line: dict[str, Any]) -> Iterator[None]:
    """A disk that is full or gone is noted in the metrics, and tried again next time."""
    try:
        yield
    except OSError as error:
        line["trouble"] = f"the {what} could not be written: {error}"


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _arrays(state: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a state by their number; those that hold nothing are left out, which checkpoints refuse."""
    leaves = enumerate(jax.tree.leaves(_without_keys(state)))
    return {str(number): np.asarray(leaf) for number, leaf in leaves if np.size(leaf)}


def _without_keys(state: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)


def _with_keys(state: PyTree, like: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: jax.random.wrap_key_data(x) if _is_key(y) else x, state, like)
