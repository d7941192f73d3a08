"""Which process is meant by a number: numbers of processes are used again, but not with the same start time."""

import dataclasses
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """A process, named so that it can be recognised later.

    Args:
      process: its number.
      host: the name of the machine.
      started: the start time as the system gives it; None where the system does not tell.
      boot: identifies the start of the machine's kernel; None where the system does not tell.
      namespace: identifies the container, in which numbers of processes have a meaning; None where there are none.
    """

    process: int
    host: str
    started: str | None
    boot: str | None
    namespace: str | None

    @classmethod
    def of_this_process(cls) -> "ProcessIdentity":
        """The process that calls."""
        return cls(
            process=os.getpid(),
            host=platform.node() or "unknown",
            started=start_time(os.getpid()),
            boot=_text_of("/proc/sys/kernel/random/boot_id"),
            namespace=_namespace(),
        )

    @classmethod
    def from_plain(cls, data: Any) -> "ProcessIdentity":
        """The inverse of `dataclasses.asdict`; fields that are not known are passed over.

        Raises:
          ValueError: a field is missing or has another type.
        """
        if not isinstance(data, dict) or type(data.get("process")) is not int or not isinstance(data.get("host"), str):
            raise ValueError("a process is a table with a number `process` and a text `host`")
        texts = {name: data.get(name) for name in ("started", "boot", "namespace")}
        if not all(value is None or isinstance(value, str) for value in texts.values()):
            raise ValueError("start time, boot and namespace of a process are texts")
        return cls(process=data["process"], host=data["host"], **texts)

    def can_be_seen_from(self, other: "ProcessIdentity") -> bool:
        """Whether the other process is in the same container, since the same start of the machine."""
        return (self.host, self.boot, self.namespace) == (other.host, other.boot, other.namespace)

    def is_running(self) -> bool:
        """Whether it runs now; to be asked only where it can be seen."""
        return is_running(self.process, started=self.started)


def is_running(process: int, *, started: str | None = None) -> bool:
    """Whether a process of this machine runs.

    Args:
      process: its number.
      started: its start time as `start_time` gave it; with None any process of that number counts.
    """
    now = start_time(process)
    return now is not None and (started is None or started == now)


def start_time(process: int) -> str | None:
    """The start time of a process, in a form that is only good for comparison; None where no such process runs."""
    if process <= 0:
        return None
    if Path("/proc/self/stat").exists():
        stat = _text_of(f"/proc/{process}/stat")
        fields = stat.rpartition(")")[2].split() if stat else []  # the name before it may hold spaces
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None  # dead ones stay until they are waited for
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _text_of(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
