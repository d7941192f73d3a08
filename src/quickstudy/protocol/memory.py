"""Memory that a request needs, compared with the memory that there is, before anything is allocated.

The system kills a process that takes more memory than there is, without a message. So sizes are computed from shapes first.
"""

import math
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution

LIMIT_VARIABLE = "QUICKSTUDY_MEMORY_GB"
"""Environment variable that replaces what is known of this machine, in gigabytes."""
_CGROUPS = Path("/sys/fs/cgroup")
_GIGABYTE = 1e9
_BYTES_OF_OBJECTS = 1000
"""Of a task outside JAX: it is a tree of Python objects before it is stacked."""


def free_bytes() -> int | None:
    """Bytes that this process may still take, of the machine or of the container; None where the system does not tell.

    Linux tells what is available in all, and a limit of the control group where there is one (versions 1 and 2). Memory that
    the system uses as a cache of files counts as free. The environment variable `QUICKSTUDY_MEMORY_GB` replaces all of it.
    """
    given = os.environ.get(LIMIT_VARIABLE, "")
    try:
        if given and 0 < float(given) < math.inf:
            return int(float(given) * _GIGABYTE)
    except ValueError:
        pass
    known = [one for one in (_available(), *_free_in_cgroups()) if one is not None]
    return max(0, min(known)) if known else None


def bytes_of(tree: PyTree) -> int:
    """Bytes of all arrays of a tree, or of their shapes as `jax.eval_shape` gives them."""
    return sum(_bytes_of_one(leaf) for leaf in jax.tree.leaves(tree))


def free_bytes_of_devices() -> int | None:
    """Bytes that compiled programs may still take on all devices together; where these are processors, those of the machine."""
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return free_bytes()
    known = [device.memory_stats() or {} for device in devices]
    if not all({"bytes_limit", "bytes_in_use"} <= set(one) for one in known):
        return None
    return len(devices) * min(one["bytes_limit"] - one["bytes_in_use"] for one in known)


def task_bytes(distribution: AnyDistribution) -> int:
    """Bytes of one task; 0 where that cannot be told because `sample` raises something."""
    if isinstance(distribution, HostDistribution):
        return _BYTES_OF_OBJECTS
    key = jax.random.key(0)
    try:
        return bytes_of(jax.eval_shape(lambda key: distribution.sample(distribution.splits[0], key), key))
    except Exception:  # the user's code may raise anything at all; whoever draws the tasks says what
        return 0


def check_memory(needed: float, *, what: str, remedy: str, free: int | None = None) -> None:
    """Raises UsageError if something needs more memory than is free.

    Args:
      needed: bytes.
      what: needs them, in words, as in `one update of 128 lifetimes`.
      remedy: what to ask for instead, a sentence.
      free: bytes that are free; those of this machine if None.
    """
    free = free_bytes() if free is None else free
    if free is not None and needed > free:
        raise UsageError(f"{what} needs about {in_words(needed)} of memory; {in_words(free)} are free here. {remedy}")


def fitting(count: int, *, needed: float, free: float) -> int:
    """How many of `count` things fit into `free` bytes, if all of them need `needed`; rounded down to a power of two."""
    share = int(count * free / needed) if needed > 0 else count
    return min(count, 1 << (share.bit_length() - 1)) if share >= 1 else 0


def in_words(count: float) -> str:
    """Bytes for people, as in `1.2 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            amount = count / size
            return f"{amount:,.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _bytes_of_one(leaf: Any) -> int:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 8 * math.prod(leaf.shape)
    return math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize


def _available() -> int | None:
    """Memory of the machine that is available without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _free_in_cgroups() -> list[int | None]:
    """What the control groups of this process leave, the limits of their parents included."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found: list[int | None] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # Within a container the path may be that of the machine outside, so the group that is mounted at the root counts too.
        group = root / path.strip("/")
        found += [_free_in(one, *names) for one in {root, group, *group.parents} if one == root or root in one.parents]
    return found


def _free_in(group: Path, limit: str, usage: str) -> int | None:
    try:
        most = int((group / limit).read_text(encoding="ascii"))
        used = int((group / usage).read_text(encoding="ascii"))
        kept = (line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        files = next((int(count) for name, count in kept if name in ("total_inactive_file", "inactive_file")), 0)
    except (OSError, ValueError):
        return None  # no limit ("max"), no such group
    return most - used + files
