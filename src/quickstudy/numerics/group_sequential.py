"""Boundaries of group-sequential tests: a standardised sum that is tested K times, after equal amounts of information."""

import functools
import math

import numpy as np
from jaxtyping import Float

_POINTS = 161
_BISECTIONS = 40


def crossing_probability(boundary: Float[np.ndarray, " looks"]) -> float:
    """Probability that |z_t| exceeds boundary[t] at some look, where z_t is the mean of t standard normals times √t.

    Args:
      boundary: of each look, in standard deviations; positive.
    Returns:
      The probability under the null hypothesis, by integration over the values at which a test is still going on.
    Example:
      >>> round(crossing_probability(np.float64([1.96])), 3)
      0.05
    Source: Armitage, McPherson and Rowe 1969. Changed: nothing.
    """
    inside, density, grid = 1.0, np.ones(1), np.zeros(1)
    for look, bound in enumerate(np.asarray(boundary, np.float64), start=1):
        edge = bound * math.sqrt(look)  # the test goes on while the sum is within the edge
        after = np.linspace(-edge, edge, _POINTS)
        kernel = np.exp(-np.square(after[:, None] - grid[None]) / 2) / math.sqrt(2 * math.pi)
        density = kernel @ density
        weights = _simpson(after)
        inside = float(weights @ density)
        grid, density = after, density * weights
    return 1.0 - inside


@functools.cache
def boundary_constant(looks: int, level: float, power: float) -> float:
    """The constant c with which the boundary c (K / t)^power keeps a two-sided test of K looks at its level.

    Args:
      looks: K, at least 1.
      level: probability of a false rejection, in (0, 1).
      power: 0 is the test of Pocock 1977, 1/2 that of O'Brien and Fleming 1979.
    Example:
      >>> round(boundary_constant(5, 0.05, 0.5), 3)
      2.04
    """
    low, high = 0.5, 8.0
    shape = (looks / np.arange(1.0, looks + 1)) ** power
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if crossing_probability(middle * shape) > level else (low, middle)
    return high


def _simpson(points: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights of Simpson's rule on an odd number of even points."""
    weights = np.where(np.arange(len(points)) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    return weights * (points[1] - points[0]) / 3
