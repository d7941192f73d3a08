"""The learning that happens within a lifetime, as evaluations during training measure it: the return so far, at some points.

Each evaluation during training runs held-out lifetimes anyway. Their mean return so far costs one more sum, and goes to a file
of its own. Nothing of it enters the update, so parameters and metrics are the same with it and without it.
"""

from typing import Any

import numpy as np

from quickstudy.storage.plain import to_plain
from quickstudy.training.lifetime_source import HeldOut

MOST_POINTS = 64
"""Points along a lifetime; a lifetime with fewer steps has one for each step."""
_DIGITS = 5


def points_of(lifetime_steps: int) -> tuple[int, ...]:
    """The steps, counted from 1, after which the return so far is kept: evenly spaced, with the first and the last one.

    Args:
      lifetime_steps: of a lifetime.
    """
    count = min(MOST_POINTS, lifetime_steps)
    return tuple(int(step) for step in np.linspace(1, lifetime_steps, count).round())


def within_line(held_out: HeldOut) -> dict[str, Any]:
    """What a line of the file holds beside the number of the update: `points` in steps, and `return_so_far` `[seeds, points]`.

    Args:
      held_out: an evaluation during training.
    """
    return {"points": list(held_out.steps), "return_so_far": to_plain(held_out.so_far.tolist(), digits=_DIGITS)}
