"""Planning in a finite-horizon Markov decision process with finitely many states: backward induction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def backward_induction(
    backup: Callable[[Float[Array, " states"]], Float[Array, "states actions"]],
    *,
    states: int,
    horizon: int,
    summary: Callable[..., Float[Array, " states"]] = jnp.max,
) -> tuple[Float[Array, " states"], Float[Array, "horizon states actions"]]:
    """Values of an episode, from its last step to its first.

        Q_h = backup(V_{h+1})      V_h(s) = summary_a Q_h(s, a)      V_horizon = 0

    Args:
      backup: expected reward of every state and action, plus the expected value after it, from the values of the next step.
      states: how many.
      horizon: steps in an episode, at least 1.
      summary: over actions (`axis=-1`); the maximum gives the best policy's values, the mean those of acting at random.
    Returns:
      V_0 `[states]` and Q `[horizon, states, actions]`, in units of reward.
    Source: Bellman 1957.
    """

    def step(value: Array, nothing: None) -> tuple[Array, Array]:
        del nothing
        action_value = backup(value)
        return summary(action_value, axis=-1), action_value

    return jax.lax.scan(step, jnp.zeros(states), None, length=horizon, reverse=True)


def expected_backup(
    reward: Float[Array, "states actions"], transition: Float[Array, "states actions states"]
) -> Callable[[Float[Array, " states"]], Float[Array, "states actions"]]:
    """The `backup` of known mean rewards and transition probabilities: r(s, a) + Σ_s' P(s' | s, a) V(s')."""
    # Products and sums rather than `@`: many small batched matrix products are slow on a CPU.
    return lambda value: reward + (transition * value[None, None]).sum(axis=-1)


def best_actions(action_value: Float[Array, "*steps actions"], *, tolerance: float = 1e-4) -> Int[Array, "*steps"]:
    """The first action, an index, among those whose value is the highest up to rounding.

    Actions that were never tried have equal values, and which of them rounding puts ahead depends on how the program was
    compiled: so values within `tolerance` times the largest one (at least 1) count as equal.
    """
    highest = action_value.max(axis=-1, keepdims=True)
    return jnp.argmax(action_value >= highest - tolerance * jnp.maximum(1.0, jnp.abs(highest)), axis=-1).astype(jnp.int32)
