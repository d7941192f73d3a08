"""Whether the held-out return was still rising when a run ended, and what to try then.

The evaluations of a run are cut into two halves, and the second half into two parts of equal length. The return rose at the end
if the mean of the last part is above that of the part before it by more than two standard errors. The standard error comes from
the differences of neighbouring evaluations of the second half, which hold the noise and little of the trend.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.settings import plain_settings

LEAST_EVALUATIONS = 12
"""Fewer do not tell a trend from noise."""
_ERRORS = 2.0

Trend = Literal["rising", "flat", "falling"]


def trend_at_end(evaluations: Sequence[tuple[int, list[float]]]) -> Trend | None:
    """The trend of the held-out return at the end of a run; None where there are fewer than `LEAST_EVALUATIONS`.

    Args:
      evaluations: steps, and held-out returns over seeds, oldest first.
    """
    returns = np.asarray([np.mean(values) for _, values in evaluations], np.float64)
    if len(returns) < LEAST_EVALUATIONS or not np.isfinite(returns).all():
        return None
    last = returns[-2 * (len(returns) // 4) :]
    part = len(last) // 2
    change = last[part:].mean() - last[:part].mean()
    noise = np.diff(last).std() / np.sqrt(2)
    error = noise * np.sqrt(2 / part)
    if abs(change) <= _ERRORS * error:
        return "flat"
    return "rising" if change > 0 else "falling"


def advice(evaluations: Sequence[tuple[int, list[float]]], algorithm: MetaAlgorithm) -> str | None:
    """What the end of a run says about its held-out return, and what to try; None where too little is known.

    Args:
      evaluations: as of `trend_at_end`.
      algorithm: that was trained; only settings that it has are named.
    """
    trend = trend_at_end(evaluations)
    if trend is None:
        return None
    if trend == "rising":
        return "The held-out return was still rising at the end. Go on with --resume and a longer --budget."
    settings = plain_settings(algorithm.config)
    tries = []
    if settings.get("teacher", 0) in (None, ""):
        tries.append("a baseline as its teacher (--teacher)")
    if "cell" in settings:
        tries.append(f"another memory than {settings['cell']} (--cell)")
    if "learning_rate" in settings:
        tries.append("another --learning-rate")
    found = "did not rise any more at the end" if trend == "flat" else "was falling at the end"
    other = f" Try {', '.join(tries[:-1])}{' or ' if tries[:-1] else ''}{tries[-1]}." if tries else ""
    return f"The held-out return {found}. A longer budget by itself will hardly help.{other}"
