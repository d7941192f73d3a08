"""A point that is pulled towards the origin, pushed by the agent, and carried away by a constant drift.

    x' = KEPT x + u + w + noise        a step costs |x'|² + ρ |u|²

x is the place, u the push and w the drift, each `[n]`, in units of length and of one step.
"""

import numpy as np
from jaxtyping import Float

KEPT = 0.8
"""Fraction of the place that remains after one step without drift and push."""
START = 0.5
"""Standard deviation of each coordinate of the place in which an episode begins."""
WIND = 0.4
"""Standard deviation of each coordinate of the drift over tasks, unless settings give another."""
NOISE = 0.2
"""Standard deviation of each coordinate of the noise of one step, unless settings give another."""
EFFORT = 0.1
"""Price ρ of the squared push, unless settings give another."""


def system(dimensions: int) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """A and B, each `[n, n]`, of x' = A x + B u + w + noise."""
    return KEPT * np.eye(dimensions), np.eye(dimensions)
