"""The thread that processes requests in rounds: compiled programs make the answers, and another thread stores them.

Rewards are answered when the disk has them. Decisions are answered as soon as they are made if this server owns its store
(`durability="fast"`), because the same decision is made again from the same state. Where several servers share a store, a
decision is answered when its commit succeeded, so no two servers decide the same slot.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from quickstudy.serving.asked import Asked
from quickstudy.serving.committer import CommitJob, Committer
from quickstudy.serving.inbox import Inbox
from quickstudy.serving.live import LiveSession
from quickstudy.serving.refusal import Refusal, cannot_store, internal, stopping
from quickstudy.serving.requests import Act, Look, Open, SessionName
from quickstudy.serving.shelf import StoreShelf
from quickstudy.serving.stores.store import Store, StoreError
from quickstudy.serving.versioned import VersionedSessions

_log = logging.getLogger("quickstudy.serving")

_MOST_AT_ONCE = 64
"""Requests of one round: more save little, and keep other tenants waiting."""
_MOST_TRIES = 20
"""Times that a request is done again because another server had changed its session."""


class Rounds:
    """Processes what other threads put into its inbox. Other threads may use `start`, `put`, `stop` and `error` only.

    Args:
      store: of the sessions.
      shelf: over the store.
      sessions: on the shelf.
      strict: answer decisions only when they are stored.
      most_sessions: of each tenant; None for no limit.
    """

    def __init__(
        self, store: Store, shelf: StoreShelf, sessions: VersionedSessions, *, strict: bool, most_sessions: int | None
    ):
        self._store, self._shelf, self._sessions = store, shelf, sessions
        self._strict, self._fast, self._most_sessions = strict, store.exclusive and not strict, most_sessions
        self._inbox = Inbox(_MOST_AT_ONCE)
        self._held: dict[SessionName, deque[Asked]] = {}
        self._committer = Committer(store, stored=self._on_stored, failed=self._on_failed)
        self._thread = threading.Thread(target=self._run, name="quickstudy-engine", daemon=True)
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begins to answer.

        Raises:
          StoreError: the store cannot be read or written.
        """
        self._counts.update(self._store.counts())
        self._committer.start()
        self._thread.start()

    def put(self, item: list[Asked] | tuple[Callable[[StoreShelf], Any], Future]) -> None:
        """Takes requests of one tenant, or a function to call when everything so far is stored and its future."""
        self._inbox.put(item)

    def stop(self) -> None:
        """Answers what came, stores it, and stops."""
        self._inbox.put(None)
        self._thread.join()
        self._committer.stop()

    @property
    def error(self) -> StoreError | None:
        """Why nothing can be stored now; None if it can."""
        return self._committer.error

    def delete(self, name: SessionName) -> bool:
        """Deletes a session. False if there is none."""
        self._shelf.drop(name)
        deleted = self._store.delete(name)
        self._counts[name.tenant] -= deleted
        return deleted

    def _run(self) -> None:
        while (item := self._inbox.next()) is not None:
            if isinstance(item, list):
                self._round(item)
            elif callable(item):
                item()
            else:
                self._called(*item)
        while self._held:
            self._committer.flush()
            self._finish(self._inbox.rest(waits=True))
        with contextlib.suppress(queue.Empty):
            while True:
                self._finish(self._inbox.rest(waits=False))

    def _finish(self, item: Any) -> None:
        """What is left to do for an item of the inbox when the server stops."""
        if isinstance(item, list):
            _give_all(item, stopping())
        elif isinstance(item, tuple):
            item[1].set_exception(stopping())
        elif item is not None:
            item()

    def _round(self, asked: list[Asked]) -> None:
        """Answers requests; those of sessions with a commit under way are held where another server might change them."""
        ready = [one for one in asked if not self._is_held(one)]
        if not ready:
            return
        self._committer.wait_for_room()
        now = time.time()
        try:
            self._shelf.fetch(one.request.name for one in ready)
            ready = [one for one in ready if self._within_quota(one)]
            answers = self._sessions.process([one.request for one in ready])
        except StoreError as error:
            _give_all(ready, cannot_store(error))
            return
        except Exception as error:
            _log.exception("a round of %d requests failed", len(ready))
            self._committer.flush()  # what was sent is stored; what is fresh is not known to be sound
            for one in ready:
                self._shelf.drop(one.request.name)
            _give_all(ready, internal(error))
            return
        self._commit(list(zip(ready, answers, strict=True)), now)
        self._shelf.make_room()

    def _commit(self, answered: list[tuple[Asked, Any]], now: float) -> None:
        names = {one.request.name for one, _ in answered}
        live = [self._shelf.live.get(name) for name in names]
        changed = {session.name: session for session in live if isinstance(session, LiveSession) and session.fresh}
        for session in changed.values():
            if session.version == 0:
                self._counts[session.name.tenant] += 1
        waits: list[tuple[Asked, Any]] = []
        at_once: list[tuple[Asked, Any]] = []
        for one, answer in answered:
            refused = isinstance(answer, Refusal) or isinstance(one.request, Look)
            fast = self._fast and isinstance(one.request, Act)
            (at_once if refused or fast or not self._unsettled(one.request.name) else waits).append((one, answer))
        changes = [self._shelf.change_of(session, now) for session in changed.values()]
        if not self._store.exclusive:
            self._held.update({name: deque() for name in changed})
        for one, answer in at_once:
            one.give(answer)
        if changes or waits:
            self._committer.put(
                CommitJob(changes, waits, durable=self._strict or any(not isinstance(o.request, Act) for o, _ in waits))
            )

    def _unsettled(self, name: SessionName) -> bool:
        """Whether a session has changes that are not stored yet."""
        session = self._shelf.live.get(name)
        return isinstance(session, LiveSession) and bool(session.fresh or session.sent)

    def _is_held(self, one: Asked) -> bool:
        held = self._held.get(one.request.name)
        if held is not None:
            held.append(one)
        return held is not None

    def _within_quota(self, one: Asked) -> bool:
        """Whether a request does not open one session too many; it is refused otherwise."""
        opens = isinstance(one.request, Act | Open) and one.request.name not in self._shelf.live
        most = self._most_sessions
        if most is None or not opens or self._counts[one.request.name.tenant] < most:
            return True
        one.give(Refusal("quota", f"this tenant has {most} sessions, which is its limit.", hint="Delete some of them."))
        return False

    def _called(self, function: Callable[[StoreShelf], Any], future: Future) -> None:
        self._committer.flush()
        try:
            if self._committer.error is not None:
                raise cannot_store(self._committer.error)
            future.set_result(function(self._shelf))
        except StoreError as error:
            future.set_exception(cannot_store(error))
        except Exception as error:
            future.set_exception(error)

    def _on_stored(self, jobs: list[CommitJob], lost: set[SessionName]) -> None:
        """In the committer's thread: gives the answers, and has the rest done by the engine's thread."""
        again = []
        for one, answer in (waiting for job in jobs for waiting in job.waiting):
            if one.request.name in lost:
                again.append(one)
            else:
                one.give(answer)
        stored = {change.name: change.events[-1].number for job in jobs for change in job.changes if change.events}
        self._inbox.put(lambda: self._after_commit(stored, lost, again))

    def _on_failed(self, jobs: list[CommitJob], error: StoreError) -> None:
        names = {change.name for job in jobs for change in job.changes}
        for one, _ in (waiting for job in jobs for waiting in job.waiting):
            one.give(cannot_store(error))
        if not self._store.exclusive:
            self._inbox.put(lambda: self._after_commit({}, names, []))
        else:
            for job in jobs:
                job.waiting.clear()

    def _after_commit(self, stored: dict[SessionName, int], lost: set[SessionName], again: list[Asked]) -> None:
        for name in lost:
            self._shelf.drop(name)
        for name, number in stored.items():
            if name not in lost:
                self._shelf.stored(name, number)
        released = [one for name in {*stored, *lost} for one in self._held.pop(name, ())]
        for one in again:
            one.tries += 1
            if one.tries > _MOST_TRIES:
                one.give(Refusal("overloaded", "other servers keep changing this session.", hint="Send it again."))
        self._round([one for one in again if one.tries <= _MOST_TRIES] + released)


def _give_all(asked: list[Asked], answer: Any) -> None:
    for one in asked:
        one.give(answer)
