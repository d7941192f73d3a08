"""What this machine offers to the process."""

import os


def usable_cores() -> int:
    """Cores that this process may run on, at least 1.

    Linux can bind a process to some of the cores, as containers and job schedulers do; those are counted. macOS and Windows
    have no such question to ask in Python's `os`, so there it is the cores of the machine.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
