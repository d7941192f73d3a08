"""The limits of an envelope on one decision: which action is left, and its probability."""

import dataclasses
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.numerics.distributions import Categorical, TruncatedNormal
from quickstudy.numerics.limited_policies import mixed_choice, normal_within
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Spec, record
from quickstudy.rollout.envelope.rules import ActionLimits, Envelope, ExplorationLimits


@record
class Limited:
    """A decision within the limits.

    `action`: in the action space. `log_probability` `[]`: of it, NaN where it is not known. `likeliest` `[]`: whether it is the
    likeliest action of the agent's policy; true where that is not known. `policy`: of the final action, None where it has no
    form of its own.
    """

    action: PyTree
    log_probability: Float[Array, ""]
    likeliest: Bool[Array, ""]
    policy: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits of continuous actions as arrays `[n]`; `change` is None where changes are free."""

    low: np.ndarray
    high: np.ndarray
    change: np.ndarray | None


def bounds_of(limits: ActionLimits | None, agent: Agent) -> Bounds | None:
    """The action limits of an envelope for an agent; None where there are none.

    Raises:
      SpecError: actions that are not real numbers, or another count of numbers than an action has.
      UsageError: bounds without room between them, or an agent that does not adapt at every step.
    """
    space = agent.spec.action_space
    if limits is None:
        return None
    if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise SpecError(f"actions in the envelope limits a Box of real numbers; the actions are {space!r}. Leave it out.")
    low, high = (np.asarray(bound, np.float32).ravel() for bound in (space.low, space.high))
    if limits.low is not None:
        low = np.maximum(low, _each(limits.low, low.size, "low"))
    if limits.high is not None:
        high = np.minimum(high, _each(limits.high, high.size, "high"))
    if (low > high).any():
        place = int(np.argmax(low > high))
        raise UsageError(
            f"actions in the envelope leave no room: number {place + 1} of an action must be at least {low[place]:g} and at "
            f"most {high[place]:g}. Its bounds in the action space count too."
        )
    change = None if limits.largest_change is None else _each(limits.largest_change, low.size, "largest_change")
    if change is not None and agent.cadence > 1:
        raise UsageError(
            f"actions.largest_change needs an agent that adapts at every step; this one adapts once in {agent.cadence} steps, "
            "and does not know its last action in between. Leave it out, and set low and high."
        )
    return Bounds(low=low, high=high, change=change)


def check_exploration(envelope: Envelope, spec: Spec) -> None:
    """Raises SpecError or UsageError where limits of exploration do not fit the actions."""
    limits, budget = envelope.exploration, envelope.budget
    if limits is None and (budget is None or budget.explored_decisions is None):
        return
    space, named = spec.action_space, "exploration" if limits is not None else "budget.explored_decisions"
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise SpecError(f"{named} in the envelope is for Discrete actions; the actions are {space!r}. Leave it out.")
    if limits is not None and limits.likeliest_at_least + (int(space.n) - 1) * limits.each_at_least > 1 + 1e-6:
        most = (1 - limits.likeliest_at_least) / max(int(space.n) - 1, 1)
        raise UsageError(
            f"exploration.each_at_least must be at most {most:g} for {space.n} actions, of which the likeliest has "
            f"{limits.likeliest_at_least:g}; came {limits.each_at_least:g}."
        )


def within_bounds(
    decision: Decision, bounds: Bounds, last: Float[Array, " n"], acted: Bool[Array, ""], key: PRNGKeyArray
) -> Limited:
    """A continuous action within its limits.

    An action of a known policy is drawn again, number by number, where it is outside. Any other action is moved to the nearest
    bound, and its probability is then not known.

    Args:
      decision: of the agent or of the fallback.
      bounds: the limits.
      last: the last action.
      acted: whether there was one.
      key: consumed.
    """
    low, high = jnp.asarray(bounds.low), jnp.asarray(bounds.high)
    if bounds.change is not None:
        near = jnp.clip(last - bounds.change, low, high), jnp.clip(last + bounds.change, low, high)
        low, high = jnp.where(acted, near[0], low), jnp.where(acted, near[1], high)
    numbers, policy = decision.action.reshape(-1).astype(jnp.float32), decision.extras.get("policy")
    if isinstance(policy, TruncatedNormal):
        final, log_probability = normal_within(policy, numbers, key, low=low, high=high)
    else:
        final = jnp.clip(numbers, low, high)
        log_probability = jnp.where((final == numbers).all(), log_probability_of(decision), jnp.nan)
    final = final.astype(decision.action.dtype).reshape(decision.action.shape)
    return Limited(action=final, log_probability=log_probability, likeliest=jnp.asarray(True))


def explored_within(
    decision: Decision,
    limits: ExplorationLimits,
    allowed: Bool[Array, " actions"],
    spent: Bool[Array, ""],
    key: PRNGKeyArray,
) -> Limited:
    """A Discrete action of a policy within the limits of exploration.

    Args:
      decision: of the agent; its policy is a `Categorical`.
      limits: of exploration.
      allowed: by action.
      spent: whether the budget of explored decisions is spent, so that only the likeliest action is left.
      key: consumed.
    """
    policy: Categorical = decision.extras["policy"]
    least = jnp.where(spent, 1.0, limits.likeliest_at_least)
    each = jnp.where(spent, 0.0, limits.each_at_least)
    action, mixed = mixed_choice(policy, decision.action, key, likeliest_at_least=least, each_at_least=each, allowed=allowed)
    return Limited(
        action=action,
        log_probability=mixed.log_probability(action),
        likeliest=action == policy.mode(),
        policy=mixed,
    )


def log_probability_of(decision: Decision) -> Float[Array, ""]:
    """What a decision tells of its probability; NaN where it tells nothing."""
    return jnp.asarray(decision.extras.get("log_probability", jnp.nan), jnp.float32)


def _each(numbers: float | tuple[float, ...], count: int, name: str) -> np.ndarray:
    given = np.asarray(numbers, np.float32)
    if given.ndim and given.size != count:
        raise SpecError(
            f"actions.{name} in the envelope must be one number, or one for each of the {count} numbers of an action; came "
            f"{given.size}."
        )
    return np.broadcast_to(given, (count,))
