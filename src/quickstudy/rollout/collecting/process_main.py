"""The program of a worker process: `python -P -m quickstudy.rollout.collecting.process_main PARENT SOCKET CELL LIFELINE`.

PARENT is the number of the process that started it. The others are the numbers of open descriptors. Requests and answers pass
through the socket. CELL is shared memory that holds the number of the lifetime whose environment is at work. If an environment
ends this process, the other process reads there which lifetime it was. LIFELINE ends when the parent does.
"""

import mmap
import pickle
import signal
import struct
import sys
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from quickstudy.protocol.errors import QuickstudyError
from quickstudy.protocol.output import keep_writing
from quickstudy.rollout.collecting.parent_watch import end_with_parent
from quickstudy.rollout.collecting.remote_end import RemoteEnd, as_quickstudy_error

SHARED_CELL = struct.Struct("q")
"""The shared cell: one number, -1 while no environment is at work."""
_HEARTBEAT_SECONDS = 0.5


def main(parent: int, descriptor: int, cell: int, lifeline: int) -> None:
    """Answers until the other end closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles an interrupt, and ends this process
    end_with_parent(parent, lifeline, private=(descriptor,))
    keep_writing()  # an environment may print, also if the output is closed
    connection, shared = Connection(descriptor), mmap.mmap(cell, SHARED_CELL.size)
    _send(connection, "ready", list(sys.version_info[:2]))
    remote_end = RemoteEnd(heartbeat=_Heartbeat(connection), mark_current=partial(SHARED_CELL.pack_into, shared, 0))
    try:
        while True:
            message = connection.recv_bytes()
            try:
                kind, *content = pickle.loads(message)
                answer: Any = remote_end.open(*content) if kind == "open" else remote_end.run(*content)
            except Exception as error:
                answer = as_quickstudy_error(error)
            _send(connection, "raised" if isinstance(answer, QuickstudyError) else "collected", answer)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass
    finally:
        remote_end.close()


class _Heartbeat:
    """Sends the number of steps taken, at most every half second, and at once after the first.

    The first steps show that everything is compiled. From then on the parent waits for a shorter time.
    """

    def __init__(self, connection: Connection):
        self._connection, self._last, self._steps = connection, 0.0, 0

    def __call__(self, steps: int) -> None:
        now, before, self._steps = time.monotonic(), self._steps, steps
        if now - self._last > _HEARTBEAT_SECONDS or (steps and not before):
            self._last = now
            _send(self._connection, "steps", steps)


def _send(connection: Connection, kind: str, content: Any) -> None:
    connection.send_bytes(pickle.dumps((kind, content), protocol=5))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
