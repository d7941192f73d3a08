"""Standard streams that stay usable after their readers have left.

A reader may leave before a command has ended: `quickstudy train ... | head -1`, or a terminal that is closed. What is written
after that is dropped, and the command goes on. So nothing that was computed is lost.
"""

import errno
import io
import os
import sys
from contextlib import suppress

_READER_LEFT = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF, errno.ESHUTDOWN)
"""Errors of a stream that nobody reads any more: a closed pipe, a closed terminal."""


class _LastingFile(io.RawIOBase):
    """A descriptor that is written to until it refuses; from then on what comes is dropped.

    The attribute `trouble` is the first error that had another cause than a reader that left, such as a full disk; else None.
    """

    def __init__(self, descriptor: int):
        self._descriptor, self._lost = descriptor, False
        self.trouble: OSError | None = None

    def write(self, data: bytes) -> int | None:  # type: ignore[override]
        if not self._lost:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                return None
            except OSError as error:
                self._lost = True
                if error.errno not in _READER_LEFT:
                    self.trouble = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


def keep_writing() -> list[_LastingFile]:
    """Keeps `sys.stdout` and `sys.stderr` usable after their readers have left, and opens those that were closed at start.

    A stream that the program replaced is left as it is. Returns the files behind the streams that were changed.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    files = []
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue
        file = _LastingFile(descriptor)
        encoding, errors = "utf-8", "backslashreplace"
        if stream is not None:
            encoding, errors = stream.encoding, stream.errors
            _flush(stream)
        by_line = name == "stderr" or file.isatty()
        buffer = io.BufferedWriter(file)  # type: ignore[type-var]  # it has all that a raw stream needs
        lasting = io.TextIOWrapper(buffer, encoding=encoding, errors=errors, line_buffering=by_line)
        if stream is not None and stream.write_through:  # as PYTHONUNBUFFERED asks for
            lasting.reconfigure(write_through=True)
        setattr(sys, name, lasting)
        files.append(file)
    return files


def _open_if_closed(descriptor: int) -> None:
    """A descriptor that is closed would be given to the next file, which then receives what is printed."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)  # as the standard streams are, for programs that this one starts


def _flush(stream: io.TextIOWrapper) -> None:
    with suppress(OSError):  # its reader has left already
        stream.flush()
