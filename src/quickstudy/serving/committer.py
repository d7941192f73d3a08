"""The thread that writes: it gathers the changes that come while the disk is busy, and commits them together.

One wait for the disk costs milliseconds, however much is written. So the rate of durable rewards grows with their number.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from quickstudy.serving.chain import Chain, new_chain
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import Store, StoredChange, StoreError

_RETRY_SECONDS = 0.25
_GATHER_SECONDS = 0.005
"""How long changes that nobody waits for are gathered. A kill loses at most the changes of this time and of one commit."""
_MOST_BEHIND = 4096
"""Changes that may wait to be written; callers with more changes have to wait."""


class CommitJob(NamedTuple):
    """Changes to be written, and the answers that wait for them.

    Args:
      changes: each session at most once.
      waiting: answers that are given when the changes are stored.
      durable: whether anybody waits for the disk.
    """

    changes: list[StoredChange]
    waiting: list[Any]
    durable: bool


class Committer:
    """Writes jobs in the order in which they come.

    Args:
      store: to write to.
      stored: called with the jobs of a commit, and the sessions that another server had changed meanwhile.
      failed: called with the jobs that were not written, and the error.
    """

    def __init__(
        self,
        store: Store,
        *,
        stored: Callable[[list[CommitJob], set[SessionName]], None],
        failed: Callable[[list[CommitJob], StoreError], None],
    ):
        self._store, self._stored, self._failed = store, stored, failed
        self._jobs: queue.SimpleQueue[CommitJob | threading.Event | None] = queue.SimpleQueue()
        self._chain: Chain | None = None
        self._backlog: list[CommitJob] = []
        self._urgent, self._went_on = threading.Event(), threading.Event()
        self._given = self._over = 0  # changes, each counted by one thread
        self.error: StoreError | None = None
        self._thread = threading.Thread(target=self._run, name="quickstudy-commits", daemon=True)

    def start(self) -> None:
        """Begins a shard of the chain, and then to write.

        Raises:
          StoreError: the store cannot be written.
        """
        self._begin_shard()
        self._thread.start()

    def put(self, job: CommitJob) -> None:
        """Gives a job to the writer; always from the same thread."""
        self._given += len(job.changes)
        self._jobs.put(job)
        if job.waiting:
            self._urgent.set()

    def wait_for_room(self) -> None:
        """Waits while too many changes are to be written. If the store fails, it does not wait."""
        while self._given - self._over > _MOST_BEHIND and self.error is None:
            self._went_on.wait(_RETRY_SECONDS)
            self._went_on.clear()

    def flush(self) -> None:
        """Waits until all jobs so far were written, or have failed."""
        done = threading.Event()
        self._jobs.put(done)
        self._urgent.set()
        done.wait()

    def stop(self) -> None:
        """Writes the remaining changes, and stops."""
        self._jobs.put(None)
        self._urgent.set()
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            jobs, flushed, running = self._gather()
            if self.error is not None and not jobs and running:
                self._try_again()
            elif jobs:
                self._write(jobs)
            for done in flushed:
                done.set()

    def _gather(self) -> tuple[list[CommitJob], list[threading.Event], bool]:
        jobs: list[CommitJob] = []
        flushed: list[threading.Event] = []
        try:
            item = self._jobs.get(timeout=_RETRY_SECONDS if self.error else None)
            self._urgent.wait(_GATHER_SECONDS)
            self._urgent.clear()
            while True:
                if item is None:
                    return jobs, flushed, False
                if isinstance(item, CommitJob):
                    jobs.append(item)
                else:
                    flushed.append(item)
                item = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, flushed, True

    def _write(self, jobs: list[CommitJob]) -> None:
        everything = [*self._backlog, *jobs]
        try:
            if self._chain is None:
                self._begin_shard()
            assert self._chain is not None
            durable = any(job.durable for job in everything)
            lost = self._store.commit(merged(everything), self._chain, durable=durable)
        except StoreError as error:
            # Whether a failed commit was written is not known, so its link may be there. Another shard goes on.
            self._chain, self.error = None, error
            # The owner of a store has answered some of these already, so they are written later.
            self._backlog = everything if self._store.exclusive else []
            self._over += 0 if self._store.exclusive else _changes(everything)
            self._failed(jobs, error)
        else:
            self.error, self._backlog = None, []
            self._over += _changes(everything)
            self._stored(everything, lost)
        self._went_on.set()

    def _try_again(self) -> None:
        """Writes the backlog, or something that is not kept."""
        if self._backlog:
            self._write([])
            return
        try:
            self._store.probe()
            self.error = None
        except StoreError as error:
            self.error = error

    def _begin_shard(self) -> None:
        chain = new_chain(self._store.heads())
        self._store.add_shard(chain)
        self._chain = chain


def merged(jobs: list[CommitJob]) -> list[StoredChange]:
    """One change for each session: from the version that the first expects to the state of the last, with all events."""
    changes: dict[SessionName, StoredChange] = {}
    for job in jobs:
        for change in job.changes:
            before = changes.get(change.name)
            if before is not None:
                change = change._replace(expected=before.expected, events=[*before.events, *change.events])
            changes[change.name] = change
    return list(changes.values())


def _changes(jobs: list[CommitJob]) -> int:
    return sum(len(job.changes) for job in jobs)
