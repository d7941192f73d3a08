"""The uplift of a served agent, from the lifetimes that its envelope gave to the fallback (`holdback`).

The key of a lifetime chooses whether it is held back. So both arms are random samples, and their difference is what the
agent earns beyond the fallback. The log of a session tells the arm: in a lifetime that is held back, the guard gives
`holdback` as its reason at every decision.
"""

import dataclasses
from collections import Counter

import numpy as np
from jaxtyping import Bool, Float, Int

from quickstudy.numerics.uplift import Uplift, uplift_of
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.reasons import HOLDBACK, MODE
from quickstudy.serving.logged import LoggedLifetime, logged_lifetimes, reward_of
from quickstudy.serving.served_agent import GUARD_REASON
from quickstudy.serving.stores.store import Store
from quickstudy.serving.words import leaves_by


@dataclasses.dataclass(frozen=True, kw_only=True)
class HoldbackLog:
    """The first decisions of lifetimes that were served with a holdback, one lifetime a row.

    Args:
      rewards: `[lifetimes, decisions]`, reward units; 0 after the end of a lifetime.
      held_back: `[lifetimes]`, whether the fallback had the lifetime.
      session: `[lifetimes]`, number of the independent session; forks of a session share it.
      shares: the holdbacks of the versions that served, in increasing order.
      left_out: lifetimes that are not among the rows, by reason.
    """

    rewards: Float[np.ndarray, "lifetimes decisions"]
    held_back: Bool[np.ndarray, " lifetimes"]
    session: Int[np.ndarray, " lifetimes"]
    shares: tuple[float, ...]
    left_out: dict[str, int]

    def uplift(self, decisions: int | None = None) -> Uplift:
        """The uplift in the first decisions of a lifetime.

        Args:
          decisions: how many count; all that are here if not given.
        Raises:
          UsageError: an arm has fewer than two sessions.
        """
        return uplift_of(self.rewards[:, :decisions].sum(axis=1), self.held_back, self.session)


def holdback_log(
    store: Store, *, tenant: str, decisions: int, agent: str | None = None, unknown_reward: float | None = None
) -> HoldbackLog:
    """The lifetimes that an uplift rests on: those with enough decisions, or that are over.

    Args:
      store: with the sessions.
      tenant: whose sessions are read.
      decisions: of each lifetime that count, at least 1; the first ones.
      agent: digest of the version whose sessions are read, or its beginning; all versions if not given.
      unknown_reward: stands for rewards that never came; without it, lifetimes with such a decision are left out.
    Raises:
      UsageError: decisions is below 1, or no lifetime with a holdback has enough decisions.
      UnknownNameError: the store has no such version.
    """
    if decisions < 1:
        raise UsageError(f"decisions must be a whole number of 1 or more; came {decisions!r}.")
    rows: list[list[float]] = []
    arms: list[bool] = []
    streams: list[str] = []
    shares: set[float] = set()
    left_out: Counter[str] = Counter()
    seen: set[tuple] = set()
    for lifetime in logged_lifetimes(store, tenant=tenant, agent=agent):
        first = lifetime.steps[:decisions]
        known = [reward for step in first if (reward := reward_of(step, lifetime, unknown_reward)) is not None]
        share, arm = _share_of(lifetime), _arm_of(lifetime, decisions)
        copied = (lifetime.stream, lifetime.number, *(step.decision_id for step in first), *known)
        if share == 0:
            left_out["no holdback in its envelope"] += 1
        elif not first:
            left_out["no decision"] += 1
        elif len(first) < decisions and not lifetime.over:
            left_out[f"fewer than {decisions} decisions so far"] += 1
        elif len(known) < len(first):
            left_out["a reward is unknown"] += 1
        elif arm is None:
            left_out["the envelope changed, or its kill switch was on"] += 1
        elif copied in seen:
            left_out["a copy of another session"] += 1
        else:
            seen.add(copied)
            shares.add(share)
            rows.append([*known, *[0.0] * (decisions - len(known))])
            arms.append(arm)
            streams.append(lifetime.stream)
    if not rows:
        reasons = ", ".join(f"{count} with {reason}" for reason, count in left_out.items()) or "none at all"
        raise UsageError(
            f"no lifetime of tenant {tenant!r} was served with a holdback and has its first {decisions} decisions. Left out: "
            f'{reasons}. Serve with an envelope that has a "holdback", or look at fewer decisions.'
        )
    return HoldbackLog(
        rewards=np.array(rows, np.float64),
        held_back=np.array(arms, bool),
        session=np.unique(np.array(streams), return_inverse=True)[1],
        shares=tuple(sorted(shares)),
        left_out=dict(left_out),
    )


def _share_of(lifetime: LoggedLifetime) -> float:
    """The holdback of the envelope; 0 where there is none."""
    rules = (lifetime.described.get("envelope") or {}).get("rules", {})
    share = rules.get("holdback", 0.0) if isinstance(rules, dict) else 0.0
    return float(share)


def _arm_of(lifetime: LoggedLifetime, decisions: int) -> bool | None:
    """Whether the lifetime was held back; None where its first decisions do not agree, or a kill switch decided."""
    reasons = set()
    for step in lifetime.steps[:decisions]:
        decided = leaves_by(lifetime.described["layouts"]["decision"], step.decision)
        reasons.add(int(decided[GUARD_REASON]) if GUARD_REASON in decided else None)
    if None in reasons or MODE in reasons or (HOLDBACK in reasons and len(reasons) > 1):
        return None
    return HOLDBACK in reasons
