"""The audit of a store: what was decided and why, and whether the log is complete.

`verify` recomputes the chain of every shard and the commitment of every event that was not deleted. It also compares the events
of each session with the number in its state. The end of a chain can only be checked against last links that were kept
elsewhere: `heads` returns them, and `verify` takes them.
"""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.reasons import guard_words
from quickstudy.serving.chain import DIGEST_BYTES, ChainLink, commitment, genesis_value, link_value, payload_of
from quickstudy.serving.events import Acted, Event, Shadowed
from quickstudy.serving.heads import event_of, events_in
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import GUARD_FALLBACK, GUARD_REASON
from quickstudy.serving.stores.store import Store, StoredEvent
from quickstudy.serving.words import leaves_by


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """What was checked, and what is wrong.

    Args:
      shards, links, events: how many there are.
      deleted: commitments whose events were deleted with their session.
      wrong: one sentence for each fault; empty if the log is complete.
    """

    shards: int
    links: int
    events: int
    deleted: int
    wrong: list[str]


def heads(store: Store) -> dict[str, str]:
    """The last link of every shard as `SEQ:VALUE`, to be kept elsewhere."""
    return {shard: f"{link.seq}:{link.value.hex()}" for shard, link in sorted(store.heads().items())}


def verify(store: Store, *, kept: Mapping[str, str] | None = None) -> Verified:
    """Checks everything.

    Args:
      store: to check.
      kept: last links that `heads` returned before.
    """
    shards = store.shards()
    chains = {shard: store.links(shard) for shard in shards}
    wrong = [said for shard, others in shards.items() for said in _wrong_links(shard, others, chains)]
    for shard, text in (kept or {}).items():
        seq, _, value = text.partition(":")
        found = {str(link.seq): link.value.hex() for link in chains.get(shard, [])}
        if found.get(seq) != value:
            wrong.append(f"shard {shard}: link {seq} is not the one that was kept elsewhere")
    committed = {(shard, link.seq): link.commitments for shard, links in chains.items() for link in links}
    numbers: dict[SessionName, list[int]] = defaultdict(list)
    count, places = 0, Counter[tuple[str, int, int]]()
    for event in store.all_events():
        count += 1
        numbers[event.name].append(event.number)
        places[event.shard, event.seq, event.place] += 1
        if _commitment_in(committed.get((event.shard, event.seq), b""), event) is False:
            wrong.append(f"{_named(event)} is not what was committed to")
    wrong += [
        f"link {seq} of shard {shard}: place {place} holds several events" for (shard, seq, place), n in places.items() if n > 1
    ]
    wrong += _wrong_sessions(store, numbers)
    commitments = sum(len(one) // DIGEST_BYTES for one in committed.values())
    links = sum(map(len, chains.values()))
    return Verified(shards=len(shards), links=links, events=count, deleted=commitments - len(places), wrong=wrong)


def decision_report(store: Store, name: SessionName, decision_id: str) -> dict[str, Any]:
    """Everything about one decision, as plain data: its observation, action, rewards, and place in the chain.

    Raises:
      UsageError: there is no such decision.
    """
    events = store.events(name, decision_id=decision_id)
    if not events:
        raise UsageError(f"session {name.session!r} of tenant {name.tenant!r} has no decision {decision_id!r}.")
    (session,) = store.load([name]).values()
    described = json.loads(store.agents().get(session.agent, "{}"))
    return {
        "tenant": name.tenant,
        "session": name.session,
        "agent": session.agent,
        "spec": described.get("spec"),
        "envelope": described.get("envelope"),
        "events": [_told(event, described.get("layouts", {})) for event in events],
    }


def exported(store: Store) -> Iterator[dict[str, Any]]:
    """Every link, and every event that was not deleted, as plain data."""
    for shard, others in sorted(store.shards().items()):
        yield {"shard": shard, "others": {name: value.hex() for name, value in others.items()}}
        for link in store.links(shard):
            yield {"shard": shard, "seq": link.seq, "commitments": link.commitments.hex(), "value": link.value.hex()}
    for event in store.all_events():
        yield {"tenant": event.name.tenant, "session": event.name.session, "body": event.body.hex()} | _told(event, {})


def _told(event: StoredEvent, layouts: Mapping[str, list]) -> dict[str, Any]:
    told: dict[str, Any] = {"number": event.number, "kind": event.kind}
    told |= _plain(event_of(event), layouts)
    payload = payload_of(*event.name, event.number, event.kind, event.body)
    told["chain"] = {
        "shard": event.shard,
        "link": event.seq,
        "place": event.place,
        "salt": event.salt.hex(),
        "commitment": commitment(event.salt, payload).hex(),
    }
    return told


def _plain(event: Event, layouts: Mapping[str, list]) -> dict[str, Any]:
    """The fields of an event; words as numbers by the path of their leaf where their layout is known."""
    fields = msgspec.to_builtins(event)
    if isinstance(event, Acted | Shadowed) and "decision" in layouts:
        for field in ("observation", "decision") if isinstance(event, Acted) else ("decision",):
            leaves = leaves_by(layouts[field], getattr(event, field))
            fields[field] = {path.lstrip(".") or "value": leaf.tolist() for path, leaf in leaves.items()}
            if GUARD_REASON in leaves:
                fallback = bool(leaves[GUARD_FALLBACK])
                fields["guard"] = guard_words(int(leaves[GUARD_REASON]), fallback=fallback)
    return fields


def _wrong_links(shard: str, others: Mapping[str, bytes], chains: Mapping[str, list[ChainLink]]) -> Iterator[str]:
    for other, value in others.items():
        if value not in {link.value for link in chains.get(other, [])}:
            yield f"shard {shard} began from a link of shard {other} that is not there"
    before = genesis_value(shard, others)
    for number, link in enumerate(chains[shard], 1):
        if link.seq != number or link.value != link_value(before, shard, number, link.commitments):
            yield f"shard {shard}: link {link.seq} does not follow from the one before it"
            return
        before = link.value


def _commitment_in(commitments: bytes, event: StoredEvent) -> bool:
    payload = payload_of(*event.name, event.number, event.kind, event.body)
    place = event.place * DIGEST_BYTES
    return commitments[place : place + DIGEST_BYTES] == commitment(event.salt, payload)


def _wrong_sessions(store: Store, numbers: Mapping[SessionName, list[int]]) -> Iterator[str]:
    names = list(numbers)
    for start in range(0, len(names), 1000):
        found = store.load(names[start : start + 1000])
        for name in names[start : start + 1000]:
            known = events_in(found[name].state) if name in found else 0
            if sorted(numbers[name]) != list(range(1, known + 1)):
                yield f"session {name.session!r} of tenant {name.tenant!r} has {len(numbers[name])} of its {known} events"


def _named(event: StoredEvent) -> str:
    return f"event {event.number} of session {event.name.session!r} of tenant {event.name.tenant!r}"
