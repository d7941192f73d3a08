"""A session's recorded lifetime, and the rules by which events change it. No memory is computed here, and nothing is refused.

    slot       0          1          2          3          4
    decision   a0         a1         a2         a3         (next)
    outcome    final      final      open       final
               |<-- settled ------>|

A step without a known outcome is a slot that is not `valid`, which by law changes no memory. A step is *final* when nothing can
change it any more. Slots before the first step that is not final are settled: their steps may be forgotten once their memory is
stored.
"""

import copy
import dataclasses
import hashlib
import itertools
import struct
from typing import NamedTuple

import numpy as np

from quickstudy.protocol.records import Spec
from quickstudy.rollout.session import end_of_episode, next_slot
from quickstudy.serving.events import (
    Acted,
    Ended,
    Event,
    Frozen,
    Lapsed,
    Moved,
    Opened,
    Renewed,
    Rewarded,
    RolledBack,
    Shadowed,
    Thawed,
)
from quickstudy.serving.log import counted_numbers
from quickstudy.serving.policy import SessionPolicy

_FLAGS = struct.Struct("=f4I")


class Message(NamedTuple):
    """What one reward said."""

    reward: float
    successor: bytes
    terminated: bool
    truncated: bool


@dataclasses.dataclass(slots=True)
class Step:
    """One decision and what is known of its outcome.

    `messages`: by `reward_id`, in the order of arrival. `reward`: what they make; None while the outcome is unknown.
    `final`: nothing can change it any more. `reason`: why an outcome is not taken in any more. `number`: of the event that made
    it, 0 where that is not known. `frozen`: whether the session was frozen then.
    """

    slot: int
    decision_id: str
    observation: bytes
    decision: bytes
    due: float | None
    messages: dict[str, Message] = dataclasses.field(default_factory=dict)
    reward: float | None = None
    successor: bytes = b""
    terminated: bool = False
    truncated: bool = False
    final: bool = False
    reason: str | None = None
    number: int = 0
    frozen: bool = False

    @property
    def valid(self) -> bool:
        """Whether its outcome is known."""
        return self.reward is not None

    @property
    def ends(self) -> bool:
        """Whether it is known to be the last step of its episode."""
        return self.valid and (self.terminated or self.truncated)


