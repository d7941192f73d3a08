"""What this machine offers to the process."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use, at least 1.

    Linux can bind a process to some of the cores, and can give a container a quota of processor time. The smaller number
    counts; a quota of one and a half cores counts as two. macOS and Windows have neither, so there it is the cores of the
    machine.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        # Newer versions of Python let the user set the number, by PYTHON_CPU_COUNT.
        cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    quota = processor_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def processor_quota(root: Path = Path("/")) -> float | None:
    """The processor time that the process's control groups allow, in cores; None where there is no limit.

    A group is limited by those that it lies in, so the smallest quota counts. Both versions of Linux's control groups are read.

    Args:
      root: where `proc` and the mounted file systems are; another one in tests.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    quotas = [quota for folder in _group_folders(groups, mounts, root) if (quota := _quota_in(folder)) is not None]
    return min(quotas, default=None)


def _group_folders(groups: list[str], mounts: list[str], root: Path) -> Iterator[Path]:
    """The folders of the process's groups that limit processor time, and of those that they lie in."""
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        version_2 = kinds[0] == "cgroup2"
        if not version_2 and "cpu" not in kinds[2].split(","):
            continue
        shown, folder = fields[3], root / fields[4].lstrip("/")
        for group in groups:
            number, controllers, path = group.split(":", 2)
            if (number == "0") if version_2 else ("cpu" in controllers.split(",")):
                # In a container the folder may show the container's own group as its root.
                inside = Path(os.path.relpath(path, shown)) if path.startswith(shown) else Path()
                yield folder / inside
                yield from (folder / parent for parent in inside.parents)


def _quota_in(folder: Path) -> float | None:
    """The quota of one control group, in cores."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        cores = float(quota) / float(period)  # no limit is "max" in version 2, and -1 in version 1
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None
