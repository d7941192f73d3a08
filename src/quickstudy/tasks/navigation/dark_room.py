"""Dark Room: somewhere in a room a hidden goal pays on every step that ends on it, and an agent observes only its own cell.

The setting of Laskin et al. 2022 (Algorithm Distillation).

- Drawn once per lifetime: the goal, any cell of the 9 x 9 room.
- Observation: the number of the agent's cell, 0 to 80, row by row from the lower left.
- Action: 0 stay, 1 up, 2 right, 3 down, 4 left. A move against a wall has no effect.
- Reward: 1 for a step that ends on the goal, else 0. Every episode begins in the middle, has 20 steps and never terminates.

In 20 steps at most a quarter of the room can be searched, so finding the goal takes several episodes. The source gives no
length of a lifetime; 10 episodes suffice to search the whole room with time left to use the result.

Splits. There are only 81 goals. `train` and `test` both draw from all of them, so `test` shows how well an agent searches, and
not whether it generalises to new goals. An unobserved number keeps the tasks of different splits apart (see `mark_split`).
With `held_out_goals`, that many goals are drawn by `test` alone; 16 is a fifth.

- `ood:far-goals`: only goals at three quarters of the largest distance or more.
- `ood:corner-start`: every episode begins in one of the four corners.

Floor and ceiling are exact. Expected return of ten episodes over the 81 goals: ceiling 165.43 (exact), nearest-first sweep
133.07 (exact), posterior sampling 44.0 (simulated), random 2.47 (exact). No agent that does not know the goal has a higher
expected return than 142.70 (`baselines.navigation.search_plan`); the Bayes optimum itself is known for rooms of up to 5 x 5.
Command: `pytest tests/golden/test_grid_searches.py`.
"""

import numpy as np

from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.navigation.hidden_goal import check_grid, hidden_goal_tasks


def dark_room(*, size: int = 9, horizon: int = 20, episodes: int = 10, held_out_goals: int = 0) -> TaskDistribution:
    """A goal hidden in a room, where searching costs only time.

    Args:
      size: cells along one side, at least 3; where it is even, the start lies to the upper right of the middle.
      horizon: steps in one episode, at least 2 (size // 2), so that every goal is within reach.
      episodes: number of episodes in one lifetime.
      held_out_goals: number of goals that only `test` draws; with 0, `train` and `test` draw from the same ones.
    Raises:
      SpecError: a size or a length out of range, or no goal left to train on.
    Example:
      >>> dark_room().spec.lifetime_steps
      200
    Source: Laskin et al. 2022, "Dark Room". Changed: the cell is seen as one number of 81, not as two coordinates.
    """
    if size < 3:
        raise SpecError(f"size must be 3 or more, so that there is something to search; came {size}.")
    check_grid(size=size, horizon=horizon)
    corner_start = np.zeros((size**2, size**2), bool)
    corner_start[[0, size - 1, size * (size - 1), size**2 - 1]] = True
    problem = HiddenGoal(
        size=size,
        start=(size // 2) * (size + 1),
        goals=tuple(range(size**2)),
        horizon=horizon,
        episodes=episodes,
        reward_elsewhere=0.0,
    )
    return hidden_goal_tasks(
        problem,
        name="dark-room",
        config={"size": size, "horizon": horizon, "episodes": episodes, "held_out_goals": held_out_goals},
        held_out_goals=held_out_goals,
        other_starts={"ood:corner-start": corner_start},
    )
