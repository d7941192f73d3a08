"""Off-policy evaluation of a policy on the sessions of a store."""

import dataclasses
from collections.abc import Sequence

import gymnasium
import numpy as np
from jaxtyping import Float

from quickstudy.numerics.action_values import fitted_action_values
from quickstudy.numerics.off_policy import MOST_WEIGHT, OffPolicyEstimate, OffPolicyReport, off_policy_value, policy_differences
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.logged import LoggedDecisions, logged_decisions
from quickstudy.serving.replayed import LoggedPolicy
from quickstudy.serving.stores.store import Store

_MOST_FEATURES = 16
"""Numbers of an observation, or actions, that the linear model reads; more are left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Estimates of a policy, and the decisions that they rest on."""

    log: LoggedDecisions
    report: OffPolicyReport


def evaluate_policy(
    store: Store,
    policy: LoggedPolicy,
    *,
    decisions: int,
    tenant: str = "default",
    agent: str | None = None,
    unknown_reward: float | None = None,
    most_weight: float = MOST_WEIGHT,
) -> Evaluated:
    """What a policy would have earned in the first decisions of a lifetime, from the sessions of a store.

    Args:
      store: with the sessions, as `quickstudy.serving.stores.open_store` opens it.
      policy: that is evaluated: `agent_policy(agent, params)`, or a function of your own from the log to probabilities.
      decisions: of a lifetime that count, the first ones.
      tenant: whose sessions are read.
      agent: digest of the version whose sessions are read, or its beginning; all versions if not given.
      unknown_reward: stands for rewards that never came; without it, lifetimes with such a decision are left out.
      most_weight: limit of the weights in SWITCH-DR.
    Returns:
      The log and the report. DM, DR and SWITCH-DR need probabilities of every action; else only IPS and SNIPS are there.
    Raises:
      UsageError: the log does not fit, or it does not support the policy.
    """
    log = logged_decisions(store, tenant=tenant, steps=decisions, agent=agent, unknown_reward=unknown_reward)
    probabilities = np.asarray(policy(log), np.float64)
    shape, space = log.rewards.shape, log.spec.action_space
    actions = int(space.n) if isinstance(space, gymnasium.spaces.Discrete) else None
    if probabilities.shape != shape and (actions is None or probabilities.shape != (*shape, actions)):
        every = "" if actions is None else f", or {(*shape, actions)} with every action"
        raise UsageError(f"a policy gives an array of shape {shape} with the logged action{every}; came {probabilities.shape}.")
    target, values = probabilities, None
    if isinstance(space, gymnasium.spaces.Discrete) and probabilities.ndim == 3:
        _check_sums(probabilities, log)
        taken = (log.actions - int(space.start)).astype(int)
        target = np.take_along_axis(probabilities, taken[..., None], axis=2)[..., 0]
        values = fitted_action_values(
            _features(log, probabilities), taken, log.rewards, probabilities, valid=log.valid, session=log.session
        )
    report = off_policy_value(
        log.rewards,
        log.propensities,
        target,
        valid=log.valid,
        session=log.session,
        action_values=values,
        most_weight=most_weight,
        densities=log.densities,
    )
    return Evaluated(log=log, report=report)


def differences(found: Sequence[Evaluated | None]) -> dict[str, OffPolicyEstimate]:
    """The second policy's return minus the first's, by estimator, with 95 % intervals over sessions.

    Args:
      found: two estimates; None for a policy that the log does not support.
    Returns:
      Nothing where one of them is not known, or where sessions came between the two.
    """
    known = [one for one in found if one is not None]
    if len(known) != 2 or known[0].log.lifetimes != known[1].log.lifetimes:
        return {}
    return policy_differences(known[0].report, known[1].report)


def _features(
    log: LoggedDecisions, probabilities: Float[np.ndarray, "lifetimes steps actions"]
) -> Float[np.ndarray, "lifetimes steps features"]:
    """What the model reads of the history: the observation, and the policy's probabilities, which hold what it has learned."""
    space, lead = log.spec.observation_space, log.rewards.shape
    seen = log.observations.reshape(*lead, -1).astype(np.float64)
    if isinstance(space, gymnasium.spaces.Discrete) and int(space.n) <= _MOST_FEATURES:
        seen = np.eye(int(space.n))[(log.observations - int(space.start)).astype(int)]
    parts = [part for part in (seen, probabilities) if part.shape[-1] <= _MOST_FEATURES]
    return np.concatenate([np.zeros((*lead, 0)), *parts], axis=-1)


def _check_sums(probabilities: np.ndarray, log: LoggedDecisions) -> None:
    sums = probabilities[log.valid].sum(axis=-1)
    if not (np.abs(sums - 1) < 1e-3).all():
        worst = float(sums[np.nanargmax(np.abs(sums - 1))])
        raise UsageError(f"the probabilities of all actions must sum to 1 at every decision; came a sum of {worst:.4g}.")
