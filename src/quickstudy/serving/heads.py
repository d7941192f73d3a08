"""Sessions and events as bytes: what stores hold."""

import msgspec
import numpy as np

from quickstudy.serving.events import KINDS, Event
from quickstudy.serving.live import LiveSession
from quickstudy.serving.memory import Memories, Shadow
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import Step
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores.store import StoredEvent, StoredSession


class Head(msgspec.Struct, array_like=True):
    """A session's record and memories. `working` is empty where it equals `settled`.

    `shadow`: digest of the agent that shadows it, its key, and its memories; None in heads of earlier versions, too.
    """

    policy: SessionPolicy
    stream: str
    lifetime: int
    branch: int
    events: int
    next: int
    first: int
    frozen: bool
    ended: bool
    goes_on: bool
    steps: list[Step]
    revisions: dict[int, int]
    folded: list[tuple[int, int]]
    settled: bytes
    working: bytes
    shadow: tuple[str, bytes, bytes, bytes] | None = None


_SCALARS = ("policy", "stream", "lifetime", "branch", "events", "next", "first", "frozen", "ended", "goes_on")
_encoder = msgspec.msgpack.Encoder()
_heads = msgspec.msgpack.Decoder(Head)
_events: dict[str, msgspec.msgpack.Decoder[Event]] = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in KINDS.items()}


def encoded(session: LiveSession) -> bytes:
    """A session as bytes."""
    record, memories, shadow = session.record, session.memories, session.shadow
    settled, working = memories.settled.tobytes(), memories.working.tobytes()
    head = Head(
        **{name: getattr(record, name) for name in _SCALARS},
        steps=list(record.steps.values()),
        revisions=record.revisions,
        folded=memories.folded,
        settled=settled,
        working=b"" if working == settled else working,
        shadow=None if shadow is None else (shadow.agent, *_words_of(shadow.memories)),
    )
    return _encoder.encode(head)


def restored(stored: StoredSession, served: ServedAgent) -> LiveSession:
    """The session from its bytes."""
    head, record = _heads.decode(stored.state), served.record()
    for name in _SCALARS:
        setattr(record, name, getattr(head, name))
    record.steps = {step.slot: step for step in head.steps}
    record.by_id = {step.decision_id: step for step in head.steps}
    record.revisions = head.revisions
    settled = np.frombuffer(head.settled, np.uint32)
    working = np.frombuffer(head.working, np.uint32) if head.working else settled
    memories = Memories(served.key(record), settled, working, list(head.folded))
    session = LiveSession(stored.name, record, memories, served.digest, version=stored.version)
    if head.shadow is not None:
        agent, *words = head.shadow
        key, settled, working = (np.frombuffer(part, np.uint32) for part in words)
        session.shadow = Shadow(agent, Memories(key, settled, working, list(head.folded)))
    return session


def _words_of(memories: Memories) -> tuple[bytes, bytes, bytes]:
    return memories.key.tobytes(), memories.settled.tobytes(), memories.working.tobytes()


def stored_event(name: SessionName, number: int, event: Event) -> StoredEvent:
    """An event as it goes to a store."""
    body = _encoder.encode(event)
    return StoredEvent(name=name, number=number, kind=event.kind, decision_id=getattr(event, "decision_id", None), body=body)


def event_of(stored: StoredEvent) -> Event:
    """The event from its bytes."""
    return _events[stored.kind].decode(stored.body)


def head_of(state: bytes) -> Head:
    """The record and the memories of a stored session."""
    return _heads.decode(state)


def events_in(state: bytes) -> int:
    """How many events a stored session knows of."""
    return _heads.decode(state).events
