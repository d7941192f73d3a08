"""A goal hidden on a grid as an `AdaptiveProblem`, so that exact planning can be compared with the search of a grid."""

import numpy as np

from quickstudy.baselines.mdps.adaptive_problem import AdaptiveProblem, problem_of_hypotheses
from quickstudy.baselines.models.hidden_goal import HiddenGoal, neighbours


def problem_of_hidden_goal(grid: HiddenGoal) -> AdaptiveProblem:
    """The hypotheses are the cells that may hold the goal, in the order of `grid.goals`."""
    led = neighbours(grid.size)
    found = np.moveaxis(led[..., None] == np.array(grid.goals), -1, 0)
    chances = np.stack([~found, found], axis=-1).astype(np.float64)
    successor = np.repeat(led[..., None], 2, axis=-1)
    reward = np.broadcast_to([grid.reward_elsewhere, 1.0], successor.shape)
    return problem_of_hypotheses(grid.spec, chances=chances, successor=successor, reward=reward, start=grid.start)
