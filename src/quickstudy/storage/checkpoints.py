"""Checkpoints on disk: a folder for each, by the number of its update, written whole or not at all.

    checkpoints/300/state.safetensors   every array of the state by its path; random keys as their data
    checkpoints/300/notes.json          the number of the update, notes of the training loop, the description of the run
    checkpoints/300/SHA256SUMS          digests of both files, in the format of `sha256sum`

A checkpoint is taken in only if both digests agree with every byte. A damaged one is named and passed over for the newest whole
one. The last two are kept, and an older one goes only when a newer one is safely on disk. Loading parses numbers and text.
"""

import hashlib
import json
import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as render_tensors

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import errors_name, read_regular_file, write_new_file
from quickstudy.storage.whole_folders import remove_at_once, whole_folder

_FORMAT = 1
_KEPT = 2
_STATE, _NOTES, _SUMS = "state.safetensors", "notes.json", "SHA256SUMS"
_MOST_BYTES_OF_NOTES = 2**24
_MOST_BYTES_OF_SUMS = 1024
_BYTES_OF_ENTRY = 512
_EARLIER_FORMAT = "_CHECKPOINT_METADATA"

_log = logging.getLogger("quickstudy")


class _DamagedError(Exception):
    """A checkpoint that is not as it was written; the message says what is wrong."""


class Checkpoints:
    """The checkpoints of a run.

    Args:
      folder: that holds them; created with the first one.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._whole: set[int] = set()

    def save(self, update: int, state: PyTree, notes: dict[str, Any], description: dict[str, Any]) -> None:
        """Writes a checkpoint and lets go of the oldest; one that this process wrote or read already stays.

        Args:
          update: the number of updates so far.
          state: a tree of arrays and random keys.
          notes: plain data of the training loop.
          description: of the run, plain data.
        Raises:
          OSError: the disk is full, gone or read-only. Earlier checkpoints are as they were before.
        """
        if update in self._whole:
            return
        arrays = _arrays(state)
        content = {"format": _FORMAT, "update": update, "notes": notes, "arrays": _in_words(arrays), "run": description}
        files = {_STATE: render_tensors(arrays), _NOTES: (json.dumps(content, indent=1) + "\n").encode()}
        sums = "".join(_sum(name, data) for name, data in files.items())
        with errors_name(self.path_of(update)), whole_folder(self.path_of(update)) as building:
            for name, data in (files | {_SUMS: sums.encode()}).items():
                write_new_file(building / name, data)
        self._whole.add(update)
        self._whole = set(sorted(self._whole)[-_KEPT:])
        with suppress(OSError):  # what is too old, or damaged, is removed with the next checkpoint
            for number in set(self._numbers()) - self._whole:
                remove_at_once(self.path_of(number))

    def restore(self, state: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """The newest whole checkpoint as (update, state, notes); None where there is none.

        Each damaged one that is newer is named in a line of the log.

        Args:
          state: of the structure, shapes and types that were saved; its values are not used.
        Raises:
          UsageError: the newest one is whole, but of another state, or only an earlier version can read it.
        """
        passed_over = False
        for update in self._numbers():
            try:
                notes = _read_content(self.path_of(update), update)
                found = _read_state(self.path_of(update), notes["arrays"], state)
            except _DamagedError as error:
                _log.warning("The checkpoint %s is damaged and is passed over: %s.", self.path_of(update), error)
                passed_over = True
                continue
            self._whole = {update}
            if passed_over:
                _log.warning("The run goes on from the checkpoint %s, which is whole.", self.path_of(update))
            return update, found, notes["notes"]
        return None

    def description(self) -> dict[str, Any] | None:
        """The description of the run in the newest checkpoint whose notes are whole; None where there is none."""
        for update in self._numbers():
            with suppress(_DamagedError, UsageError):
                return _read_content(self.path_of(update), update)["run"]
        return None

    def latest(self) -> int | None:
        """The number of the newest checkpoint that this process wrote or read; None where there is none."""
        return max(self._whole, default=None)

    def path_of(self, update: int) -> Path:
        """The folder of a checkpoint."""
        return self._folder / str(update)

    def _numbers(self) -> list[int]:
        """Numbers of the updates of all checkpoints, whole or not, newest first."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(
            (int(name) for name in names if name.isascii() and name.isdigit() and name == str(int(name))), reverse=True
        )


