"""Grid navigation: a goal hidden on a grid is found once and then walked to; every step that does not end on it costs a
little.

The setting of Zintgraf et al. 2020 (VariBAD, section 5.1).

- Drawn once per lifetime: the goal, one of the 21 cells of a 5 x 5 grid that are neither the start nor next to it (diagonally
  or not).
- Observation: the number of the agent's cell, 0 to 24, row by row from the lower left.
- Action: 0 stay, 1 up, 2 right, 3 down, 4 left. A move against a wall has no effect.
- Reward: 1 for a step that ends on the goal, else -0.1. Every episode begins in the lower left corner, has 15 steps and never
  terminates. A lifetime has 4 episodes.

Splits. There are only 21 goals, and as in the literature `train` and `test` both draw from all of them. So `test` shows how
well an agent searches, and not whether it generalises to new goals. An unobserved number keeps the tasks of different splits
apart (see `mark_split`). With `held_out_goals`, that many goals are drawn by `test` alone. The best agent for the training
goals then has no reason to search there, so the result on `test` measures generalisation.

- `ood:far-goals`: only goals at three quarters of the largest distance or more.
- `ood:other-corner`: every episode begins in one of the other three corners, and the goal is not next to it.

Floor and ceiling are exact. Expected return of four episodes over the 21 goals: ceiling 44.286 (exact), Bayes optimum 37.214
(exact; by a search over all paths that could be better, `baselines.navigation.search_plan`), nearest-first sweep 36.90
(exact), posterior sampling 11.7 (simulated), random -4.66 (exact). Command: `pytest tests/golden/test_grid_searches.py`.
"""

import numpy as np

from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.navigation.hidden_goal import check_grid, hidden_goal_tasks


def grid_navigation(*, size: int = 5, horizon: int = 15, episodes: int = 4, held_out_goals: int = 0) -> TaskDistribution:
    """A goal hidden on a grid, with a cost for every step elsewhere.

    Args:
      size: cells along one side, at least 3.
      horizon: steps in one episode, at least 2 (size - 1), so that every goal is within reach.
      episodes: number of episodes in one lifetime.
      held_out_goals: number of goals that only `test` draws; with 0, `train` and `test` draw from the same ones.
    Raises:
      SpecError: a size or a length out of range, or no goal left to train on.
    Example:
      >>> grid_navigation().spec.lifetime_steps
      60
    Source: Zintgraf et al. 2020, section 5.1. Changed: the cell is seen as one number of 25, not as two coordinates.
    """
    if size < 3:
        raise SpecError(f"size must be 3 or more, so that some cell is not next to the start; came {size}.")
    check_grid(size=size, horizon=horizon)
    corners = np.array([0, size - 1, size * (size - 1), size**2 - 1])
    apart = _not_adjacent(size)
    other_corner = np.zeros_like(apart)
    other_corner[corners[1:]] = apart[corners[1:]]
    problem = HiddenGoal(
        size=size,
        start=0,
        goals=tuple(np.flatnonzero(apart[0]).tolist()),
        horizon=horizon,
        episodes=episodes,
        reward_elsewhere=-0.1,
    )
    return hidden_goal_tasks(
        problem,
        name="grid-navigation",
        config={"size": size, "horizon": horizon, "episodes": episodes, "held_out_goals": held_out_goals},
        held_out_goals=held_out_goals,
        other_starts={"ood:other-corner": other_corner},
    )


def _not_adjacent(size: int) -> np.ndarray:
    """`[cells, cells]`: neither the same cell nor one of its eight neighbours."""
    row, column = np.divmod(np.arange(size**2), size)
    return np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column)) > 1
