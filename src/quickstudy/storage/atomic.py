"""Files that are written whole or not at all.

A file is written under a temporary name beside its place, brought to the disk, and renamed. A process that is killed leaves
a temporary file behind, and `clear_leftovers` removes it later. Temporary names have the form

    .NAME.PROCESS.TOKEN.tmp         as in .run.json.4711.9f3a01bc.tmp

with the number of the process that writes. So files that a running process still needs are kept.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quickstudy.storage.process_identity import is_running

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]+)\.[0-9a-f]{8}\.tmp")
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all: what was there stays until the new content is safely on disk.

    Args:
      path: of the file; folders above it are created.
      content: text is written as UTF-8.
    Raises:
      OSError: the disk is full, gone or read-only. The error names the file, which is as it was before.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        temporary = temporary_name(path)
        try:
            write_new_file(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_new_file(path: Path, data: bytes) -> None:
    """Writes a file that is not there yet, and brings its content to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Writes all of the data to an open file; a disk that is nearly full takes a part at first."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def sync_folder(folder: Path) -> None:
    """Brings renamed entries of a folder to the disk, where the file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(handle)


def read_regular_file(path: Path, *, most_bytes: int) -> bytes:
    """The content of a file.

    Args:
      path: of the file.
      most_bytes: the size that it may have; a longer file is not read.
    Raises:
      OSError: it cannot be read.
      ValueError: it is no regular file, such as a pipe or a device, or it is longer.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would wait for a writer
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if found.st_size > most_bytes:
            raise ValueError(f"{path.name} has {found.st_size:,} bytes; at most {most_bytes:,} are expected")
        return file.read(most_bytes)


def temporary_name(path: Path) -> Path:
    """A name beside a path for what is being written to it."""
    return path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"


def is_temporary(path: Path) -> bool:
    """Whether a file or a folder has a name that `temporary_name` gives."""
    return _TEMPORARY.fullmatch(path.name) is not None


def clear_leftovers(folder: Path, *, name: str | None = None) -> None:
    """Removes temporary files and folders of processes that have ended, as far as they can be removed.

    Args:
      folder: that holds them; folders inside it are not searched.
      name: of what was to be written; None removes those of every name. What this process itself writes is kept where
        a name is given: another thread may be at it.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            found = _TEMPORARY.fullmatch(path.name)
            if found is None or name not in (None, found["name"]):
                continue
            process = int(found["process"])
            ours = process == os.getpid()
            if (ours and name is None) or not (ours or is_running(process)):
                remove(path)


def remove(path: Path) -> None:
    """Removes a file or a folder, as far as it can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def in_words(error: OSError) -> str:
    """An error of the disk, as in `No space left on device (runs/demo/metrics.jsonl)`."""
    return f"{error.strerror or error}{'' if error.filename is None else f' ({error.filename})'}"


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Errors of the disk that name no file get this one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == os.fspath(path):
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
