"""The lock of a run folder: one run at a time.

The file `lock` in the folder names the process that runs there, with its host and its start time. Beside it the process holds
a lock of the system on the folder, where the disk has such locks; the system releases it whenever the process ends. So a file
that a killed process left behind is recognised, even if its number belongs to another process by now.
"""

import dataclasses
import json
import time
from contextlib import suppress
from pathlib import Path

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.atomic import read_regular_file, write_atomically
from quickstudy.storage.process_identity import ProcessIdentity
from quickstudy.storage.system_lock import SystemLock

LOCK = "lock"
_MOST_BYTES = 4096
_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Claim:
    """The content of the file: the process, and since when it runs there, in words."""

    owner: ProcessIdentity
    since: str

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self.owner) | {"since": self.since}, indent=2) + "\n"


class FolderLock:
    """The lock of a folder, from `take` until `release`.

    Args:
      folder: that is locked.
      system: the system's lock on the folder.
      claim: that was written.
    """

    def __init__(self, folder: Path, system: SystemLock, claim: _Claim):
        self._folder, self._system, self._claim = folder, system, claim

    @classmethod
    def take(cls, folder: Path) -> "FolderLock":
        """Locks an existing folder. The lock of a process that has ended is taken over.

        Raises:
          UsageError: another run has it; names its process and host.
          OSError: the folder cannot be written.
        """
        this = ProcessIdentity.of_this_process()
        system = SystemLock(folder, wait=False)
        try:
            _refuse_if_taken(folder, this, free=system.free)
            claim = _Claim(owner=this, since=time.strftime("%Y-%m-%d %H:%M:%S %z"))
            write_atomically(folder / LOCK, claim.to_json())
            if _read(folder) != claim:  # another one wrote in the same instant, on a disk without locks of the system
                _refuse_if_taken(folder, this, free=system.free)
        except BaseException:
            system.release()
            raise
        return cls(folder, system, claim)

    def release(self) -> None:
        """Removes the lock, unless somebody else's has taken its place."""
        with suppress(OSError):
            if _read(self._folder) == self._claim:
                (self._folder / LOCK).unlink()
        self._system.release()


def in_use(folder: Path) -> bool | None:
    """Whether a run is under way in a folder, as its file `lock` says; None where that cannot be seen from here.

    Nothing is locked, so a run that begins meanwhile is not disturbed.

    Args:
      folder: of the run.
    """
    claim = _read(folder)
    if claim is None:
        return False
    this = ProcessIdentity.of_this_process()
    if claim.owner.can_be_seen_from(this):
        return claim.owner.is_running()
    return None


def _refuse_if_taken(folder: Path, this: ProcessIdentity, *, free: bool | None) -> None:
    """Raises UsageError if another run has the folder.

    Args:
      folder: with or without a lock.
      this: this process.
      free: whether the system gave its lock on the folder; None where the disk has no such locks.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    claim = _read(folder)
    while claim is None and free is False and time.monotonic() < until:  # somebody is about to say who it is
        time.sleep(_LOOK_SECONDS)
        claim = _read(folder)
    if claim is None:
        if free is False:
            raise UsageError(
                f"{folder} is in use by another process, which is starting there. Try again, or name another folder."
            )
        return
    owner, since = claim.owner, claim.since
    if owner.can_be_seen_from(this):
        taken = owner.is_running()
    elif owner.host == this.host or (owner.boot is not None and owner.boot == this.boot):
        taken = free is False  # before the machine was started again, or in another container: only the system's lock tells
    else:
        raise UsageError(
            f"{folder} is in use by process {owner.process} on the host {owner.host}, since {since}. Whether it still runs "
            f"cannot be seen from here ({this.host}). If it does not, remove the file {folder / LOCK} and try again."
        )
    if taken:
        raise UsageError(
            f"{folder} is in use: process {owner.process} on the host {owner.host} has run there since {since}. Wait until it "
            "has ended, stop it, or name another folder."
        )


def _read(folder: Path) -> _Claim | None:
    """The claim in a folder; None where there is none, or one that a power cut has destroyed."""
    try:
        data = json.loads(read_regular_file(folder / LOCK, most_bytes=_MOST_BYTES))
        return _Claim(owner=ProcessIdentity.from_plain(data), since=str(data.get("since", "an unknown time")))
    except (OSError, ValueError):
        return None
