"""Series with shifts of the mean: their likelihood, with everything hidden summed out.

    value_t = level_t + ε_t,  ε ~ N(0, 1)        level_t = level_{t-1}, or anew ~ N(0, size²) with probability `hazard`

The sum runs over the time since the last shift; given that, the level has a normal posterior.

Source: Adams & MacKay 2007, equations 1 to 3; Fearnhead & Liu 2007. Changed: times beyond `MOST_SINCE` are taken as equal.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

MOST_SINCE = 150
"""Steps since the last shift that are told apart."""
_ROUNDS, _PLACES = 3, 7
_DROP = 1.92
_STEPS = np.asarray([0.1, 0.05])
"""Of ln(hazard) and ln(size), for the curvature of the likelihood."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShiftFit:
    """`hazard` of a shift at each step; `size`, the standard deviation of levels in units of the noise; nats."""

    hazard: float
    size: float
    log_likelihood: float


def shift_log_likelihood(values: Float[np.ndarray, "series T"], *, hazard: float, size: float) -> float:
    """The logarithm of the likelihood of series, in nats.

    Args:
      values: in units of the noise, around 0; NaN behind the end of a series.
      hazard: in (0, 1).
      size: above 0.
    """
    series = len(values)
    since = np.zeros((series, 1))  # log-probability of each time since the last shift
    sums, total = np.zeros((series, 1)), np.zeros(series)
    for column in values.T:
        there = np.isfinite(column)
        seen = np.where(there, column, 0.0)[:, None]
        steps = np.arange(since.shape[1])
        variance = 1 / (steps + size**-2)
        predicted = variance[None] * sums
        spread = 1 + variance[None]
        logs = since - 0.5 * ((seen - predicted) ** 2 / spread + np.log(2 * np.pi * spread))
        most = logs.max(1, keepdims=True)
        evidence = most[:, 0] + np.log(np.exp(logs - most).sum(1))
        total += np.where(there, evidence, 0.0)
        after = logs - evidence[:, None]
        shifted = np.full((series, 1), np.log(hazard))  # all times together have probability 1
        grown = after + np.log1p(-hazard)
        since, sums = np.concatenate([shifted, grown], 1), np.concatenate([np.zeros((series, 1)), sums + seen], 1)
        if since.shape[1] > MOST_SINCE:
            kept = np.logaddexp(since[:, -2], since[:, -1])
            since = np.concatenate([since[:, :-2], kept[:, None]], 1)
            # The oldest two are one from here on: their sums are those of the longer time, scaled to the shorter one.
            scaled = sums[:, -1:] * (MOST_SINCE - 1) / MOST_SINCE
            sums = np.concatenate([sums[:, :-2], scaled], 1)
    return float(total.sum())


def fit_shifts(values: Float[np.ndarray, "series T"]) -> tuple[ShiftFit, dict[str, tuple[float, float]]]:
    """Hazard and size with the largest likelihood, and 95 % intervals of both.

    An interval reaches to the last point of the grid that the likelihood allows, and at least as far as the curvature at the
    maximum says: of a long table it is narrower than the grid.

    Args:
      values: as of `shift_log_likelihood`.
    """
    centre, width = np.log([0.02, 3.0]), np.asarray([3.0, 1.5])
    found: dict[tuple[float, float], float] = {}
    for _ in range(_ROUNDS):
        for hazard in np.clip(np.exp(centre[0] + width[0] * np.linspace(-1, 1, _PLACES)), 1e-5, 0.5):
            for size in np.exp(centre[1] + width[1] * np.linspace(-1, 1, _PLACES)):
                key = float(hazard), float(size)
                if key not in found:
                    found[key] = shift_log_likelihood(values, hazard=key[0], size=key[1])
        best = max(found, key=lambda key: found[key])
        centre, width = np.log(best), width * 2.2 / _PLACES
    near = [key for key, value in found.items() if value >= found[best] - _DROP]
    factors = np.exp(_half_widths(values, best, found[best]))
    intervals = {
        name: (
            min(best[place] / factors[place], *(key[place] for key in near)),
            max(best[place] * factors[place], *(key[place] for key in near)),
        )
        for place, name in enumerate(("hazard", "size"))
    }
    return ShiftFit(hazard=best[0], size=best[1], log_likelihood=found[best]), intervals


def _half_widths(values: Float[np.ndarray, "series T"], best: tuple[float, float], largest: float) -> Float[np.ndarray, "2"]:
    """Half the widths of 95 % intervals of ln(hazard) and ln(size) by the curvature; 0 where the likelihood is not curved."""

    def rise(hazard: int, size: int) -> float:
        at = np.asarray(best) * np.exp(_STEPS * (hazard, size))
        return shift_log_likelihood(values, hazard=float(at[0]), size=float(at[1])) - largest

    own = [rise(1, 0) + rise(-1, 0), rise(0, 1) + rise(0, -1)]
    both = (rise(1, 1) - rise(1, -1) - rise(-1, 1) + rise(-1, -1)) / 4
    information = -np.asarray([[own[0], both], [both, own[1]]]) / np.outer(_STEPS, _STEPS)
    if information[0, 0] <= 0 or np.linalg.det(information) <= 0:
        return np.zeros(2)
    return np.sqrt(2 * _DROP * np.diag(np.linalg.inv(information)))
