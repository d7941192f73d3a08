"""Whether a normalised score means anything: if floor and ceiling nearly coincide, it is noise divided by a small number.

    the way      mean ceiling - mean floor
    its noise    half width of the 95 % interval of mean (return - floor), over tasks; of the contender with the narrowest

There is no score where the noise is more than `MOST_NOISE` of the way. The rule is for all contenders of an evaluation at once,
since scores are there to be compared. More tasks make the noise smaller. Training seeds do not count: where they differ, the
score has a wide interval, and that says something about the agent.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from quickstudy.evaluation.measures import Anchors
from quickstudy.evaluation.numbers import number, percent

MOST_NOISE = 0.25


def why_no_score(returns: Iterable[Float[np.ndarray, "seeds tasks"]], anchors: Anchors) -> str:
    """Why there is no normalised score, in words; empty where there is one, or where floor or ceiling is not known.

    Args:
      returns: of each contender's lifetimes.
      anchors: of the same tasks.
    """
    if anchors.floor is None or anchors.ceiling is None:
        return ""
    way, tasks = float((anchors.ceiling - anchors.floor).mean()), len(anchors.floor)
    if way <= 0:
        return f"The mean ceiling is not above the mean floor (difference {number(way)}), so there are no normalised scores."
    noise = min(_half_width(of_one.mean(0) - anchors.floor) for of_one in returns)
    if noise <= MOST_NOISE * way:
        return ""
    wanted = _round_up(tasks * (noise / (MOST_NOISE * way)) ** 2)
    return (
        f"The returns of random actions and of an agent that knows the task differ by {number(way)} only, and the mean return "
        f"is known to ±{number(noise)}. So there are no normalised scores. For scores, the mean return must be known to "
        f"{percent(MOST_NOISE)} of that difference: measure on about {wanted:,} tasks."
    )


def _half_width(values: Float[np.ndarray, " tasks"]) -> float:
    return float(1.96 * values.std() / np.sqrt(len(values)))


def _round_up(count: float) -> int:
    """A count in two digits, not below it."""
    unit = 10 ** max(0, len(str(int(count))) - 2)
    return int(-(-count // unit)) * unit
