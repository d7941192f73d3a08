"""Dark Room: somewhere in a room a goal pays on every step that ends on it, and nothing but one's own place is seen.

The setting of Laskin et al. 2022 (Algorithm Distillation): a 9 x 9 room; every episode begins in its middle; the goal may be
any cell; a step that ends on it pays 1 and any other 0; an episode has 20 steps and never ends before. There are five
actions: stay, up, right, down, left. In 20 steps no more than a quarter of the room is seen, so that it takes episodes to find
the goal. How many make a lifetime is not part of that setting; 10 suffice to search all of the room with time left to profit.

Splits. There are 81 goals, no more. `train` and `test` both draw from all of them, so that `test` says how well an agent
searches, not whether it generalises to new goals; a number that nobody sees keeps the tasks apart (see `mark_split`). With
`held_out_goals`, so many of the goals are drawn by `test` alone; 16 is a fifth.

- `ood:far-goals`: only goals at three quarters of the farthest one's distance or more.
- `ood:corner-start`: every episode begins in one of the four corners.

Expected ten-episode return over the 81 goals: one who knows the goal 165.43 (exact), nearest-first sweep 133.07 (exact),
posterior sampling 44.0 (simulated), random 2.47 (exact). No agent that does not know the goal earns more than 142.70
(`baselines.search_plan`); the Bayes optimum itself is known for rooms of up to 5 x 5.
"""

import numpy as np

from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.navigation.hidden_goal import hidden_goal_tasks


def dark_room(*, size: int = 9, horizon: int = 20, episodes: int = 10, held_out_goals: int = 0) -> TaskDistribution:
    """A goal hidden in a room, without any cost of searching but time.

    Args:
      size: cells along one side, at least 3; where it is even, the start lies to the upper right of the middle.
      horizon: steps in one episode, at least 2 (size // 2), so that every goal is within reach.
      episodes: in one lifetime.
      held_out_goals: how many goals only `test` draws; with 0, `train` and `test` draw from the same ones.
    Raises:
      SpecError: a size or a length out of range, or no goal left to train on.
    Example:
      >>> dark_room().spec.lifetime_steps
      200
    Source: Laskin et al. 2022, "Dark Room". Changed: the cell is seen as one number of 81, not as two coordinates.
    """
    if size < 3:
        raise SpecError(f"size must be 3 or more, so that there is something to search; came {size}.")
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
