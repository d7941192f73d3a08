"""Folders that are written whole or not at all.

The new folder is built beside the old one, and then both exchange their names in one operation of the system. So a reader, and
whoever comes after a kill, finds the old folder or the new one. Where the system or the disk cannot exchange names, the old
folder is renamed to `.NAME.old` first, and the new one takes its name. After a kill between the two renames the old folder is
found under `.NAME.old` by `existing_folder`, and `recover_folder` gives it its name back.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quickstudy.storage.atomic import clear_leftovers, errors_name, remove, sync_folder, temporary_name
from quickstudy.storage.system_lock import SystemLock

_HERE = -100  # AT_FDCWD of Linux: paths are relative to the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a new, empty folder to write into; it takes the place of `path` when the block ends without an error.

    Args:
      path: of the folder that is replaced, or that is not there yet.
    Raises:
      OSError: the disk is full, gone or read-only. What was there is as it was before.
    """
    with errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        recover_folder(path)
        building = temporary_name(path)
        building.mkdir()
        try:
            yield building
            sync_folder(building)
            with held(path):
                _replace(path, building)
        finally:
            remove(building)  # what was written of it, or the old folder
        with suppress(OSError):  # the new folder is in its place, whatever the disk says of it
            sync_folder(path.parent)


def existing_folder(path: Path) -> Path:
    """The folder itself, or the old one where a replacement was cut off."""
    return _aside(path) if _aside(path).is_dir() and not path.exists() else path


def recover_folder(path: Path) -> None:
    """Gives the old folder its name back where a replacement was cut off, and removes it where the new one is in place."""
    aside = _aside(path)
    if not aside.is_dir():
        return
    if path.exists():
        remove(aside)
    else:
        os.rename(aside, path)


def remove_at_once(path: Path) -> None:
    """Removes a file or a folder such that a kill leaves all of it, or nothing under its name."""
    aside = temporary_name(path)
    os.rename(path, aside)
    remove(aside)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes of this machine that ask for the same out, for a short operation on what a folder holds.

    A folder that does not exist is not held. Nor is one on a disk without locks: there, two operations in the same instant can
    still meet.
    """
    while True:
        try:
            lock = SystemLock(folder, wait=True)
        except OSError:
            yield
            return
        try:
            if lock.is_of_the_same_folder():  # or it was replaced while this process waited
                yield
                return
        finally:
            lock.release()


def _replace(path: Path, new: Path) -> None:
    """Gives `new` the name `path`. What was there gets the name of the new one, or is removed."""
    if not path.is_dir():
        os.rename(new, path)
        return
    try:
        exchange(new, path)
    except OSError as error:
        if error.errno not in _CANNOT_EXCHANGE:
            raise
        aside = _aside(path)
        os.rename(path, aside)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(aside, path)
            raise
        remove(aside)


def exchange(one: Path, other: Path) -> None:
    """Two folders of one disk exchange their names, in one operation.

    Raises:
      OSError: this system or this disk cannot do that, or one of them is missing.
    """
    name = {"linux": "renameat2", "darwin": "renameatx_np"}.get(sys.platform, "")
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here = _HERE if sys.platform == "linux" else -2
    if function(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(_EXCHANGE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(other))


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.old"
