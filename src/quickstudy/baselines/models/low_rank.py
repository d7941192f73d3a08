"""Families of linear bandits whose arms share a few coordinates.

In the context c `[m]`, arm a pays Σ_j z_j M_j[a] · c / √m plus noise. The matrices M_j `[arms, m]` define the family and are
the same for all of its tasks. The coordinates z `[rank]` are those of one task.
"""

import numpy as np
from jaxtyping import Float

NOISE = 0.5
"""Standard deviation of a reward around its mean, in reward units, unless settings give another."""
RANK = 2
"""Coordinates of a task, unless settings give another number."""


def fixed_basis(rank: int, *, arms: int, size: int, number: int = 0) -> Float[np.ndarray, "rank arms size"]:
    """The matrices M_j of a family: independent N(0, 1/rank) numbers, so that each weight of an arm has variance 1 on average.

    Args:
      rank: number of matrices, at least 1.
      arms: rows of each matrix.
      size: columns of each matrix, which is the length of a context.
      number: 0 is the family that the baselines know; any other number is another family of the same kind.
    """
    drawn = np.random.default_rng([rank, arms, size, number]).standard_normal((rank, arms, size))
    return (drawn / rank**0.5).astype(np.float32)
