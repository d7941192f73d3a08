"""Simulated series with shifts: what is drawn of a series, and how its values follow.

With the noise ε ~ N(0, 1), in units of the standard deviation σ of the noise:

    value = level + season + trend + u + outlier        u = a u before + s ε

The level wanders, if it does, by N(0, w²) a step; the trend grows by the slope at each step. At each step a new regime begins
with probability `hazard`. Then one of these changes, always the same one in a series:

    mean        the level is drawn anew from N(0, size²)
    slope       the slope is drawn anew from N(0, (size / 50)²)
    variance    ln s is drawn anew from N(0, (ln size)²)
    season      the amplitude of the season is drawn anew from N(0, size²); a negative one turns the season upside down
    outliers    this value alone is moved by N(0, (2 size)²)

With probability `returns` the change goes back to the regime before, and nothing new is drawn. The regime before the first one
is taken as equal to it. So a first change that goes back changes nothing, though it counts as a change.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.protocol.records import record
from quickstudy.protocol.sequences import scan

KINDS = ("mean", "slope", "variance", "season", "outliers")
_SLOPE, _OUTLIER = 1 / 50, 2.0
_KINDS_THAT_LAST = 4


@record
class Process:
    """The hidden numbers of one series.

    `kind` `[]`: what changes, by its place in `KINDS`. `hazard`, `size`, `returns` `[]`: of the changes. `autocorrelation`,
    `wander`, `slope`, `amplitude` `[]`: a, w, the first slope, and the first amplitude of the season, in units of σ. `phase`
    `[]`: where in its season the series begins, between 0 and 1. `period` `[]`: steps of a season.
    """

    kind: Int[Array, ""]
    hazard: Float[Array, ""]
    size: Float[Array, ""]
    returns: Float[Array, ""]
    autocorrelation: Float[Array, ""]
    wander: Float[Array, ""]
    slope: Float[Array, ""]
    amplitude: Float[Array, ""]
    phase: Float[Array, ""]
    period: Int[Array, ""]


@record
class Path:
    """A simulated series, each leaf `[length]`.

    `values`; `expected`: the expectation of an observer that knows the process and its state, but not the noise of this step;
    `changed`: whether a new regime begins with this value. In units of σ.
    """

    values: Float[Array, " length"]
    expected: Float[Array, " length"]
    changed: Bool[Array, " length"]


def simulate(process: Process, key: PRNGKeyArray, *, length: int, tails: float = 0.0) -> Path:
    """A series of a process.

    Args:
      process: its hidden numbers.
      key: of all noise.
      length: of the series.
      tails: degrees of freedom of Student's t, which the noise then follows, with variance 1; above 2, or 0 for normal noise.
    """
    key_noise, key_change, key_drawn, key_returns, key_wander, key_first = jax.random.split(key, 6)
    noise = jax.random.normal(key_noise, (length,))
    if tails:
        noise = jax.random.t(key_noise, tails, (length,)) * ((tails - 2) / tails) ** 0.5
    begins = jax.random.uniform(key_change, (length,)) < process.hazard
    begins = begins.at[0].set(False)
    drawn = jax.random.normal(key_drawn, (length,))
    goes_back = jax.random.uniform(key_returns, (length,)) < process.returns
    wandered = process.wander * jax.random.normal(key_wander, (length,))
    shape = _season(process, length)
    is_kind = jnp.arange(len(KINDS)) == process.kind
    fresh = jnp.stack([process.size, process.size * _SLOPE, jnp.log(process.size), process.size])
    first_level = jnp.where(is_kind[0], process.size, 0.0) * jax.random.normal(key_first)
    first = jnp.stack([first_level, process.slope, jnp.zeros(()), process.amplitude])

    def step(carry: tuple, x: tuple) -> tuple[tuple, tuple]:
        regime, before, trend, moved, last = carry
        begins, drawn, goes_back, noise, wandered, shape = x
        new = jnp.where(goes_back, before, jnp.where(is_kind[:_KINDS_THAT_LAST], fresh * drawn, regime))
        switched = begins & is_kind[:_KINDS_THAT_LAST].any()
        regime, before = jnp.where(switched, new, regime), jnp.where(switched, regime, before)
        level, slope, spread, amplitude = regime
        trend = trend + slope
        expected = level + trend + moved + amplitude * shape + process.autocorrelation * last
        shock = jnp.exp(spread) * noise
        outlier = jnp.where(begins & is_kind[_KINDS_THAT_LAST], _OUTLIER * process.size * drawn, 0.0)
        # The outlier and this step's wandering are noise too: nobody can expect them.
        carry = regime, before, trend, moved + wandered, process.autocorrelation * last + shock
        return carry, (expected + shock + wandered + outlier, expected)

    zero = jnp.zeros(())
    inputs = (begins, drawn, goes_back, noise, wandered, shape)
    _, (values, expected) = scan(step, (first, first, zero, zero, zero), inputs)
    return Path(values=values, expected=expected, changed=begins)


def _season(process: Process, length: int) -> Float[Array, " length"]:
    """The shape of the season, of variance 0.745 for an amplitude of 1: two harmonics."""
    turn = 2 * jnp.pi * (jnp.arange(float(length)) / process.period.astype(jnp.float32) + process.phase)
    return jnp.sin(turn) + 0.7 * jnp.sin(2 * turn + 4 * jnp.pi * process.phase)
