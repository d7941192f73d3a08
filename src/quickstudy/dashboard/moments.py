"""The return within a task at several moments of meta-training: how the learning algorithm itself is learned.

Evaluations during training write it beside the metrics of a run (`within.jsonl`). Runs of earlier versions have no such file.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.dashboard.stored_evaluations import Measure
from quickstudy.storage.metrics_sample import evenly_chosen_lines
from quickstudy.storage.run_folder import WITHIN

MOST = 12
"""Moments that are shown. They are closer together at the beginning of training, where more is learned."""
_LOOKED_AT = 240
"""Lines of the file that are parsed, evenly chosen. The moments are chosen among them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Curves within a task, one for each moment of training.

    Args:
      measure: of the curves.
      trained_steps: `[moments]`, environment steps of a seed that training had taken.
      steps: `[points]`, steps in the task, counted from 1.
      values: `[moments, points]`, return or regret so far, mean over seeds and held-out tasks, reward units.
    """

    measure: Measure
    trained_steps: tuple[int, ...]
    steps: tuple[int, ...]
    values: Float[np.ndarray, "moments points"]

    def at(self, share: float) -> list[float]:
        """The values of all moments after a share of the lifetime.

        Args:
          share: of the steps, in (0, 1].
        """
        return self.values[:, int(np.searchsorted(self.steps, share * self.steps[-1]))].tolist()


def read_moments(folder: Path, measure: Measure, *, ceiling: float | None) -> Moments | None:
    """The moments of a run; None where there are none.

    Args:
      folder: of the run.
      measure: of the curves.
      ceiling: mean lifetime return of an agent that knows the task, which the regret is counted from; None where unknown.
    Raises:
      UsageError: the file of the run is too large, or something else than a file.
    """
    lines = evenly_chosen_lines(folder / WITHIN, most=_LOOKED_AT, names=("steps", "return_so_far"), parsed=True).lines
    rows = [(line["steps"], line["points"], line["return_so_far"]) for line in lines if _is_sound(line)]
    rows = [row for row in rows if row[1] == rows[-1][1]]
    if not rows or (measure == "regret" and ceiling is None):
        return None
    rows = [rows[place - 1] for place in np.unique(np.geomspace(1, len(rows), MOST).round().astype(int))]
    steps = tuple(rows[-1][1])
    values = np.array([np.mean(np.array(seeds, float), axis=0) for _, _, seeds in rows])
    if measure == "regret" and ceiling is not None:
        values = ceiling * np.array(steps) / steps[-1] - values
    return Moments(measure=measure, trained_steps=tuple(row[0] for row in rows), steps=steps, values=values)


def _is_sound(line: dict[str, Any]) -> bool:
    """Whether a line has points in increasing order, and as many finite values for each seed."""
    steps, points, seeds = (line.get(name) for name in ("steps", "points", "return_so_far"))
    if type(steps) is not int or not isinstance(points, list) or not points or not isinstance(seeds, list) or not seeds:
        return False
    if not all(type(one) is int for one in points) or points[0] < 1 or any(b <= a for a, b in itertools.pairwise(points)):
        return False
    if not all(isinstance(row, list) and len(row) == len(points) for row in seeds):
        return False
    return all(type(one) in (int, float) and np.isfinite(one) for row in seeds for one in row)
