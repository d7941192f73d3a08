"""What runs in a worker process: `python -m quickstudy.collectors.worker SOCKET HAND`, the numbers of two open descriptors.

Through the socket it is asked and answers. The hand is a piece of memory that both processes see: the number of the lifetime
whose environment is doing something. Whatever that does to this process, the other one knows in which lifetime it was done.
"""

import mmap
import pickle
import signal
import struct
import sys
import time
import traceback
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from quickstudy import registry
from quickstudy.agent import Agent
from quickstudy.collectors.collector import Collector
from quickstudy.errors import CollectingError, QuickstudyError

HAND = struct.Struct("q")
_BEAT_SECONDS = 0.5
_AGENTS_KEPT = 4


def main(descriptor: int, hand: int) -> None:
    """Answers until the other end closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever sent it to the whole group is answered by the process that asks
    connection, shared = Connection(descriptor), mmap.mmap(hand, HAND.size)
    _say(connection, "ready", list(sys.version_info[:2]))
    collector: Collector | None = None
    agents: dict[str, Agent] = {}
    try:
        while True:
            message = connection.recv_bytes()
            try:
                kind, *said = pickle.loads(message)
                if kind == "open":
                    files, distribution, lanes = said
                    for path in files:
                        registry.load_file(path)
                    hold = partial(HAND.pack_into, shared, 0)
                    collector = Collector(pickle.loads(distribution), lanes=lanes, holding=hold, beat=_Beat(connection))
                    continue
                digest, agent, params, tasks, keys, rewards_only = said
                if agent is not None:
                    agents = dict(list(agents.items())[1 - _AGENTS_KEPT :]) | {digest: pickle.loads(agent)}
                assert collector is not None
                lived = collector.live(agents[digest], params, tasks, keys, rewards_only=rewards_only)
                _say(connection, "lived", lived)
            except QuickstudyError as error:
                _say(connection, "raised", error)
            except Exception:
                _say(connection, "raised", CollectingError(f"a collector failed:\n{traceback.format_exc()}"))
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass
    finally:
        if collector is not None:
            collector.close()


class _Beat:
    """Says now and then that there is life, and how many steps were taken."""

    def __init__(self, connection: Connection):
        self._connection, self._last = connection, 0.0

    def __call__(self, steps: int) -> None:
        now = time.monotonic()
        if now - self._last > _BEAT_SECONDS:
            self._last = now
            _say(self._connection, "steps", steps)


def _say(connection: Connection, kind: str, said: Any) -> None:
    connection.send_bytes(pickle.dumps((kind, said), protocol=5))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
