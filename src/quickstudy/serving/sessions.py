"""Sessions of a served agent: requests in, events and answers out, many at once.

`Sessions` is the meaning of the server, without sockets and without a disk. It works on a `Shelf`, which holds the live
sessions and finds old events; the one here keeps everything in this process.

Requests are done in waves: a wave holds the first request of each session. All memories of a wave are brought up to date in one
call of a compiled program, and all its decisions are made in another.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quickstudy.serving.events import Acted, Ended, Event, Frozen, Opened, Renewed, Rewarded, RolledBack, Shadowed, Thawed
from quickstudy.serving.judgement import effect_of_reward, slot_of_next
from quickstudy.serving.live import LiveSession, Memory, Shelf
from quickstudy.serving.log import checked_events
from quickstudy.serving.memory import Memories, begun, bring_up_to_date, rows_of
from quickstudy.serving.programs import AgentPrograms
from quickstudy.serving.record import Record, recorded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Change, Open, Request, Reward, Rollback, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.settled import Settled, answer_to
from quickstudy.serving.shadows import Shadowing

_CHANGES: dict[str, type[Ended] | type[Frozen] | type[Thawed]] = {"end": Ended, "freeze": Frozen, "thaw": Thawed}


class Sessions:
    """Sessions of one agent.

    Args:
      served: the agent and its policy.
      shelf: where sessions are kept; in this process where not given.
      clock: gives the time in seconds since 1970; windows go by it.
      opens: whether a decision in a session that does not exist opens it.
      shadow: another version, which is fed the same steps; what it would have decided is logged.
    Example:
      >>> sessions = Sessions(served)
      >>> sessions.open("customer-1")
      >>> decision = sessions.act("customer-1", 0)
      >>> sessions.reward("customer-1", decision["decision_id"], 1.0)["applied"]
      True
    """

    def __init__(
        self,
        served: ServedAgent,
        *,
        shelf: Shelf | None = None,
        clock: Callable[[], float] = time.time,
        opens: bool = False,
        shadow: ServedAgent | None = None,
    ):
        self.served, self.shelf, self.clock, self.opens = served, Memory() if shelf is None else shelf, clock, opens
        self._shadow = None if shadow is None else Shadowing(shadow, served, self.shelf)

    def open(self, session: str, *, tenant: str = "", log: Sequence[Event] = ()) -> dict[str, Any]:
        """Begins a session, or repeats a log in a new one."""
        return self.ask(Open(name=SessionName(tenant, session), log=tuple(log)))

    def act(self, session: str, observation: Any, *, tenant: str = "", **more: Any) -> dict[str, Any]:
        """A decision; `more` as in `Act`."""
        return self.ask(Act(name=SessionName(tenant, session), observation=observation, **more))

    def reward(self, session: str, decision_id: str, reward: float, *, tenant: str = "", **more: Any) -> dict[str, Any]:
        """Says what followed a decision; `more` as in `Reward`."""
        return self.ask(Reward(name=SessionName(tenant, session), decision_id=decision_id, reward=reward, **more))

    def ask(self, request: Request) -> dict[str, Any]:
        """The answer to one request.

        Raises:
          Refusal: the request is refused; nothing was changed.
        """
        (answer,) = self.process([request])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def process(self, requests: Sequence[Request]) -> list[dict[str, Any] | Refusal]:
        """The answers to requests, in their order. Requests of one session are done one after another."""
        now, answers = self.clock(), dict[int, Any]()
        waiting = list(enumerate(requests))
        while waiting:
            wave: list[tuple[int, Request]] = []
            later: list[tuple[int, Request]] = []
            taken: set[SessionName] = set()
            for number, request in waiting:
                (later if request.name in taken else wave).append((number, request))
                taken.add(request.name)
            answers |= self._wave(wave, now)
            waiting = later
        return [answers[number] for number in range(len(requests))]

    def _wave(self, wave: list[tuple[int, Request]], now: float) -> dict[int, Any]:
        answers: dict[int, Any] = {}
        acting: list[tuple[int, LiveSession, Act, int, bytes]] = []
        touched: dict[SessionName, LiveSession] = {}
        for number, request in wave:
            try:
                found = self.shelf.get(request.name)
                if found is not None:
                    touched[found.name] = found  # it may have no memory yet, and gets one whatever the answer is
                session = self._session(found, request, now)
                touched[session.name] = session
                if isinstance(request, Act):
                    prepared = self._prepared(session, request, now)
                    if isinstance(prepared, dict):
                        answers[number] = prepared
                    else:
                        acting.append((number, session, request, *prepared))
                else:
                    answers[number] = self._changed(session, request, now)
            except Refusal as refusal:
                answers[number] = refusal
        self._begin([session for session in touched.values() if session.memories is None])
        self._bring_up_to_date(list(touched.values()))
        for one, decision, other in zip(acting, *self._decided(acting), strict=True):
            number, session, request, slot, observation = one
            answers[number] = self._acted(session, request, slot, observation, decision, now)
            if self._shadow is not None:
                decision_id = answers[number]["decision_id"]
                session.take(Shadowed(at=now, decision_id=decision_id, agent=self._shadow.served.digest, decision=other))
        return answers

    def _session(self, session: LiveSession | None, request: Request, now: float) -> LiveSession:
        """The session of a request, opened where there is none, with the windows that have ended by now."""
        if isinstance(request, Open):
            if session is not None:
                raise Refusal("conflict", "there is a session of this name already.", field="session", hint="Use another name.")
            return self._opened(request, now)
        if session is None and self.opens and isinstance(request, Act):
            self.served.observation(request.observation)  # a request that is refused opens nothing
            return self._opened(Open(name=request.name), now)
        if session is None:
            raise Refusal("unknown_session", "there is no such session.", field="session", hint="Open it first.")
        if not session.record.ended:
            for lapsed in session.record.due(now):
                session.take(lapsed)
        return session

    def _opened(self, request: Open, now: float) -> LiveSession:
        log = list(request.log) or [Opened(at=now, stream="\0".join(request.name), policy=self.served.policy)]
        record = self._recorded(log)
        session = LiveSession(request.name, record, None, self.served.digest, fresh=log)
        self.shelf.put(session)
        return session

    def _begin(self, sessions: list[LiveSession]) -> None:
        """Gives sessions the memories of the start of their lifetime."""
        keys = [self.served.key(session.record) for session in sessions]
        for session, memories in zip(sessions, begun(self.served.programs, keys), strict=True):
            session.memories = memories
        if self._shadow is not None:
            self._shadow.begin(sessions)

    def _bring_up_to_date(self, sessions: list[LiveSession]) -> None:
        pairs = [(session.record, session.memories) for session in sessions]
        if self._shadow is None:
            for session in sessions:
                session.shadow = None  # it would fall behind
            bring_up_to_date(self.served.programs, pairs)
        else:
            beside = self._shadow.served.programs, self._shadow.memories(sessions)
            bring_up_to_date(self.served.programs, pairs, shadow=beside)

    def _recorded(self, log: list[Event]) -> Record:
        return recorded(log, self.served.spec, cadence=self.served.agent.cadence, policy=self.served.policy)

    def _changed(self, session: LiveSession, request: Request, now: float) -> dict[str, Any]:
        match request:
            case Reward():
                return self._rewarded(session, request, now)
            case Change():
                if session.record.ended:
                    raise Refusal("conflict", "the session has ended.", hint="Open another session.")
                session.take(_CHANGES[request.to](at=now))
            case Rollback():
                self._rolled_back(session, request, now)
        return self._state(session)

    def _rolled_back(self, session: LiveSession, request: Rollback, now: float) -> None:
        log = self.shelf.log(session)
        event = RolledBack(at=now, events=checked_events(request.events, log))
        session.fresh.append(event)
        session.record, session.memories = self._recorded([*log, event]), None

    def _state(self, session: LiveSession) -> dict[str, Any]:
        record = session.record
        return {
            "session": session.name.session,
            "agent": self.served.digest,
            "lifetime": record.lifetime,
            "steps": record.next,
            "lifetime_steps": record.lifetime_steps,
            "open": record.open,
            "events": record.events,
            "frozen": record.frozen,
            "ended": record.ended,
        }

    def _prepared(self, session: LiveSession, request: Act, now: float) -> tuple[int, bytes] | dict[str, Any]:
        """Slot and observation words of a decision to make, or the answer that was given to this request before."""
        observation = self.served.observation(request.observation)
        if request.decision_id is not None:
            found = self._find(session, request.decision_id)
            if found is not None:
                if found.acted.observation != observation:
                    raise Refusal(
                        "conflict",
                        f"decision {request.decision_id!r} was made on another observation.",
                        field="decision_id",
                        hint="Use an id of its own for every decision.",
                    )
                return self._answer(session, found.acted.decision_id, found.acted.slot, found.acted.decision)
        if session.record.over:
            session.take(Renewed(at=now))
            session.memories = None
        return slot_of_next(session.record, new_episode=request.new_episode), observation

    def _decided(self, acting: list[tuple[int, LiveSession, Act, int, bytes]]) -> tuple[list[bytes], list[bytes]]:
        """What is decided, and what the shadow would have decided."""
        if not acting:
            return [], []
        sessions = [session for _, session, *_ in acting]
        seen = np.frombuffer(b"".join([one[-1] for one in acting]), np.uint32).reshape(len(acting), -1)
        slots = np.array([slot for *_, slot, _ in acting], np.int32)

        def decided(programs: AgentPrograms, memories: list[Memories]) -> list[bytes]:
            working, keys = rows_of([one.working for one in memories]), rows_of([one.key for one in memories])
            decisions = programs.act(working, seen, keys, slots)
            words, size = decisions.tobytes(), 4 * decisions.shape[1]
            return [words[start : start + size] for start in range(0, len(words), size)]

        made = decided(self.served.programs, [session.memories for session in sessions])
        if self._shadow is None:
            return made, [b""] * len(made)
        return made, decided(self._shadow.served.programs, self._shadow.memories(sessions))

    def _acted(
        self, session: LiveSession, request: Act, slot: int, observation: bytes, decision: bytes, now: float
    ) -> dict[str, Any]:
        window = session.record.policy.window_seconds
        decision_id = request.decision_id or session.record.decision_id(slot, observation, decision)
        session.take(
            Acted(
                at=now,
                slot=slot,
                decision_id=decision_id,
                observation=observation,
                decision=decision,
                due=None if window is None else now + window,
            )
        )
        return self._answer(session, decision_id, slot, decision)

    def _answer(self, session: LiveSession, decision_id: str, slot: int, decision: bytes) -> dict[str, Any]:
        answer = {"session": session.name.session, "decision_id": decision_id, "slot": slot}
        answer |= self.served.shown(decision)
        answer["agent"] = self.served.digest
        return answer

    def _rewarded(self, session: LiveSession, request: Reward, now: float) -> dict[str, Any]:
        reward, record = self.served.checked_reward(request.reward), session.record
        found = self._find(session, request.decision_id)
        if found is None:
            raise Refusal(
                "unknown_decision",
                f"this session has made no decision {request.decision_id!r}.",
                field="decision_id",
                hint="Send the decision_id of an answer to act, to the session that gave it. A reward follows its decision.",
            )
        slot, seen = found.acted.slot, found.acted.observation
        ends = request.terminated or request.truncated
        event = Rewarded(
            at=now,
            decision_id=request.decision_id,
            reward=reward,
            reward_id=request.reward_id,
            successor=self.served.successor(request.observation, ends=ends, slot=slot, observation=seen),
            terminated=request.terminated,
            truncated=request.truncated and not request.terminated,
        )
        step = record.by_id.get(request.decision_id)
        effect = effect_of_reward(record, step, event) if step is not None else answer_to(found, event, record.policy)
        if effect in ("applied", "frozen"):
            session.take(event)
        applied = effect in ("applied", "repeated")
        return {"decision_id": request.decision_id, "applied": applied, "reason": None if effect == "applied" else effect}

    def _find(self, session: LiveSession, decision_id: str) -> Settled | None:
        """What is known of a decision, also where its step was settled and forgotten."""
        step = session.record.by_id.get(decision_id)
        if step is not None:
            acted = Acted(
                at=0.0,
                slot=step.slot,
                decision_id=decision_id,
                observation=step.observation,
                decision=step.decision,
                due=step.due,
            )
            return Settled(acted, [])
        events = self.shelf.find(session, decision_id)
        return Settled(events[0], events[1:]) if events and isinstance(events[0], Acted) else None
