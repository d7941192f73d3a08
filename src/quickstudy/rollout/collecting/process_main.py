"""What runs in a worker process: `python -m quickstudy.rollout.collecting.process_main SOCKET HAND`.

SOCKET and HAND are the numbers of two open descriptors.

Through the socket it is asked and answers. The hand is a piece of memory that both processes see: the number of the lifetime
whose environment is doing something. Whatever that does to this process, the other one knows in which lifetime it was done.
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
from quickstudy.rollout.collecting.remote_end import RemoteEnd, as_own

SHARED_CELL = struct.Struct("q")
_BEAT_SECONDS = 0.5


def main(descriptor: int, hand: int) -> None:
    """Answers until the other end closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever sent it to the whole group is answered by the process that asks
    connection, shared = Connection(descriptor), mmap.mmap(hand, SHARED_CELL.size)
    _say(connection, "ready", list(sys.version_info[:2]))
    outpost = RemoteEnd(heartbeat=_Heartbeat(connection), mark_current=partial(SHARED_CELL.pack_into, shared, 0))
    try:
        while True:
            message = connection.recv_bytes()
            try:
                kind, *said = pickle.loads(message)
                answer: Any = outpost.open(*said) if kind == "open" else outpost.run(*said)
            except Exception as error:
                answer = as_own(error)
            _say(connection, "raised" if isinstance(answer, QuickstudyError) else "lived", answer)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass
    finally:
        outpost.close()


class _Heartbeat:
    """Says now and then that there is life, and how many steps were taken; of the first ones at once.

    Whoever hears of steps knows that everything is compiled, and from then on waits less long for the next word.
    """

    def __init__(self, connection: Connection):
        self._connection, self._last, self._steps = connection, 0.0, 0

    def __call__(self, steps: int) -> None:
        now, before, self._steps = time.monotonic(), self._steps, steps
        if now - self._last > _BEAT_SECONDS or (steps and not before):
            self._last = now
            _say(self._connection, "steps", steps)


def _say(connection: Connection, kind: str, said: Any) -> None:
    connection.send_bytes(pickle.dumps((kind, said), protocol=5))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
