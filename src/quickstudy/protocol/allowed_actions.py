"""Actions that a task forbids for now: an arm that is out of stock, an item that must not be shown.

A task says so in its observation (`Spec.action_mask`). Here every kind of agent is restricted to the allowed actions: a learned
policy loses the forbidden actions and is normalised again; an agent that gives `scores` takes the best allowed one; a forbidden
action of any other agent is replaced by a uniformly random allowed one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PRNGKeyArray

from quickstudy.protocol.records import Decision, Spec, Transition

Act = Callable[[Any, Any, Array, PRNGKeyArray], Decision]


def held_to_allowed(act: Act, spec: Spec) -> Act:
    """`act` of an agent, which then never chooses a forbidden action. It is returned unchanged where nothing is forbidden.

    Args:
      act: `(params, memory, observation, key) -> Decision`.
      spec: of the tasks.
    """
    if not spec.action_mask or getattr(act, "held_to_allowed", False):
        return act

    def act_allowed(params: Any, memory: Any, observation: Array, key: PRNGKeyArray) -> Decision:
        return only_allowed(act(params, memory, observation, key), spec.allowed(observation), key, spec=spec)

    act_allowed.held_to_allowed = True  # type: ignore[attr-defined]
    return act_allowed


def only_allowed(decision: Decision, allowed: Bool[Array, " actions"], key: PRNGKeyArray, *, spec: Spec) -> Decision:
    """A decision without the forbidden actions.

    Args:
      decision: at one step.
      allowed: by action; at least one is.
      key: draws the action.
      spec: of the tasks.
    """
    extras, first = decision.extras, int(spec.action_space.start)  # type: ignore[union-attr]
    if "policy" in extras:
        policy = extras["policy"].only(allowed)
        action = policy.sample(key)
        return Decision(action=action, extras=extras | {"policy": policy, "log_probability": policy.log_probability(action)})
    if "scores" in extras:
        best = jnp.argmax(jnp.where(allowed, extras["scores"], -jnp.inf)).astype(jnp.int32)
        return Decision(action=first + best, extras=extras)
    other = first + jax.random.categorical(key, jnp.where(allowed, 0.0, -jnp.inf)).astype(jnp.int32)
    stands = allowed[decision.action - first]
    more = {}
    if "log_probability" in extras:
        drawn = -jnp.log(allowed.sum().astype(jnp.float32))
        more = {"log_probability": jnp.where(stands, extras["log_probability"], drawn)}
    return Decision(action=jnp.where(stands, decision.action, other), extras=extras | more)


def only_allowed_along(
    decisions: Decision,
    lifetimes: Transition,
    keys: Callable[[PRNGKeyArray], Key[Array, " T"]],
    key: Key[Array, "*lifetimes"],
    spec: Spec,
) -> Decision:
    """`only_allowed` at every step of lifetimes `[T, *lifetimes]`.

    Args:
      decisions: leaves `[T, *lifetimes, ...]`.
      lifetimes: in which they were taken.
      keys: from the key of a lifetime, those that `act` is given at its steps.
      key: of each lifetime.
      spec: of the tasks.
    """

    def one(decisions: Decision, observations: Array, key: PRNGKeyArray) -> Decision:
        step = lambda decision, observation, key: only_allowed(decision, spec.allowed(observation), key, spec=spec)  # noqa: E731
        return jax.vmap(step)(decisions, observations, keys(key))

    for _ in range(key.ndim):
        one = jax.vmap(one, (1, 1, 0), 1)
    return one(decisions, lifetimes.observation, key)
