"""The process groups of worker processes: each is ended with its worker, and all of them with this process.

A worker leads a group of its own, so a group holds what its environments started. A small process, the guard, ends the groups
if this process is killed, and single processes that were named to it. It runs as long as there is something to guard. A process
that leaves its group is not ended.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROGRAM = Path(__file__).with_name("process_guard.py")
_ENDING_SECONDS = 5.0
_lock = threading.Lock()
_guarded: set[int] = set()
"""As `os.kill` takes them: processes, and groups as negative numbers."""
_guard: subprocess.Popen | None = None
_owner = os.getpid()


def guard_group(group: int) -> None:
    """From now on this group is ended if this process is killed."""
    guard_processes([-group])


def end_group(group: int) -> None:
    """Kills what is left of a group, and forgets it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    forget_processes([-group])


def guard_processes(numbers: Iterable[int]) -> None:
    """From now on these are ended if this process is killed.

    Args:
      numbers: as `os.kill` takes them: processes that are running now, and groups as negative numbers.
    """
    global _guard, _owner
    with _lock:
        if _owner != os.getpid():  # a child by fork: the workers and the guard are its parent's
            _owner, _guard = os.getpid(), None
            _guarded.clear()
        if _guard is not None and _guard.poll() is not None:  # somebody ended it
            _drop_guard()
        if _guard is None:
            # Isolated and without installed packages: it imports nothing but the standard library, and starts in 20 ms.
            command = [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid())]
            _guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
            for known in _guarded:
                _tell(f"+{known}\n")
        for number in numbers:
            _guarded.add(number)
            _tell(f"+{number}\n")


def forget_processes(numbers: Iterable[int]) -> None:
    """From now on these are no longer ended if this process is killed."""
    with _lock:
        for number in numbers:
            if number in _guarded:
                _guarded.remove(number)
                _tell(f"~{number}\n")
        if not _guarded:
            _drop_guard()


def _tell(line: str) -> None:
    with suppress(OSError):  # it has ended; the next worker starts another
        assert _guard is not None
        assert _guard.stdin is not None
        os.write(_guard.stdin.fileno(), line.encode())


def _drop_guard() -> None:
    global _guard
    if _guard is None:
        return
    assert _guard.stdin is not None
    with suppress(OSError):
        _guard.stdin.close()
    try:
        _guard.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        _guard.kill()
        _guard.wait()
    _guard = None
