"""Demand of many products, estimated from prices and sales by maximum marginal likelihood.

    sales ~ Poisson(level · (price / reference)^−elasticity)

The level is log-uniform and the elasticity uniform between ends that all products share. Given the ends, the likelihood of a
product is the mean of its Poisson likelihood over the rectangle. Ends are those of a grid; they are improved in turn.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

ELASTICITIES = np.linspace(0.0, 6.0, 61)
"""Grid of elasticities, in steps of 0.1."""
_LEVELS, _ROUNDS = 81, 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemandFit:
    """Ends of the level, units a period at the reference price, and of the elasticity; nats."""

    level: tuple[float, float]
    elasticity: tuple[float, float]
    log_likelihood: float


def fit_demand(logs: list[Float[np.ndarray, " periods"]], sales: list[Float[np.ndarray, " periods"]]) -> DemandFit:
    """The ends with the largest marginal likelihood.

    Args:
      logs: of each product, ln(price / reference) in each period.
      sales: of each product, units in each period.
    """
    means = np.asarray([max(one.mean(), 0.05) for one in sales])
    widest = max(float(np.abs(one).max()) for one in logs) * ELASTICITIES[-1]
    levels = np.linspace(np.log(means.min()) - min(widest, 2.0), np.log(means.max()) + min(widest, 2.0), _LEVELS)
    images = np.stack([_image(levels, x, y) for x, y in zip(logs, sales, strict=True)])
    level, elasticity = (0, _LEVELS), (0, len(ELASTICITIES))
    best = -np.inf
    for _ in range(_ROUNDS):
        # The sum over a range of one axis is a difference of cumulative sums.
        level, _ = _best_range(images[:, :, elasticity[1]] - images[:, :, elasticity[0]])
        elasticity, found = _best_range(images[:, level[1], :] - images[:, level[0], :])
        found -= len(images) * np.log(level[1] - level[0])
        if found <= best + 1e-9:
            break
        best = found
    return DemandFit(
        level=_ends(np.exp(levels), level),
        elasticity=_ends(ELASTICITIES, elasticity),
        log_likelihood=float(best),
    )


def _image(levels: np.ndarray, x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "levels elasticities"]:
    """Cumulative sums of the likelihood of a product over both axes, from zero."""
    # Σ_t y (l - e x) - exp(l - e x), for every level l and elasticity e.
    expected = np.exp(-np.outer(ELASTICITIES, x)).sum(1)
    logs = y.sum() * levels[:, None] - ELASTICITIES[None] * (x @ y) - np.exp(levels)[:, None] * expected[None]
    likelihood = np.exp(logs - logs.max())
    image = np.zeros((len(levels) + 1, len(ELASTICITIES) + 1))
    image[1:, 1:] = likelihood.cumsum(0).cumsum(1)
    return image


def _best_range(cumulative: Float[np.ndarray, "products places"]) -> tuple[tuple[int, int], float]:
    """The range `[first, last)` of places whose mean likelihood, multiplied over products, is largest."""
    places = cumulative.shape[1]
    best, found = (0, places - 1), -np.inf
    for first in range(places - 1):
        means = cumulative[:, first + 1 :] - cumulative[:, first : first + 1]
        logs = np.log(np.maximum(means, 1e-300)).sum(0) - len(cumulative) * np.log(np.arange(1, places - first))
        last = int(logs.argmax())
        if logs[last] > found:
            best, found = (first, first + 1 + last), float(logs[last])
    return best, found


def _ends(grid: np.ndarray, chosen: tuple[int, int]) -> tuple[float, float]:
    return float(grid[chosen[0]]), float(grid[chosen[1] - 1])
