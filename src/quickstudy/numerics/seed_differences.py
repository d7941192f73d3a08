"""The difference between two agents over their training seeds, where the seeds of the two agents are independent."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from quickstudy.numerics.statistics import Estimate

_LEVEL = 0.95


def mean_difference(ours: Float[np.ndarray, " seeds"], theirs: Float[np.ndarray, " others"]) -> Estimate | None:
    """The mean of ours minus the mean of theirs, with the 95 % interval of Welch's t test.

        d = m₁ − m₂        w_i = s_i² / n_i        d ± t(ν) √(w₁ + w₂)        ν = (w₁ + w₂)² / Σ w_i² / (n_i − 1)

    Args:
      ours: one number for each training seed, such as a held-out return.
      theirs: the same of another agent; the numbers of seeds may differ.
    Returns:
      None where one of them has a single seed: its variance is not known.
    Source: Welch 1947. Changed: the interval is the difference alone where no seed differs from another.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    difference = float(np.mean(ours) - np.mean(theirs))
    parts = np.asarray([np.var(values, ddof=1) / len(values) for values in (ours, theirs)])
    if not parts.sum() > 0:
        return Estimate(value=difference, low=difference, high=difference)
    share = parts / parts.sum()
    freedom = 1 / (share**2 / (np.asarray([len(ours), len(theirs)]) - 1)).sum()
    half = float(stats.t.ppf((1 + _LEVEL) / 2, freedom) * parts.sum() ** 0.5)
    return Estimate(value=difference, low=difference - half, high=difference + half)