class Record:
    """The recorded lifetime of one session.

    Args:
      spec: of the agent.
      cadence: of the agent.
      policy: of the session; the event that opens it brings its own, which it keeps for ever.
    """

    def __init__(self, spec: Spec, *, cadence: int, policy: SessionPolicy):
        self.horizon, self.lifetime_steps, self.cadence, self.policy = spec.horizon, spec.lifetime_steps, cadence, policy
        self.stream, self.lifetime, self.branch, self.events = "", 0, 0, 0
        self.next, self.first, self.open = 0, 0, 0
        self.frozen, self.ended = False, False
        self.goes_on = False  # whether the last decision is known not to have ended its episode
        self.steps: dict[int, Step] = {}
        self.by_id: dict[str, Step] = {}
        self.revisions: dict[int, int] = {}

    def apply(self, event: Event) -> None:
        """Takes an event in that was judged before (`judgement.py`)."""
        self.events += 1
        match event:
            case Opened():
                self.stream, self.policy = event.stream, event.policy
            case Acted():
                self._acted(event)
            case Rewarded():
                self._rewarded(event)
            case Lapsed():
                self._lapsed(event)
            case Moved(restarts=False) | Shadowed():
                pass
            case Renewed() | Moved():
                self.lifetime, self.next, self.first, self.open = self.lifetime + 1, 0, 0, 0
                self.steps, self.by_id, self.revisions, self.goes_on = {}, {}, {}, False
            case Frozen() | Thawed():
                self.frozen = isinstance(event, Frozen)
            case Ended():
                self.ended = True
            case RolledBack():
                raise TypeError("a rollback needs the whole log: see `recorded`.")

    @property
    def over(self) -> bool:
        """Whether the next decision begins a new lifetime."""
        return self.next >= self.lifetime_steps and self.policy.at_end == "new" and not self.ended

    def decision_id(self, slot: int, observation: bytes, decision: bytes) -> str:
        """The id of a decision: it differs wherever the decision does, so a reward cannot reach another decision."""
        digest = hashlib.blake2b(observation + decision, digest_size=6).hexdigest()
        return f"{self.lifetime}.{self.branch}.{slot}.{digest}"

    def due(self, now: float) -> list[Lapsed]:
        """Events of the decisions whose window has ended."""
        if self.policy.window_seconds is None:
            return []
        default = self.policy.default_reward
        return [
            Lapsed(at=now, decision_id=step.decision_id, reward=None if step.valid else default)
            for step in self.steps.values()
            if step.due is not None and not step.final and now >= step.due
        ]

    def settled(self) -> int:
        """The first slot, a multiple of the cadence, before which nothing can change."""
        # Steps lie in the order of their slots.
        first = next((step.slot for step in self.steps.values() if not step.final), self.next)
        return min(self.next, first) // self.cadence * self.cadence

    def forget(self, slot: int) -> None:
        """Drops the steps before a slot that is settled."""
        for step in list(itertools.takewhile(lambda step: step.slot < slot, self.steps.values())):
            del self.steps[step.slot]
            del self.by_id[step.decision_id]
        self.revisions = {chunk: revision for chunk, revision in self.revisions.items() if chunk * self.cadence >= slot}
        self.first = slot

    @property
    def since(self) -> int | None:
        """How many first events no step here needs; None where there are no steps."""
        first = next(iter(self.steps.values()), None)
        return None if first is None else max(0, first.number - 1)

    def recall(self, log: list[tuple[int, Event]], *, frozen: bool) -> None:
        """Makes the steps again that are not forgotten.

        Args:
          log: numbers and events of the session, those after the first `since` ones.
          frozen: whether the session was frozen when the first of these steps was made.
        """
        again = copy.copy(self)
        again.frozen, again.next, again.open, again.steps, again.by_id, again.revisions = frozen, 0, 0, {}, {}, {}
        if log and isinstance(log[0][1], Acted):
            again.next = log[0][1].slot
        for number, event in counted_numbers(log):
            if not isinstance(event, Rewarded | Lapsed) or event.decision_id in again.by_id:  # others are forgotten
                again.events = number - 1
                again.apply(event)
        again.forget(self.first)
        self.open, self.steps, self.by_id, self.revisions = again.open, again.steps, again.by_id, again.revisions

    def chunks(self) -> list[tuple[int, int]]:
        """Number and revision of every complete chunk with a valid step, in order, from the first slot on."""
        return [one for one in sorted(self.revisions.items()) if (one[0] + 1) * self.cadence <= self.next]

    def chunk(self, number: int) -> np.ndarray:
        """The steps of a chunk as words `[cadence, step words]`.

        Slots that did not happen repeat a neighbour, not valid: agents compute with what stands there before they mask it.
        """
        slots = range(number * self.cadence, (number + 1) * self.cadence)
        steps = [step if (step := self.steps.get(slot)) is not None and step.valid else None for slot in slots]
        present, rows = next(step for step in steps if step is not None), []
        for slot, step in zip(slots, steps, strict=True):
            present = step or present
            rows.append(self._words(present, slot, happened=step is not None))
        return np.frombuffer(b"".join(rows), np.uint32).reshape(self.cadence, -1)

    def _words(self, step: Step, slot: int, *, happened: bool) -> bytes:
        terminated, truncated = end_of_episode(slot, np.bool_(step.terminated), np.bool_(step.truncated), horizon=self.horizon)
        reward = np.float32(step.reward if happened else 0)
        ends = bool(happened and terminated), bool(happened and truncated)
        flags = _FLAGS.pack(reward, *ends, slot // self.horizon, happened)
        return step.observation + step.decision + step.successor + flags

    def _acted(self, event: Acted) -> None:
        step = Step(event.slot, event.decision_id, event.observation, event.decision, event.due)
        step.number, step.frozen = self.events, self.frozen
        if event.slot > self.next and (last := self.steps.get(self.next - 1)) is not None:
            last.truncated = True  # the client has said that another episode began
        self.steps[event.slot] = self.by_id[event.decision_id] = step
        self.next, self.goes_on = event.slot + 1, False
        self.open += 1

    def _rewarded(self, event: Rewarded) -> None:
        step = self.by_id[event.decision_id]
        step.messages[event.reward_id] = Message(event.reward, event.successor, event.terminated, event.truncated)
        if self.frozen:
            self._finish(step, "frozen")
            return
        step.reward = self.policy.joined([message.reward for message in step.messages.values()])
        step.successor = event.successor
        step.terminated = step.terminated or event.terminated
        step.truncated = (step.truncated or event.truncated) and not step.terminated
        if not self.policy.counts_many:
            self._finish(step, None)
        self._known(step)

    def _lapsed(self, event: Lapsed) -> None:
        step = self.by_id[event.decision_id]
        self._finish(step, "window")
        if event.reward is not None and not self.frozen:
            step.reward, step.successor = event.reward, step.observation
            self._known(step)

    def _finish(self, step: Step, reason: str | None) -> None:
        self.open -= not step.final
        step.final, step.reason = True, reason

    def _known(self, step: Step) -> None:
        chunk = step.slot // self.cadence
        self.revisions[chunk] = self.revisions.get(chunk, 0) + 1
        if step.slot == self.next - 1:
            self.goes_on = not step.ends
            self.next = next_slot(step.slot, step.ends, horizon=self.horizon)


def recorded(log: list[Event], spec: Spec, *, cadence: int, policy: SessionPolicy) -> Record:
    """The record that a whole log makes, with every step in it."""
    record = Record(spec, cadence=cadence, policy=policy)
    for number, event in enumerate(log):
        if isinstance(event, RolledBack):
            branch = record.branch
            record = recorded(log[: event.events], spec, cadence=cadence, policy=policy)
            record.branch, record.events = branch + 1, number + 1
        else:
            record.apply(event)
    return record
