"""The exact plan for two arms: dense backward induction over (successes, failures) of both.

A lifetime of n pulls has C(n + 3, 4) beliefs to act in, 4.4 million for 100 pulls. They are numbered without gaps: with
successes and failures a1, b1, a2, b2,

    number = C(a1, 1) + C(a1 + b1 + 1, 2) + C(a1 + b1 + a2 + 2, 3) + C(a1 + b1 + a2 + b2 + 3, 4)
"""

import functools
from typing import Any, NamedTuple

import numpy as np

MOST_PULLS = 100


class PlanOfTwoArms(NamedTuple):
    """`value`: expected return of a whole lifetime. `arm` `[beliefs]` int8: the arm, 0 or 1, to pull in each belief."""

    value: float
    arm: np.ndarray


@functools.lru_cache(maxsize=4)
def plan_of_two_arms(pulls: int) -> PlanOfTwoArms:
    """Solves the two-armed bandit by backward induction.

    Args:
      pulls: from 1 to `MOST_PULLS`.
    """
    arm = np.zeros((pulls + 2) * (pulls + 1) * pulls * (pulls + 3) // 24, np.int8)
    value = np.zeros((pulls + 1,) * 3)
    for made in range(pulls - 1, -1, -1):
        value, prefers_second = _layer(value, made)
        a1, b1, a2 = np.nonzero(_possible(made))
        arm[belief_number(a1, b1, a2, made - a1 - b1 - a2)] = prefers_second[a1, b1, a2]
    arm.setflags(write=False)
    return PlanOfTwoArms(float(value[0, 0, 0]), arm)


def belief_number(a1: Any, b1: Any, a2: Any, b2: Any) -> Any:
    """The number of a belief, given successes and failures of the first and of the second arm: ints, NumPy or JAX arrays."""
    x2 = a1 + b1 + 1
    x3 = x2 + a2 + 1
    x4 = x3 + b2 + 1
    return a1 + x2 * (x2 - 1) // 2 + x3 * (x3 - 1) * (x3 - 2) // 6 + x4 * (x4 - 1) * (x4 - 2) * (x4 - 3) // 24


def _layer(following: np.ndarray, made: int) -> tuple[np.ndarray, np.ndarray]:
    """One step back: the values `[made + 1] * 3` over (a1, b1, a2) after `made` pulls, and where the second arm is better.

    The failures of the second arm are what remains, b2 = made - a1 - b1 - a2. Cells where that is negative are never
    read.
    """
    a1, b1, a2 = _grid(made)
    first = (a1 + 1.0) / (a1 + b1 + 2.0)
    second = (a2 + 1.0) / (np.maximum(made - a1 - b1, a2) + 2.0)
    here = following[:-1, :-1, :-1]
    worth_first = first * (1.0 + following[1:, :-1, :-1]) + (1.0 - first) * following[:-1, 1:, :-1]
    worth_second = second * (1.0 + following[:-1, :-1, 1:]) + (1.0 - second) * here
    return np.maximum(worth_first, worth_second), worth_second > worth_first


def _possible(made: int) -> np.ndarray:
    a1, b1, a2 = _grid(made)
    return a1 + b1 + a2 <= made


def _grid(made: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The axes (a1, b1, a2), ready to broadcast."""
    axis = np.arange(made + 1)
    return axis[:, None, None], axis[None, :, None], axis[None, None, :]
