"""The operating system's lock on a folder. It belongs to a process, and is released whenever the process ends."""

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without locks of this kind
    fcntl = None  # type: ignore[assignment]


class SystemLock:
    """An open folder, and the attempt to lock it, until `release`.

    Args:
      folder: that exists.
      wait: until nobody else has the lock.
    Raises:
      OSError: the folder cannot be opened.

    The attribute `free` is True if the lock was given, False if somebody else has it, and None where the system or the disk has
    no such locks.
    """

    def __init__(self, folder: Path, *, wait: bool):
        self._folder, self._handle = folder, os.open(folder, os.O_RDONLY)
        self.free: bool | None = None
        if fcntl is None:
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.free = True
        except BlockingIOError:
            self.free = False
        except OSError:
            pass

    def is_of_the_same_folder(self) -> bool:
        """Whether the path still leads to the folder that was opened, and not to one that has replaced it."""
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(self._folder))
        except OSError:
            return False

    def release(self) -> None:
        """Lets go of the lock and closes the folder."""
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_UN)  # a process that was forked from this one may still have it open
        os.close(self._handle)
