"""One session as rows for people: its decisions with what came of them, and everything else that happened in it."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.rollout.envelope.reasons import guard_words
from quickstudy.serving.events import Acted, Event, Lapsed, Moved, Opened, Rewarded, RolledBack, Shadowed
from quickstudy.serving.heads import event_of, head_of
from quickstudy.serving.log import counted_numbers
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import GUARD_FALLBACK, GUARD_REASON
from quickstudy.serving.stores.store import Store
from quickstudy.serving.words import leaves_by

_LOG_PROBABILITY = ".extras['log_probability']"
_P_VALUES = ".extras['p_values']"
_MOST_EXPONENT = 700.0
_MOST_SHOWN = 8
"""Numbers of an observation or an action that a row shows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """One decision of a session.

    Args:
      number: of its event in the log, from 1.
      at: when it was made, in seconds since 1970.
      decision_id: of the decision.
      slot: within the lifetime, from 0.
      observation, action: as text.
      propensity: probability of the action, or its density for continuous actions; None where unknown.
      rewards: every reward that was sent, in the order of arrival, reward units.
      waited_seconds: from the decision to its first reward; None where none came.
      late: whether a later decision was made before its first reward came.
      lapsed: whether its window ended.
      surprise: p-values of what was observed before it, by name; small ones are surprising.
      guard: what acted and why, where the agent has an envelope.
      undone: whether a rollback undid it; then its rewards are not shown.
    """

    number: int
    at: float
    decision_id: str
    slot: int
    observation: str
    action: str
    propensity: float | None
    rewards: tuple[float, ...] = ()
    waited_seconds: float | None = None
    late: bool = False
    lapsed: bool = False
    surprise: Mapping[str, float] = dataclasses.field(default_factory=dict)
    guard: Mapping[str, str] | None = None
    undone: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherRow:
    """What else happened: the number of its event, when, its kind, and one sentence."""

    number: int
    at: float
    kind: str
    said: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionLog:
    """A session as it is shown.

    Args:
      name: of the session.
      agent: digest of its version.
      lifetime, steps, open, events: numbers of its present lifetime, of the steps in it, of decisions that wait for their
        outcome, and of events in all.
      frozen, ended: what it is now.
      decisions: oldest first.
      others: everything that is no decision, reward or end of a window; oldest first.
      surprise_below: p-value below which the envelope is surprised; None where it has no such rule.
      envelope: digest of the envelope; None where there is none.
    """

    name: SessionName
    agent: str
    lifetime: int
    steps: int
    open: int
    events: int
    frozen: bool
    ended: bool
    decisions: list[DecisionRow]
    others: list[OtherRow]
    surprise_below: float | None
    envelope: str | None


def session_log(store: Store, name: SessionName) -> SessionLog | None:
    """A session of a store as it is shown; None where there is none."""
    stored = store.load([name]).get(name)
    if stored is None:
        return None
    head = head_of(stored.state)
    described = json.loads(store.agents().get(stored.agent, "{}"))
    events = [(event.number, event_of(event)) for event in store.events(name)]
    envelope = described.get("envelope") or {}
    rule = envelope.get("rules", {}).get("surprise")
    return SessionLog(
        name=name,
        agent=stored.agent,
        lifetime=head.lifetime,
        steps=head.next,
        open=head.open,
        events=head.events,
        frozen=head.frozen,
        ended=head.ended,
        decisions=decision_rows(events, described.get("layouts", {})),
        others=other_rows(events),
        surprise_below=rule.get("enter_below") if isinstance(rule, dict) else None,
        envelope=envelope.get("digest"),
    )


def decision_rows(events: Sequence[tuple[int, Event]], layouts: Mapping[str, list]) -> list[DecisionRow]:
    """The decisions among the numbered events of a session, each with what came of it, oldest first.

    Args:
      events: the number and the event, in their order.
      layouts: of the words of observations and decisions, as `ServedAgent.described` gives them.
    """
    counting = {number for number, _ in counted_numbers(list(events))}
    rows: dict[str, DecisionRow] = {}
    undone = [
        dataclasses.replace(_row(number, event, layouts), undone=True)
        for number, event in events
        if isinstance(event, Acted) and number not in counting
    ]
    waiting: set[str] = set()
    overtaken: set[str] = set()
    for number, event in events:
        if number not in counting:
            continue
        match event:
            case Acted():
                overtaken |= waiting
                waiting.add(event.decision_id)
                rows[event.decision_id] = _row(number, event, layouts)
            case Rewarded() if event.decision_id in rows:
                row = rows[event.decision_id]
                if not row.rewards:
                    late = event.decision_id in overtaken
                    row = dataclasses.replace(row, waited_seconds=event.at - row.at, late=late)
                rows[event.decision_id] = dataclasses.replace(row, rewards=(*row.rewards, event.reward))
                waiting.discard(event.decision_id)
            case Lapsed() if event.decision_id in rows:
                rows[event.decision_id] = dataclasses.replace(rows[event.decision_id], lapsed=True)
                waiting.discard(event.decision_id)
    return sorted([*rows.values(), *undone], key=lambda row: row.number)


def other_rows(events: Sequence[tuple[int, Event]]) -> list[OtherRow]:
    """What is no decision, reward, shadow or end of a window, oldest first."""
    quiet = (Acted, Rewarded, Lapsed, Shadowed)
    return [
        OtherRow(number=number, at=event.at, kind=event.kind, said=_said(event))
        for number, event in events
        if not isinstance(event, quiet)
    ]


def _said(event: Event) -> str:
    match event:
        case Opened():
            return "The session was opened."
        case RolledBack():
            return f"The session was rolled back to its first {event.events:,} events. What followed them does not count."
        case Moved():
            how = "with an empty memory" if event.restarts else "and its record was replayed"
            return f"The session moved to version {event.agent[:12]} {how}."
    words = {
        "frozen": "The session was frozen. It acts and does not adapt.",
        "thawed": "The session was thawed. It adapts again.",
        "renewed": "A new lifetime began with an empty memory.",
        "ended": "The session was ended.",
    }
    return words[event.kind]


def _row(number: int, event: Acted, layouts: Mapping[str, list]) -> DecisionRow:
    seen = leaves_by(layouts["observation"], event.observation) if "observation" in layouts else {}
    decided = leaves_by(layouts["decision"], event.decision) if "decision" in layouts else {}
    probability = decided.get(_LOG_PROBABILITY)
    propensity = None if probability is None else math.exp(min(float(probability), _MOST_EXPONENT))
    guard = None
    if GUARD_REASON in decided:
        guard = guard_words(int(decided[GUARD_REASON]), fallback=bool(decided[GUARD_FALLBACK]))
    surprise = {
        path.removeprefix(_P_VALUES).strip("[]'"): float(leaf)
        for path, leaf in decided.items()
        if path.startswith(_P_VALUES) and leaf.size == 1 and np.isfinite(leaf).all()
    }
    return DecisionRow(
        number=number,
        at=event.at,
        decision_id=event.decision_id,
        slot=event.slot,
        observation=_text(seen),
        action=_text({path: leaf for path, leaf in decided.items() if path.startswith(".action")}),
        propensity=propensity if propensity is not None and math.isfinite(propensity) else None,
        surprise=surprise,
        guard=guard,
    )


def _text(leaves: Mapping[str, np.ndarray]) -> str:
    """Numbers of some leaves in short."""
    numbers: list[Any] = [x for leaf in leaves.values() for x in np.ravel(leaf).tolist()]
    shown = ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in numbers[:_MOST_SHOWN])
    return shown + (f", … ({len(numbers)} numbers)" if len(numbers) > _MOST_SHOWN else "")
