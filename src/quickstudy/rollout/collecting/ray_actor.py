"""The collector of a Ray actor, in the actor's own process."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from quickstudy.protocol.errors import QuickstudyError
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.process_groups import guard_group
from quickstudy.rollout.collecting.remote_end import RemoteEnd
from quickstudy.rollout.collecting.user_code import UserCode


class Actor:
    """A worker on a cluster, in its own process.

    All its lifetimes run in one thread, since a simulator may be bound to the thread that made it. Another thread reports
    progress.
    """

    def __init__(self) -> None:
        _lead_a_group()
        self._progress, self._current = (0, 0, 0), -1
        self._remote_end = RemoteEnd(heartbeat=self._heartbeat, mark_current=self._mark_current)

    def open(
        self, code: UserCode, distribution: bytes, parallel_environments: int, cache: str | None
    ) -> QuickstudyError | None:
        """Opens the distribution; compiled programs are kept in the folder `cache`, if that can be made."""
        if cache:
            with suppress(OSError):
                Path(cache).mkdir(parents=True, exist_ok=True)
                jax.config.update("jax_compilation_cache_dir", cache)
        return self._remote_end.open(code, distribution, parallel_environments)

    def run(self, number: int, *job: Any) -> CollectedBatch | QuickstudyError:
        """Runs the share of this number."""
        self._progress, self._current = (number, 0, 0), -1
        return self._remote_end.run(*job)

    def progress(self) -> tuple[int, int, int, int]:
        """The number of the present share, its heartbeats, its steps, and the lifetime whose environment is at work."""
        return (*self._progress, self._current)

    def close(self) -> None:
        """Closes the environments."""
        self._remote_end.close()

    def _heartbeat(self, steps: int) -> None:
        number, heartbeats, _ = self._progress
        self._progress = (number, heartbeats + 1, steps)

    def _mark_current(self, lifetime: int) -> None:
        self._current = lifetime


def _lead_a_group() -> None:
    """What environments start is ended with this process, in whatever way it ends."""
    with suppress(PermissionError):  # it leads a session, and so a group
        os.setpgid(0, 0)
    guard_group(os.getpgrp())
