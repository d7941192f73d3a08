"""Grid navigation: a goal hidden on a grid, found once and then walked to; every step that does not end on it costs a little.

The setting of Zintgraf et al. 2020 (VariBAD, section 5.1): a 5 x 5 grid; every episode begins in the lower left corner; the
goal is one of the 21 cells that are neither that corner nor one of its three neighbours (the diagonal one among them); a step
that ends on the goal pays 1 and any other -0.1; an episode has 15 steps and never ends before; the goal stays for 4 episodes.
The cell that one is in is all that is seen. There are five actions: stay, up, right, down, left.

Splits. There are 21 goals, no more, and as in the literature `train` and `test` both draw from all of them: `test` then says
how well an agent searches, not whether it generalises to new goals. A number that nobody sees keeps the tasks apart (see
`mark_split`). With `held_out_goals`, so many of the goals are drawn by `test` alone; the best agent for the training goals then
has no reason to look there, and what it does is a test of generalisation.

- `ood:far-goals`: only goals at three quarters of the farthest one's distance or more.
- `ood:other-corner`: every episode begins in one of the other three corners, and the goal lies outside its neighbourhood.

Expected four-episode return over the 21 goals: one who knows the goal 44.286 (exact), Bayes optimum 37.214 (exact; a search
over all paths that could be better, see `baselines.search_plan`), nearest-first sweep 36.90 (exact), posterior sampling 11.7
(simulated), random -4.66 (exact).
"""

import numpy as np

from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.navigation.hidden_goal import hidden_goal_tasks


def grid_navigation(*, size: int = 5, horizon: int = 15, episodes: int = 4, held_out_goals: int = 0) -> TaskDistribution:
    """A goal hidden on a grid, with a cost for every step elsewhere.

    Args:
      size: cells along one side, at least 3.
      horizon: steps in one episode, at least 2 (size - 1), so that every goal is within reach.
      episodes: in one lifetime.
      held_out_goals: how many goals only `test` draws; with 0, `train` and `test` draw from the same ones.
    Raises:
      SpecError: a size or a length out of range, or no goal left to train on.
    Example:
      >>> grid_navigation().spec.lifetime_steps
      60
    Source: Zintgraf et al. 2020, section 5.1. Changed: the cell is seen as one number of 25, not as two coordinates.
    """
    if size < 3:
        raise SpecError(f"size must be 3 or more, so that some cell lies away from the start; came {size}.")
    corners = np.array([0, size - 1, size * (size - 1), size**2 - 1])
    apart = _lies_apart(size)
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


def _lies_apart(size: int) -> np.ndarray:
    """`[cells, cells]`: neither the same cell nor one of its eight neighbours."""
    row, column = np.divmod(np.arange(size**2), size)
    return np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column)) > 1
