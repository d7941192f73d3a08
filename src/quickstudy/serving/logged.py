"""The log of a store as arrays, for off-policy evaluation (`numerics.off_policy`)."""

import dataclasses
import json
import math

import numpy as np
from jaxtyping import Float

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.events import Acted, Event, Moved, Renewed, Rewarded
from quickstudy.serving.heads import event_of
from quickstudy.serving.record import counted
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import Store
from quickstudy.serving.words import leaves_by

_NAMES_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggedDecisions:
    """The first rewarded decisions of lifetimes, one lifetime a row.

    Args:
      lifetimes: session and number of each lifetime.
      observations: `[lifetimes, steps, ...]`.
      actions: `[lifetimes, steps, ...]`.
      rewards: `[lifetimes, steps]`, reward units; where a decision had several rewards, their sum.
      propensities: `[lifetimes, steps]`, with which the actions were chosen.
    """

    lifetimes: list[tuple[str, int]]
    observations: np.ndarray
    actions: np.ndarray
    rewards: Float[np.ndarray, "lifetimes steps"]
    propensities: Float[np.ndarray, "lifetimes steps"]


def logged_decisions(store: Store, *, tenant: str, agent: str, steps: int) -> LoggedDecisions:
    """The decisions of all lifetimes that have at least some number of rewarded ones, in one version of an agent.

    Args:
      store: with the sessions.
      tenant: whose sessions are read.
      agent: digest of the version.
      steps: rewarded decisions of each lifetime; the first ones are taken.
    Raises:
      UsageError: no such lifetimes, or an agent whose actions have several parts or no known probability.
    """
    described = store.agents().get(agent)
    if described is None:
        raise UsageError(f"this store has no agent {agent!r}; it has {', '.join(store.agents()) or 'none'}.")
    layouts = json.loads(described)["layouts"]
    found: dict[tuple[str, int], list[tuple]] = {}
    after = ""
    while names := store.names(tenant, after=after, limit=_NAMES_AT_ONCE):
        after = names[-1]
        for name, stored in store.load([SessionName(tenant, name) for name in names]).items():
            if stored.agent == agent:
                log = [event_of(event) for event in store.events(name)]
                found |= {(name.session, number): rows for number, rows in _lifetimes(counted(log), layouts).items()}
    kept = {lifetime: rows[:steps] for lifetime, rows in found.items() if len(rows) >= steps}
    if not kept:
        raise UsageError(
            f"no lifetime has {steps} rewarded decisions; the longest has {max(map(len, found.values()), default=0)}."
        )
    columns = [np.array([[row[place] for row in rows] for rows in kept.values()]) for place in range(4)]
    return LoggedDecisions(
        lifetimes=list(kept), observations=columns[0], actions=columns[1], rewards=columns[2], propensities=columns[3]
    )


def _lifetimes(log: list[Event], layouts: dict[str, list]) -> dict[int, list[tuple]]:
    """Observation, action, reward and propensity of the rewarded decisions, in the order of their slots."""
    lifetimes: dict[int, list[tuple]] = {}
    made: list[Acted] = []
    rewards: dict[str, list[float]] = {}
    number = 0
    for event in [*log, None]:
        if isinstance(event, Acted):
            made.append(event)
        elif isinstance(event, Rewarded):
            rewards.setdefault(event.decision_id, []).append(event.reward)
        elif event is None or isinstance(event, Renewed | Moved):
            lifetimes[number] = [_row(one, rewards[one.decision_id], layouts) for one in made if one.decision_id in rewards]
            made, rewards, number = [], {}, number + 1
    return lifetimes


def _row(acted: Acted, rewards: list[float], layouts: dict[str, list]) -> tuple:
    seen = next(iter(leaves_by(layouts["observation"], acted.observation).values()))
    decision = leaves_by(layouts["decision"], acted.decision)
    if ".action" not in decision:
        raise UsageError("the actions of this agent have several parts; only actions that are one array can be evaluated.")
    log_probability = decision.get(".extras['log_probability']")
    if log_probability is None:
        raise UsageError("this agent does not tell the probability of its actions, so its log supports no other policy.")
    if math.isnan(log_probability):
        raise UsageError(
            "some of these actions have no known probability, so the log supports no other policy: the fallback of the "
            "envelope does not tell it. Serve with a fallback that does, such as random or UCB1."
        )
    return seen, decision[".action"], math.fsum(rewards), math.exp(float(log_probability))
