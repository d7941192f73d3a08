"""The live sessions of a server: those with recent requests, as they are in the store or a few events ahead of it."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from quickstudy.serving.events import Event, Moved
from quickstudy.serving.heads import encoded, event_of, restored, stored_event
from quickstudy.serving.live import LiveSession
from quickstudy.serving.log import counted
from quickstudy.serving.record import recorded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import same_form
from quickstudy.serving.stores.store import Store, StoredChange, StoredSession
from quickstudy.serving.versions import Versions


class StoreShelf:
    """A shelf over a store; see `Shelf`. One thread uses it.

    Args:
      versions: of the agent.
      store: that holds everything.
      most: sessions that stay live; those without requests for longest are dropped.
    """

    def __init__(self, versions: Versions, store: Store, *, most: int = 100_000):
        self._versions, self._store, self._most = versions, store, most
        self.live: OrderedDict[SessionName, LiveSession] = OrderedDict()

    def fetch(self, names: Iterable[SessionName]) -> None:
        """Loads those of these sessions that are not live, in one query; all of them where other servers may change them.

        Raises:
          StoreError: the store cannot be read.
        """
        wanted = dict.fromkeys(names)
        missing = [name for name in wanted if name not in self.live] if self._store.exclusive else list(wanted)
        for name in missing:
            self.live.pop(name, None)
        if missing:
            for name, stored in self._store.load(missing).items():
                self.live[name] = self._restored(stored)

    def _restored(self, stored: StoredSession) -> Any:
        """A session as it goes on, with the current version or with its own; what stands for it where it cannot."""
        current = self._versions.current
        if stored.agent == current.digest:
            return restored(stored, current)
        fits = same_form(self._store.agents().get(stored.agent), current.described())
        if fits and self._versions.moves_on(stored.agent):
            return self._moved(stored)
        own = self._versions.of(stored.agent) if self._versions.moves != "refuse" else None
        return _OfAnother(stored.name, stored.agent, fits=fits) if own is None else restored(stored, own)

    def _moved(self, stored: StoredSession) -> LiveSession:
        """A session of another version, as it goes on with the current one."""
        current, restarts = self._versions.current, self._versions.moves == "restart"
        log = [event_of(event) for event in self._store.events(stored.name)]
        record = recorded(log, current.spec, cadence=current.agent.cadence, policy=current.policy)
        session = LiveSession(stored.name, record, None, current.digest, version=stored.version)
        session.take(Moved(at=time.time(), agent=current.digest, restarts=restarts))
        return session

    def get(self, name: SessionName) -> LiveSession | None:
        """The session, which was fetched before; None where there is none."""
        session = self.live.get(name)
        if isinstance(session, _OfAnother):
            del self.live[name]
            raise Refusal(
                "conflict",
                "this session belongs to another version of the agent.",
                field="session",
                expected=self._versions.current.digest[:12],
                got=session.agent[:12],
                hint="Ask a server of that version, or serve with --moves replay. A registry must hold it."
                if session.fits
                else "Ask a server of that version, or open another session: its spaces or its decisions differ.",
            )
        if session is not None:
            self.live.move_to_end(name)
        return session

    def put(self, session: LiveSession) -> None:
        """Keeps a session that was opened."""
        self.live[session.name] = session

    def log(self, session: LiveSession) -> list[Event]:
        """All its events."""
        stored = [event_of(event) for event in self._store.events(session.name)]
        return stored + self._unstored(session, behind=len(stored))

    def find(self, session: LiveSession, decision_id: str) -> list[Event]:
        """The events that name a decision, among those that count."""
        if session.record.branch:
            events = counted(self.log(session))
        else:
            stored = self._store.events(session.name, decision_id=decision_id)
            events = [event_of(event) for event in stored]
            events += self._unstored(session, behind=stored[-1].number if stored else 0)
        return [event for event in events if getattr(event, "decision_id", None) == decision_id]

    def change_of(self, session: LiveSession, now: float) -> StoredChange:
        """What is to be stored of a session; its fresh events count as sent from here on."""
        fresh, record, name = session.fresh, session.record, session.name
        first = record.events - len(fresh) + 1
        due = None
        if record.policy.window_seconds is not None:
            waits = (step.due for step in record.steps.values() if step.due is not None and not step.final)
            due = min(waits, default=None)
        events = [stored_event(name, number, event) for number, event in enumerate(fresh, first)]
        before, session.version = session.version, session.version + 1
        session.sent += fresh
        session.fresh = []
        return StoredChange(name, session.agent, before, session.version, encoded(session), now, due, events, record.since)

    def stored(self, name: SessionName, number: int) -> None:
        """Notes that the events of a session up to a number are stored."""
        session = self.live.get(name)
        if isinstance(session, LiveSession) and session.sent:
            last = session.record.events - len(session.fresh)
            session.sent = session.sent[len(session.sent) - (last - number) :] if last > number else []

    def version_of(self, name: SessionName) -> str | None:
        """Digest of the version that a session belongs to, where it is live."""
        session = self.live.get(name)
        return session.agent if isinstance(session, LiveSession) else None

    def drop(self, name: SessionName) -> None:
        """Drops a session, with its events that are not stored."""
        self.live.pop(name, None)

    def make_room(self) -> None:
        """Drops the sessions without requests for longest, if there are too many."""
        for name in list(itertools.islice(self.live, max(0, len(self.live) - self._most))):
            session = self.live[name]
            if not isinstance(session, LiveSession) or not (session.sent or session.fresh):
                del self.live[name]

    def _unstored(self, session: LiveSession, *, behind: int) -> list[Event]:
        """The events that are sent or fresh, without those up to a number."""
        unstored = [*session.sent, *session.fresh]
        first = session.record.events - len(unstored) + 1
        return unstored[max(0, behind + 1 - first) :]


class _OfAnother:
    """Stands for a session of another version of the agent."""

    def __init__(self, name: SessionName, agent: str, *, fits: bool):
        self.name, self.agent, self.fits = name, agent, fits
