"""Disks that fail, for tests."""

import errno
import os
import subprocess
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def small_disk(folder, *, size):
    """A disk of this size, as in `300k`, mounted at a new folder; the test is skipped where nothing may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk):
    """Leaves not one free byte, and gives the file that takes them."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        for piece in (2**16, 2**12, 1):
            with suppress(OSError):  # smaller pieces may still fit
                while True:
                    file.write(bytes(piece))
    return filler


class FailingDisk:
    """Every write below a folder fails while `number` is set. It takes a first part of what is written.

    Args:
      monkeypatch: pytest's.
      folder: on the disk.

    The attribute `failures` counts the calls that failed.
    """

    def __init__(self, monkeypatch, folder):
        self.number, self.failures = None, 0
        self._folder, self._handles = os.path.realpath(folder), set()
        self._open, self._write, self._sync, self._mkdir = os.open, os.write, os.fsync, os.mkdir
        for name in ("open", "write", "fsync", "mkdir"):
            monkeypatch.setattr(os, name, getattr(self, name))

    def open(self, path, flags, *mode, **more):
        below = os.path.realpath(os.fspath(path)).startswith(self._folder)
        if below and flags & os.O_CREAT and self.number == errno.EROFS:
            self._fail()
        handle = self._open(path, flags, *mode, **more)
        (self._handles.add if below else self._handles.discard)(handle)
        return handle

    def write(self, handle, data):
        if handle in self._handles and self.number is not None:
            if len(data) < 20:
                self._fail()
            data = bytes(data[: len(data) - 19])
        return self._write(handle, data)

    def fsync(self, handle):
        if handle in self._handles and self.number is not None:
            self._fail()
        return self._sync(handle)

    def mkdir(self, path, *mode, **more):
        if os.path.realpath(os.fspath(path)).startswith(self._folder) and self.number is not None:
            self._fail()
        return self._mkdir(path, *mode, **more)

    def _fail(self):
        self.failures += 1
        raise OSError(self.number, os.strerror(self.number))
