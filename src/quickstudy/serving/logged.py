"""The log of a store as arrays, for off-policy evaluation (`numerics.off_policy`)."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Int

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.records import Spec, spec_from_description
from quickstudy.serving.events import Acted, Event, Lapsed, Moved, Renewed, Rewarded
from quickstudy.serving.heads import event_of
from quickstudy.serving.log import counted
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import Record, Step
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import Store
from quickstudy.serving.words import leaves_by

_NAMES_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggedDecisions:
    """The first decisions of lifetimes, one lifetime a row.

    Args:
      spec: of the agents that served.
      lifetimes: session and number of each lifetime.
      session: `[lifetimes]`, number of the independent session. Lifetimes of one session share it, and forks of a session do.
      observations, successors: `[lifetimes, steps, ...]`, before and after each decision.
      actions: `[lifetimes, steps, ...]`.
      rewards: `[lifetimes, steps]`, reward units, as the rules of the session make them from its messages.
      propensities: `[lifetimes, steps]`, probabilities or densities with which the actions were chosen.
      valid: `[lifetimes, steps]`, whether the decision was made; a lifetime that ended earlier has fewer. Other fields then
        repeat the last decision, with reward 0.
      learned: `[lifetimes, steps]`, whether the outcome was learned from.
      terminated, truncated: `[lifetimes, steps]`, whether the episode ended.
      slots: `[lifetimes, steps]`, of the decisions within the lifetime.
      late: share of the decisions that were made before an earlier reward of their lifetime had come.
      left_out: lifetimes that are not among the rows, by reason.
    """

    spec: Spec
    lifetimes: list[tuple[str, int]]
    session: Int[np.ndarray, " lifetimes"]
    observations: np.ndarray
    successors: np.ndarray
    actions: np.ndarray
    rewards: Float[np.ndarray, "lifetimes steps"]
    propensities: Float[np.ndarray, "lifetimes steps"]
    valid: Bool[np.ndarray, "lifetimes steps"]
    learned: Bool[np.ndarray, "lifetimes steps"]
    terminated: Bool[np.ndarray, "lifetimes steps"]
    truncated: Bool[np.ndarray, "lifetimes steps"]
    slots: Int[np.ndarray, "lifetimes steps"]
    late: float
    left_out: dict[str, int]

    @property
    def densities(self) -> bool:
        """Whether propensities are densities."""
        return isinstance(self.spec.action_space, gymnasium.spaces.Box)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggedLifetime:
    """The steps of one lifetime, in the order of their slots.

    Args:
      name: of the session.
      number: of the lifetime within the session, from 0.
      stream: of the session; forks share it.
      policy: of the session.
      agent: digest of the version that the session has now.
      described: that version as the store describes it: its spec, the `layouts` of the words of observations and decisions,
        and, if it has one, the digest and the rules of its `envelope`.
      steps: in the order of their slots.
      over: whether no decision can follow.
      late: ids of the decisions that were made before an earlier reward had come.
    """

    name: str
    number: int
    stream: str
    policy: SessionPolicy
    agent: str
    described: dict[str, Any]
    steps: list[Step]
    over: bool
    late: set[str]


def logged_decisions(
    store: Store, *, tenant: str, steps: int, agent: str | None = None, unknown_reward: float | None = None
) -> LoggedDecisions:
    """The first decisions of every lifetime that has enough of them, or that is over.

    Args:
      store: with the sessions.
      tenant: whose sessions are read.
      steps: decisions of each lifetime, at least 1; the first ones are taken.
      agent: digest of the version whose sessions are read, or its beginning; all versions if not given.
      unknown_reward: stands for rewards that never came; without it, lifetimes with such a decision are left out.
    Raises:
      UsageError: no such lifetimes, versions with different spaces, or an agent whose actions have several parts or no known
        probability.
      UnknownNameError: the store has no such version.
    """
    if steps < 1:
        raise UsageError(f"steps must be a whole number of 1 or more; came {steps!r}.")
    used: dict[str, dict[str, Any]] = {}
    rows: list[tuple[LoggedLifetime, list[tuple]]] = []
    left_out: Counter[str] = Counter()
    longest = 0
    seen: set[tuple] = set()
    for lifetime in logged_lifetimes(store, tenant=tenant, agent=agent):
        used[lifetime.agent] = lifetime.described
        first = lifetime.steps[:steps]
        longest = max(longest, len(lifetime.steps))
        rewards = [reward_of(step, lifetime, unknown_reward) for step in first]
        copied = (lifetime.stream, lifetime.number, *(step.decision_id for step in first), *rewards)
        if not first:
            left_out["no decision"] += 1
        elif len(first) < steps and not lifetime.over:
            left_out[f"fewer than {steps} decisions so far"] += 1
        elif None in rewards:
            left_out["a reward is unknown"] += 1
        elif copied in seen:
            left_out["a copy of another session"] += 1
        else:
            seen.add(copied)
            rows.append((lifetime, [_row(step, lifetime, unknown_reward) for step in first]))
    if not rows:
        reasons = ", ".join(f"{count} with {reason}" for reason, count in left_out.items()) or "none at all"
        raise UsageError(
            f"no lifetime of tenant {tenant!r} can be evaluated on its first {steps} decisions; the longest has {longest}. "
            f"Left out: {reasons}. Evaluate fewer decisions, or give unknown rewards a value."
        )
    return _as_arrays(rows, steps, _shared_spec(used), dict(left_out))


def _versions(store: Store, agent: str | None) -> dict[str, dict[str, Any]]:
    described = {digest: json.loads(text) for digest, text in store.agents().items()}
    chosen = {digest: one for digest, one in described.items() if agent is None or digest.startswith(agent)}
    if agent is not None and not chosen:
        raise UnknownNameError("version of the agent", agent, described)
    return chosen


def logged_lifetimes(store: Store, *, tenant: str, agent: str | None = None) -> Iterator[LoggedLifetime]:
    """Every lifetime of a tenant's sessions, in the order of their names; what a rollback undid is left out.

    Args:
      store: with the sessions.
      tenant: whose sessions are read.
      agent: digest of the version whose sessions are read, or its beginning; all versions if not given.
    Raises:
      UnknownNameError: the store has no such version.
    """
    described = _versions(store, agent)
    after = ""
    while names := store.names(tenant, after=after, limit=_NAMES_AT_ONCE):
        after = names[-1]
        for name, stored in sorted(store.load([SessionName(tenant, name) for name in names]).items()):
            if stored.agent in described:
                log = counted([event_of(event) for event in store.events(name)])
                yield from _lifetimes_of(name.session, log, stored.agent, described[stored.agent])


def _lifetimes_of(name: str, log: list[Event], agent: str, described: dict[str, Any]) -> Iterator[LoggedLifetime]:
    spec = spec_from_description(described["spec"])
    record = Record(spec, cadence=1, policy=SessionPolicy())
    awaited: set[str] = set()
    late: set[str] = set()

    def lifetime(*, over: bool) -> LoggedLifetime:
        return LoggedLifetime(
            name=name,
            number=record.lifetime,
            stream=record.stream,
            policy=record.policy,
            agent=agent,
            described=described,
            steps=[record.steps[slot] for slot in sorted(record.steps)],
            over=over,
            late=set(late),
        )

    for event in log:
        match event:
            case Renewed() | Moved(restarts=True):
                yield lifetime(over=isinstance(event, Renewed) or record.ended)
                awaited.clear()
                late.clear()
            case Acted():
                late |= {event.decision_id} if awaited else set()
                awaited.add(event.decision_id)
            case Rewarded() | Lapsed():
                awaited.discard(event.decision_id)
        record.apply(event)
    yield lifetime(over=record.ended or (record.next >= spec.lifetime_steps and record.policy.at_end != "continue"))


def reward_of(step: Step, lifetime: LoggedLifetime, unknown_reward: float | None) -> float | None:
    """What a step earned, reward units, also where the session was frozen and learned nothing from it.

    Args:
      step: of the lifetime.
      lifetime: whose policy joins several rewards of one decision.
      unknown_reward: stands for a reward that never came.
    """
    if step.reward is not None:
        return step.reward
    if step.messages:
        return lifetime.policy.joined([message.reward for message in step.messages.values()])
    return unknown_reward


def _row(step: Step, lifetime: LoggedLifetime, unknown_reward: float | None) -> tuple:
    layouts = lifetime.described["layouts"]
    seen = next(iter(leaves_by(layouts["observation"], step.observation).values()))
    after = next(iter(leaves_by(layouts["observation"], step.successor or step.observation).values()))
    decision = leaves_by(layouts["decision"], step.decision)
    if ".action" not in decision:
        raise UsageError("the actions of this agent have several parts; only actions that are one array can be evaluated.")
    log_probability = decision.get(".extras['log_probability']")
    if log_probability is None:
        raise UsageError(
            "this agent does not tell the probability of its actions, so its log supports no other policy. Serve an agent "
            "whose answers have a propensity."
        )
    if math.isnan(float(log_probability)):
        raise UsageError(
            "some of these actions have no known probability, so the log supports no other policy: the fallback of the "
            "envelope does not tell it. Serve with a fallback that does, such as random or UCB1."
        )
    reward, propensity = reward_of(step, lifetime, unknown_reward), math.exp(min(float(log_probability), 700.0))
    ends = (step.terminated, step.truncated)
    late = step.decision_id in lifetime.late
    return seen, after, decision[".action"], reward, propensity, True, step.valid, *ends, step.slot, late


def _as_arrays(
    rows: list[tuple[LoggedLifetime, list[tuple]]], steps: int, spec: Spec, left_out: dict[str, int]
) -> LoggedDecisions:
    filled = []
    for _, row in rows:
        seen, after, action, _, propensity, _, _, _, _, slot, _ = row[-1]
        nothing = (seen, after, action, 0.0, propensity, False, False, False, False, slot, False)
        filled.append([*row, *[nothing] * (steps - len(row))])
    columns = [np.array([[one[place] for one in row] for row in filled]) for place in range(11)]
    streams = {stream: number for number, stream in enumerate(dict.fromkeys(lifetime.stream for lifetime, _ in rows))}
    return LoggedDecisions(
        spec=spec,
        lifetimes=[(lifetime.name, lifetime.number) for lifetime, _ in rows],
        session=np.array([streams[lifetime.stream] for lifetime, _ in rows]),
        observations=columns[0],
        successors=columns[1],
        actions=columns[2],
        rewards=columns[3].astype(np.float64),
        propensities=columns[4],
        valid=columns[5],
        learned=columns[6],
        terminated=columns[7],
        truncated=columns[8],
        slots=columns[9],
        late=float(columns[10][columns[5]].mean()),
        left_out=left_out,
    )


def _shared_spec(used: dict[str, dict[str, Any]]) -> Spec:
    """The spec of all versions, where their spaces and horizons are equal."""
    specs = [one["spec"] for one in used.values()]
    parts = ("observation_space", "action_space", "horizon")
    if any(spec[part] != specs[0][part] for spec in specs for part in parts):
        raise UsageError(
            "the sessions of this tenant were served by agents with different spaces or horizons. Name one version by its "
            f"digest: {', '.join(used)}."
        )
    return spec_from_description(specs[0])
