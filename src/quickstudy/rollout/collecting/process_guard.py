"""The program of the guard: it ends process groups when the process that started it has ended.

`python process_guard.py PARENT`. Lines `+GROUP` and `-GROUP` on its standard input add groups and remove them. It ends when its
input ends or its parent does, and first kills the groups that are left. It imports nothing of this package.
"""

import os
import select
import signal
import sys

_LOOKING_SECONDS = 1.0


def main(parent: int) -> None:
    """Reads until the other end has gone, and kills the groups that are left then."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    rest = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], _LOOKING_SECONDS)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main(int(sys.argv[1]))
