"""The program of the guard: it ends process groups and processes when the process that started it has ended.

`python process_guard.py PARENT`. Lines `+NUMBER` and `~NUMBER` on its standard input add and remove a process, or a group where
the number is negative. It ends when its input ends or its parent does, and first kills what is left. It imports nothing of this
package.
"""

import os
import select
import signal
import sys
from functools import partial
from typing import Any

_LOOKING_SECONDS = 1.0


def main(parent: int) -> None:
    """Reads until the other end has gone, and kills what is left then."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: dict[int, Any] = {}
    rest = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], _LOOKING_SECONDS)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"+"):
                guarded[int(line[1:])] = _ending(int(line[1:]))
            else:
                guarded.pop(int(line[1:]), None)
    for end in guarded.values():
        try:
            end(signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _ending(number: int) -> Any:
    """What sends a signal to a process or a group. A process has a descriptor, since its number may be used again later."""
    if number > 0 and hasattr(os, "pidfd_open"):
        try:
            return partial(signal.pidfd_send_signal, os.pidfd_open(number))
        except OSError:  # it has ended already
            return lambda _: None
    return partial(os.kill, number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
