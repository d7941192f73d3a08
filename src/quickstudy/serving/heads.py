"""Sessions and events as bytes: what stores hold."""

import functools

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
    """A session's record and memories. Its steps are not in it, because they can be many: its events tell them.

    `steps`, `revisions` and `folded` are empty but in heads of format 1, which hold the steps. `working` is empty where it
    equals `settled`. `shadow`: digest of the agent that shadows it, its key, and its memories. `chunks`: how many chunks behind
    the settled slots are in `working`. `frozen_first`: whether the session was frozen when its first step was made. `open`: how
    many decisions may still be rewarded.
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
    chunks: int = 0
    frozen_first: bool = False
    open: int = 0


_SCALARS = ("policy", "stream", "lifetime", "branch", "events", "next", "first", "frozen", "ended", "goes_on")
_encoder = msgspec.msgpack.Encoder()
_heads = msgspec.msgpack.Decoder(Head)
_events: dict[str, msgspec.msgpack.Decoder[Event]] = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in KINDS.items()}


def encoded(session: LiveSession) -> bytes:
    """A session as bytes."""
    record, memories, shadow = session.record, session.memories, session.shadow
    settled, working = memories.settled.tobytes(), memories.working.tobytes()
    first = next(iter(record.steps.values()), None)
    return _encoder.encode(
        (
            _policy_bytes(record.policy),
            *(record.stream, record.lifetime, record.branch, record.events, record.next, record.first),
            *(record.frozen, record.ended, record.goes_on, (), {}, ()),
            *(settled, b"" if working == settled else working),
            None if shadow is None else (shadow.agent, *_words_of(shadow.memories)),
            len(memories.folded),
            *(first is not None and first.frozen, record.open),
        )
    )


@functools.lru_cache(maxsize=64)
def _policy_bytes(policy: SessionPolicy) -> msgspec.Raw:
    """Most sessions of a server have the same rules."""
    return msgspec.Raw(_encoder.encode(policy))


def restored(stored: StoredSession, served: ServedAgent) -> LiveSession:
    """The session from its bytes and its last events."""
    head, record = head_of(stored.state), served.record()
    for name in _SCALARS:
        setattr(record, name, getattr(head, name))
    record.steps = {step.slot: step for step in head.steps}
    record.by_id = {step.decision_id: step for step in head.steps}
    record.revisions, record.open = head.revisions, head.open
    if stored.since is not None:
        # Another server may have written later ones between the reads of the state and of the events.
        log = [(event.number, event_of(event)) for event in stored.events if event.number <= head.events]
        record.recall(log, frozen=head.frozen_first)
    folded = [*head.folded, *record.chunks()[: head.chunks]]
    settled = np.frombuffer(head.settled, np.uint32)
    working = np.frombuffer(head.working, np.uint32) if head.working else settled
    memories = Memories(served.key(record), settled, working, folded)
    session = LiveSession(stored.name, record, memories, served.digest, version=stored.version)
    if head.shadow is not None:
        agent, *words = head.shadow
        key, settled, working = (np.frombuffer(part, np.uint32) for part in words)
        session.shadow = Shadow(agent, Memories(key, settled, working, list(folded)))
    return session


def _words_of(memories: Memories) -> tuple[bytes, bytes, bytes]:
    return memories.key.tobytes(), memories.settled.tobytes(), memories.working.tobytes()


def stored_event(name: SessionName, number: int, event: Event) -> StoredEvent:
    """An event as it goes to a store."""
    return StoredEvent(name, number, event.kind, getattr(event, "decision_id", None), _encoder.encode(event))


def event_of(stored: StoredEvent) -> Event:
    """The event from its bytes."""
    return _events[stored.kind].decode(stored.body)


def head_of(state: bytes) -> Head:
    """The record and the memories of a stored session."""
    head = _heads.decode(state)
    if head.steps:  # of format 1
        head.open = sum(not step.final for step in head.steps)
    return head


def events_in(state: bytes) -> int:
    """How many events a stored session knows of."""
    return _heads.decode(state).events
