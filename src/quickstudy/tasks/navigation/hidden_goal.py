"""The common part of grid worlds with a hidden goal: tasks, episodes, exact references and baselines.

A task is a start and a goal. `floor` is exact: the expected number of steps on the goal under uniformly random actions, from
powers of their transition matrix. `ceiling` is exact too: the shortest way to the goal, and then staying there.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.models.hidden_goal import HiddenGoal, distances, neighbours, time_in_cells
from quickstudy.baselines.navigation.goal_search import (
    nearest_first_agent,
    planned_search_agent,
    planned_search_reaches,
    posterior_sampling_agent,
)
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Outcome, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

_MOST_TABLE_BYTES, _MOST_TABLE_WORK = 4e9, 1e13


@record
class HiddenGoalTask:
    """A start and a goal.

    `start`, `goal` `[]`: cells. `number` `[]` in [0, 1): not observed; it keeps the tasks of different splits apart.
    """

    start: Int[Array, ""]
    goal: Int[Array, ""]
    number: Float[Array, ""]


def check_grid(*, size: int, horizon: int) -> None:
    """Raises SpecError for a grid whose tables of distances and expected returns would take hours or all memory."""
    cells = size**2
    if 40 * cells**2 > _MOST_TABLE_BYTES or horizon * (cells**3 + 1e5) > _MOST_TABLE_WORK:
        raise SpecError(
            f"a grid of size {size:,} with a horizon of {horizon:,} is too large: its tables of distances and expected returns "
            "would take hours or all memory. Use a smaller size or horizon."
        )


def hidden_goal_tasks(
    problem: HiddenGoal, *, name: str, config: dict[str, int], held_out_goals: int, other_starts: dict[str, np.ndarray]
) -> TaskDistribution:
    """The task distribution of a hidden goal.

    Args:
      problem: start, goals and rewards of the splits `train` and `test`.
      name: of the distribution.
      config: the settings that it was made with.
      held_out_goals: number of goals that `test` draws and `train` does not; with 0 both draw all of them.
      other_starts: for every split with other starts, `[starts, goals]` bool by cells: the pairs of a start and a goal that
        are drawn, all with the same probability.
    Raises:
      SpecError: no goal left to train on.
    """
    if not 0 <= held_out_goals < len(problem.goals):
        raise SpecError(
            f"held_out_goals must be from 0 to {len(problem.goals) - 1}, so that one remains; came {held_out_goals}."
        )
    pairs = _pairs_by_split(problem, held_out_goals) | {
        split: np.argwhere(allowed).astype(np.int32) for split, allowed in other_starts.items()
    }
    splits = tuple(pairs)
    led = neighbours(problem.size)
    # The tables are small and the same for all tasks, so they become constants of the compiled program.
    visits = time_in_cells(problem.size, problem.horizon).astype(np.float32)
    steps = np.maximum(distances(problem.size), 1)
    at_best = np.maximum(problem.horizon + 1 - steps, 0).astype(np.float32)

    def sample(split: str, key: PRNGKeyArray) -> HiddenGoalTask:
        key_pair, key_number = jax.random.split(key)
        start, goal = jax.random.choice(key_pair, jnp.asarray(pairs[split]))
        number = mark_split(jax.random.uniform(key_number), split, splits)
        return HiddenGoalTask(start=start, goal=goal, number=number)

    def reset(task: HiddenGoalTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del key
        return task.start, task.start

    def step(task: HiddenGoalTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        cell = jnp.asarray(led)[state, action]
        reward = jnp.where(cell == task.goal, 1.0, problem.reward_elsewhere)
        no = jnp.asarray(False)
        return cell, Outcome(observation=cell, reward=reward, terminated=no, truncated=no)

    def describe(task: HiddenGoalTask) -> dict[str, Array]:
        places = {"start": task.start, "goal": task.goal}
        return {f"{place} (row, column)": jnp.stack(jnp.divmod(cell, problem.size)) for place, cell in places.items()}

    def expected_return(time_on_goal: np.ndarray, task: HiddenGoalTask) -> Array:
        return problem.lifetime_return(problem.episodes * jnp.asarray(time_on_goal)[task.start, task.goal])

    return TaskDistribution(
        name=name,
        config=config,
        spec=problem.spec,
        splits=splits,
        sample=sample,
        reset=reset,
        step=step,
        describe=describe,
        floor=partial(expected_return, visits),
        ceiling=partial(expected_return, at_best),
        baselines=_baselines(problem),
        shown=("start",),
    )


def _pairs_by_split(problem: HiddenGoal, held_out_goals: int) -> dict[str, np.ndarray]:
    """`[pairs, 2]` int32 of start and goal, for the splits that begin in `problem.start`."""
    goals = np.array(problem.goals)
    shuffled = np.random.default_rng(0).permutation(goals)
    trained_on, held_out = np.split(shuffled, [goals.size - held_out_goals])
    far = goals[4 * problem.steps_to_goal >= 3 * problem.steps_to_goal.max()]
    by_split = {"train": trained_on, "test": held_out if held_out_goals else trained_on, "ood:far-goals": far}
    return {
        split: np.stack([np.full_like(kept, problem.start), kept], axis=1).astype(np.int32) for split, kept in by_split.items()
    }


def _baselines(problem: HiddenGoal) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents; planning is included only where its path is proven to be optimal."""
    baselines: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, problem.spec),
        "posterior sampling": partial(posterior_sampling_agent, problem),
        "nearest-first sweep": partial(nearest_first_agent, problem),
    }
    if planned_search_reaches(problem):
        baselines["Bayes optimum (exact)"] = partial(planned_search_agent, problem)
    return baselines
