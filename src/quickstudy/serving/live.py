"""Live sessions, and the shelf that keeps them."""

import dataclasses
from typing import Any, Protocol

from quickstudy.serving.events import Event
from quickstudy.serving.log import counted
from quickstudy.serving.memory import Shadow
from quickstudy.serving.record import Record
from quickstudy.serving.requests import SessionName


@dataclasses.dataclass(slots=True)
class LiveSession:
    """A session in this process: its record, its memories, and the events that are not stored yet.

    `agent` is the digest of its version. `memories` are None where a lifetime has begun whose first memory is not computed yet,
    and never between requests. `shadow` is None where no agent shadows this one, or the shadow's memory is to be made. `fresh`
    are events that were not given to a store, `sent` those that were and may not be stored yet.
    """

    name: SessionName
    record: Record
    memories: Any
    agent: str
    shadow: Shadow | None = None
    fresh: list[Event] = dataclasses.field(default_factory=list)
    sent: list[Event] = dataclasses.field(default_factory=list)
    version: int = 0

    def take(self, event: Event) -> None:
        """Applies an event and keeps it for the store."""
        self.record.apply(event)
        self.fresh.append(event)


class Shelf(Protocol):
    """Where live sessions are, and where old events are found."""

    def get(self, name: SessionName) -> LiveSession | None:
        """The session, or None where there is none."""

    def put(self, session: LiveSession) -> None:
        """Keeps a session that was opened, in place of an older one of the name."""

    def log(self, session: LiveSession) -> list[Event]:
        """All its events, those that are not stored yet included."""

    def find(self, session: LiveSession, decision_id: str) -> list[Event]:
        """The events that name a decision, among those of its log that count."""


class Memory:
    """A shelf in this process, for programs that need no server, and for tests."""

    def __init__(self) -> None:
        self.sessions: dict[SessionName, LiveSession] = {}

    def get(self, name: SessionName) -> LiveSession | None:
        """The session, or None."""
        return self.sessions.get(name)

    def put(self, session: LiveSession) -> None:
        """Keeps a session."""
        self.sessions[session.name] = session

    def log(self, session: LiveSession) -> list[Event]:
        """All events: none is ever stored elsewhere."""
        return list(session.fresh)

    def find(self, session: LiveSession, decision_id: str) -> list[Event]:
        """The events that name a decision."""
        return [event for event in counted(session.fresh) if getattr(event, "decision_id", None) == decision_id]

    def delete(self, name: SessionName) -> None:
        """Forgets a session."""
        self.sessions.pop(name, None)
