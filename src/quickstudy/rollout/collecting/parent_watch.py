"""A worker process ends with the process that started it, whatever its environment is doing."""

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence

_SET_PARENT_DEATH_SIGNAL = 1
_LOOKING_SECONDS = 1.0


def end_with_parent(parent: int, lifeline: int, *, private: Sequence[int]) -> None:
    """From now on this process ends when its parent has ended, and all processes of its group with it.

    Linux kills this process, even if it is stopped. Everywhere a thread kills the group as soon as the lifeline ends, even
    while an environment's step goes on.

    Args:
      parent: the number of the process that started this one; the direct parent, unless the interpreter is a script that
        starts the real one.
      lifeline: a descriptor to read from. The parent alone holds its other end.
      private: descriptors that no child of this process may hold open.
    """
    direct = os.getppid()
    if direct == parent:
        _die_with_parent()
    if _is_gone(parent, direct):
        _end_group()
    for descriptor in (lifeline, *private):
        os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=lambda: _replace((lifeline, *private)))
    threading.Thread(target=_watch, args=(parent, direct, lifeline), daemon=True).start()


def _die_with_parent() -> None:
    """Asks Linux for SIGKILL when the thread that started this process has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))


def _watch(parent: int, direct: int, lifeline: int) -> None:
    while True:
        try:
            ended = bool(select.select([lifeline], [], [], _LOOKING_SECONDS)[0])
        except (OSError, ValueError):  # an environment closed the descriptor
            ended = False
            threading.Event().wait(_LOOKING_SECONDS)
        if ended or _is_gone(parent, direct):
            _end_group()


def _is_gone(parent: int, direct: int) -> bool:
    if os.getppid() != direct:
        return True
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _end_group() -> None:
    """Kills this process, and what its environments started if the group is its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _replace(descriptors: Sequence[int]) -> None:
    """In a child: the descriptors lead nowhere. Closing them would let other files take their numbers."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)
