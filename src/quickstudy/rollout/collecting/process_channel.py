"""This process's end of the socket to a worker process. Nothing on it waits for a process that has ended.

The end of the socket does not tell that a process has ended: a child of the process may hold the other end open. So every wait
is for the socket and for the process.
"""

import os
import select
import socket
import struct
import subprocess
import time
from contextlib import suppress

_LENGTH, _LONG_LENGTH = struct.Struct("!i"), struct.Struct("!Q")
_LARGEST = 2**31 - 1
_LOOKING_SECONDS = 0.1
"""Seconds between two looks at the process where the system cannot wake us when it ends."""


class Channel:
    """Messages to and from a process, in the format of `multiprocessing.connection.Connection`.

    Args:
      own: this end of the socket pair.
      process: that holds the other end.
    """

    def __init__(self, own: socket.socket, process: subprocess.Popen):
        own.setblocking(False)
        self._socket, self._process = own, process
        self._exit: int | None = None
        with suppress(AttributeError, OSError):  # only Linux has it, and not everywhere
            self._exit = os.pidfd_open(process.pid)

    def send(self, message: bytes, seconds: float) -> None:
        """Sends one message.

        Raises:
          EOFError: the process has ended, or it closed its end.
          TimeoutError: nothing was sent for this many seconds.
        """
        large = len(message) > _LARGEST
        header = _LENGTH.pack(-1) + _LONG_LENGTH.pack(len(message)) if large else _LENGTH.pack(len(message))
        for part in (header, message):
            left = memoryview(part)
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT, seconds)
                except OSError as error:
                    raise EOFError from error

    def receive(self, seconds: float) -> bytearray:
        """The next message.

        Raises:
          EOFError: the process has ended, or it closed its end.
          TimeoutError: nothing came for this many seconds.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, seconds))
        if length == -1:
            (length,) = _LONG_LENGTH.unpack(self._read(_LONG_LENGTH.size, seconds))
        return self._read(length, seconds)

    def close(self) -> None:
        """Closes this end. A thread that waits here is woken, and gets an EOFError."""
        with suppress(OSError):  # the other end was closed first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._exit is not None:
            exit_descriptor, self._exit = self._exit, None
            os.close(exit_descriptor)

    def _read(self, size: int, seconds: float) -> bytearray:
        message = bytearray(size)
        left = memoryview(message)
        while left:
            try:
                count = self._socket.recv_into(left)
            except BlockingIOError:
                self._wait(select.POLLIN, seconds)
                continue
            except OSError as error:
                raise EOFError from error
            if not count:
                raise EOFError
            left = left[count:]
        return message

    def _wait(self, event: int, seconds: float) -> None:
        """Until the socket is ready, or the process has ended. What it sent before it ended is ready first."""
        descriptor, exit_descriptor = self._socket.fileno(), self._exit
        if descriptor < 0:
            raise EOFError
        poll = select.poll()
        poll.register(descriptor, event)
        if exit_descriptor is not None:
            poll.register(exit_descriptor, select.POLLIN)
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            ready = {
                number for number, _ in poll.poll(1000 * (min(left, _LOOKING_SECONDS) if exit_descriptor is None else left))
            }
            if descriptor in ready:
                return
            if exit_descriptor in ready or self._process.poll() is not None:
                raise EOFError
            if left == 0.0:
                raise TimeoutError
