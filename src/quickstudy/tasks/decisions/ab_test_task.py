"""What is hidden in an A/B test, and the rates of its arms that follow from it.

With the log-odds of the control's base rate, at the look t, counted from 1:

    rate of an arm = (1 + week · cos(2 π t / 7)) · σ(base + lift + novelty · exp(-(t - 1) / fades))

Before a flip, lifts have the other sign. In the long run there is no novelty and no week, and lifts are those after a flip.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.baselines.models.ab_test import WEEK
from quickstudy.protocol.records import record

_LOWEST, _HIGHEST = 1e-5, 0.99
"""Bounds of the rates of a look."""


@record
class AbTestTask:
    """What is hidden in one test.

    `base_rate` `[]`: of the control. `lift`, `novelty` `[treatments]`: log-odds, in the long run and added at first. `fades`
    `[]`: looks in which novelty falls to 1/e. `week` `[]`: amplitude of the week, as a share of the rate. `arrives` `[]`: share
    of the conversions still to come that arrives with each look. `flip` `[]`: the look before which lifts have the other sign.
    `uncounted` `[]`: share of a treatment's users that is not counted. `expects` `[]`: whether the reward is the expected loss.
    """

    base_rate: Float[Array, ""]
    lift: Float[Array, " treatments"]
    novelty: Float[Array, " treatments"]
    fades: Float[Array, ""]
    week: Float[Array, ""]
    arrives: Float[Array, ""]
    flip: Float[Array, ""]
    uncounted: Float[Array, ""]
    expects: Bool[Array, ""]


def long_run(task: AbTestTask) -> Float[Array, " arms"]:
    """The rate of each arm in the long run."""
    base = _base_log_odds(task)
    return jax.nn.sigmoid(base + jnp.concatenate([jnp.zeros(1), task.lift]))


def rates_at(task: AbTestTask, look: Float[Array, ""]) -> Float[Array, " arms"]:
    """The rate of each arm at a look, counted from 1."""
    base = _base_log_odds(task)
    sign = jnp.where(look < task.flip, -1.0, 1.0)
    extra = sign * task.lift + task.novelty * jnp.exp(-(look - 1) / task.fades)
    rate = jax.nn.sigmoid(base + jnp.concatenate([jnp.zeros(1), extra]))
    weekly = 1 + task.week * jnp.cos(2 * jnp.pi * look / WEEK)
    return jnp.clip(rate * weekly, _LOWEST, _HIGHEST)


def describe(task: AbTestTask) -> dict[str, Array]:
    """The hidden numbers by names for people."""
    return {
        "base_rate": task.base_rate,
        **{f"lift_{arm}": value for arm, value in enumerate(task.lift, start=1)},
        **{f"novelty_{arm}": value for arm, value in enumerate(task.novelty, start=1)},
        "fades (looks)": task.fades,
        "week (amplitude)": task.week,
        "arrives (part a look)": task.arrives,
        "flip (look)": task.flip,
        "uncounted (part)": task.uncounted,
    }


def _base_log_odds(task: AbTestTask) -> Float[Array, ""]:
    return jnp.log(task.base_rate) - jnp.log1p(-task.base_rate)
