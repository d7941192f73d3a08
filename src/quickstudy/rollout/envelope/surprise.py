"""Hysteresis: several low p-values in a row give the decisions to the fallback, several high ones give them back."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from quickstudy.protocol.records import record
from quickstudy.rollout.envelope.rules import SurpriseRule


@record
class SurpriseState:
    """`low`, `high` `[]`: steps in a row, up to now, with a p-value below or above the two thresholds.

    `surprised` `[]`: whether the fallback acts.
    """

    low: Int[Array, ""]
    high: Int[Array, ""]
    surprised: Bool[Array, ""]


def unsurprised() -> SurpriseState:
    """The state at the start of a lifetime."""
    return SurpriseState(low=jnp.int32(0), high=jnp.int32(0), surprised=jnp.asarray(False))


def after_p_value(state: SurpriseState, p_value: Float[Array, ""], rule: SurpriseRule) -> SurpriseState:
    """The state after one more p-value. One that is not a number counts as low."""
    below, above = ~(p_value >= rule.enter_below), p_value > rule.leave_above
    low = jnp.where(below, jnp.minimum(state.low + 1, rule.enter_steps), 0)
    high = jnp.where(above, jnp.minimum(state.high + 1, rule.leave_steps), 0)
    surprised = jnp.where(state.surprised, high < rule.leave_steps, low >= rule.enter_steps)
    return SurpriseState(low=low, high=high, surprised=surprised)
