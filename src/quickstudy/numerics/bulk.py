"""The range in which nearly all of many numbers lie, so that a few huge ones do not set the scale.

A mean square is decided by its largest numbers. One glitch of 1e20 among thousands of numbers around 1 makes everything else
look like zero, and in a running average it does so for thousands of updates. So moments are taken of numbers that are cut to
the bulk:

    centre = median x        reach = k q        q: a high quantile of |x - centre|        k: 10, or another

q is the 99 % quantile, or a lower one where that is beyond all proportion to it (more than 100 times as large). Where at least
99 % of the numbers are equal there is no such unit. Then nothing is cut: a rare signal is no outlier.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_LEVELS = (0.5, 0.9, 0.99)
_OUT_OF_PROPORTION = 100.0
_SAMPLE = 2048
"""Numbers that quantiles are estimated from. Sorting more of them takes time and hardly changes the estimate."""
_LARGEST = 1e15
"""Numbers are cut to this size in any case, so that sums of their squares do not overflow in 32 bits."""


def bulk(
    values: Float[Array, "rows *columns"], valid: Bool[Array, " rows"], *, reach: float = 10.0
) -> tuple[Float[Array, "*columns"], Float[Array, "*columns"]]:
    """Median and reach of each column; the bulk lies within `median ± reach`.

    Args:
      values: finite.
      valid: rows that count.
      reach: in units of the quantile.
    Returns:
      The median, and the reach: at least 0, and infinite where it would overflow. Both are zero where no row counts.
    """
    count = len(valid)
    # Any rows will do, but not every n-th: lifetimes have periods.
    rows = np.arange(count) if count <= _SAMPLE else np.sort(np.random.default_rng(0).choice(count, _SAMPLE, replace=False))
    some, known = values[rows], _beside(valid[rows], values)
    last = jnp.maximum(valid[rows].sum() - 1, 0)
    (centre,) = _quantiles(some, known, last, (0.5,))
    distance = jnp.where(_beside(valid, values), jnp.abs(values - centre[None]), 0.0)
    unit, *others = _quantiles(distance[rows], known, last, _LEVELS)
    rounding = 1e-6 * jnp.abs(centre)
    for larger in others:
        unit = jnp.where((unit <= rounding) | (larger <= _OUT_OF_PROPORTION * unit), larger, unit)
    return centre, jnp.where(unit <= rounding, distance.max(0), reach * unit)


def cut_to_bulk(
    values: Float[Array, "rows *columns"], valid: Bool[Array, " rows"], *, reach: float = 10.0
) -> Float[Array, "rows *columns"]:
    """Values cut to their bulk, and to sizes whose squares can be added up; arguments as of `bulk`."""
    centre, half = bulk(values, valid, reach=reach)
    return jnp.clip(jnp.clip(values, centre[None] - half[None], centre[None] + half[None]), -_LARGEST, _LARGEST)


def _quantiles(
    values: Float[Array, "rows *columns"], known: Bool[Array, "rows *ones"], last: Array, levels: tuple[float, ...]
) -> list[Float[Array, "*columns"]]:
    """Quantiles of the known rows, of which the last has this number; zero where none is known."""
    ordered = jnp.sort(jnp.where(known, values, jnp.inf), axis=0)
    at = [ordered[jnp.floor(level * last.astype(jnp.float32)).astype(jnp.int32)] for level in levels]
    return [jnp.where(jnp.isfinite(quantile), quantile, 0.0) for quantile in at]


def _beside(valid: Bool[Array, " rows"], values: Array) -> Bool[Array, "rows *ones"]:
    return valid.reshape(-1, *(1,) * (values.ndim - 1))