def _read_state(folder: Path, stored: dict[str, str], like: PyTree) -> PyTree:
    """The state in a checkpoint whose arrays are described by `stored`.

    Raises:
      _DamagedError: the file is missing, or not as it was written.
      UsageError: the arrays are those of another state.
    """
    expected = _arrays(like)
    needed = _in_words(expected)
    differing = sorted(name for name in stored | needed if stored.get(name) != needed.get(name))
    if differing:
        first = differing[0]
        raise UsageError(
            f"the checkpoint {folder} holds another state than this run needs: {first} is {stored.get(first, 'missing')} "
            f"there, and {needed.get(first, 'not used')} now. The run was started with other code. Finish it with that code, "
            "or start it again with --overwrite."
        )
    size = sum(array.nbytes + _BYTES_OF_ENTRY + len(name.encode()) for name, array in expected.items()) + _BYTES_OF_ENTRY
    try:
        arrays = parse_tensors(_read(folder, _STATE, most_bytes=size))
    except SafetensorError as error:
        raise _DamagedError(f"{_STATE} does not parse: {error}") from error
    if _in_words(arrays) != needed:
        raise _DamagedError(f"{_STATE} holds other arrays than {_NOTES} names")
    return _with_leaves(like, arrays)


def _read_content(folder: Path, update: int) -> dict[str, Any]:
    """What the notes of a checkpoint hold.

    Raises:
      _DamagedError: the file is missing, not as it was written, or says what notes cannot say.
      UsageError: only an earlier version can read the checkpoint.
    """
    if (folder / _EARLIER_FORMAT).exists() and not (folder / _SUMS).exists():
        raise UsageError(
            f"the checkpoint {folder} has the format of an earlier version, which this version cannot read. Finish the run "
            "with the version that `run.json` names, or start it again with --overwrite."
        )
    try:
        content = json.loads(_read(folder, _NOTES, most_bytes=_MOST_BYTES_OF_NOTES))
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"{_NOTES} does not parse: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _DamagedError(f"{_NOTES} must have the format {_FORMAT}")
    if content.get("update") != update:
        raise _DamagedError(f"{_NOTES} is of the update {content.get('update')!r}")
    parts = (content.get("run"), content.get("arrays"), content.get("notes"))
    if not all(isinstance(part, dict) for part in parts) or not _are_notes(content["notes"]):
        raise _DamagedError(f"{_NOTES} holds no notes of a run")
    return content


def _are_notes(notes: dict[str, Any]) -> bool:
    """Whether these may be notes of the training loop: a whole number of updates or none yet, and finite seconds."""
    updates, seconds = notes.get("updates"), notes.get("seconds", 0.0)
    known = updates is None or (type(updates) is int and updates >= 0)
    return known and type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0


def _read(folder: Path, name: str, *, most_bytes: int) -> bytes:
    """The content of a file of a checkpoint, every byte as it was written."""
    try:
        sums = read_regular_file(folder / _SUMS, most_bytes=_MOST_BYTES_OF_SUMS).decode()
        data = read_regular_file(folder / name, most_bytes=most_bytes)
    except FileNotFoundError as error:
        raise _DamagedError(f"{Path(error.filename).name} is missing") from error
    except OSError as error:
        raise _DamagedError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _DamagedError(f"{_SUMS} is no text" if isinstance(error, UnicodeDecodeError) else str(error)) from error
    if _sum(name, data) not in sums.splitlines(keepends=True):
        raise _DamagedError(f"{name} ({len(data):,} bytes) does not agree with its digest in {_SUMS}")
    return data


def _sum(name: str, data: bytes) -> str:
    """A line of `SHA256SUMS`."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n"


def _arrays(state: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a state by their path, as arrays that safetensors can hold."""
    return {jax.tree_util.keystr(path): _stored(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _in_words(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Type and shape of each array, as in `float32[2, 3]`."""
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}


def _stored(leaf: Any) -> np.ndarray:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")
    # Types that NumPy itself does not have, such as bfloat16, are stored by their bits.
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _with_leaves(like: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    """A state of this structure with the leaves that `_arrays` gave."""

    def restored(path: Any, leaf: Any) -> Any:
        array = arrays[jax.tree_util.keystr(path)]
        if _is_key(leaf):
            return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(leaf))
        return jax.numpy.asarray(array.view(leaf.dtype))

    return jax.tree_util.tree_map_with_path(restored, like)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
