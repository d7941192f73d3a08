"""Two numbers that people know from experiments with variants: the lift in percent, and the probability of being best.

    lift                           (mean return of one / mean return of the other) − 1
    probability of being best      share of the bootstrap resamples in which a contender has the highest mean return

Both use the resamples of the intervals (`numerics/statistics.py`), so tasks are drawn jointly for all contenders.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws, Estimate


def lift_of(
    ours: Float[np.ndarray, "seeds tasks"],
    theirs: Float[np.ndarray, "others tasks"],
    resampled: Float[np.ndarray, " resamples"],
    resampled_theirs: Float[np.ndarray, " resamples"],
) -> Estimate | None:
    """The lift of one contender over another, as a fraction: 0.12 is 12 %.

    Args:
      ours, theirs: lifetime returns, in reward units.
      resampled, resampled_theirs: their means in every resample.
    Returns:
      None where the other's mean return is not above zero in every resample: a percentage of it would mean nothing.
    """
    if theirs.mean() <= 0 or (resampled_theirs <= 0).any():
        return None
    value = ours.mean(dtype=np.float64) / theirs.mean(dtype=np.float64) - 1
    return statistics.estimate(float(value), resampled / resampled_theirs - 1)


def probabilities_of_being_best(
    returns: Mapping[str, Float[np.ndarray, "seeds tasks"]], draws: Mapping[str, Draws]
) -> dict[str, float]:
    """For each contender, the share of resamples in which it has the highest mean return. Equal contenders share a resample.

    Args:
      returns: lifetime returns by contender, in reward units.
      draws: resamples by contender.
    """
    means = np.stack([statistics.resampled_means(values, draws[name]) for name, values in returns.items()])
    best = means == means.max(0)
    return dict(zip(returns, (best / best.sum(0)).mean(1).tolist(), strict=True))
