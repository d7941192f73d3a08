"""The best order in which to search a grid for a hidden goal, by a search over all orders.

Until the goal is found nothing is learned but where it is not, so a policy is one path through all episodes; afterwards it
walks straight to the goal and stays. If the path first ends a step on goal g in episode e (from 0) at step t (from 1), then
with horizon H, E episodes, and d the steps from the start to g,

    steps on the goal = (H + 1 - t) + (E - 1 - e) (H + 1 - d)

and the value of a path is the mean of this over the goals. Layer by layer over the steps of the lifetime, all pairs of a cell
and a set of goals still to be searched are kept, each with the best path that leads there, but for those whose upper bound
falls short of what is known to be possible: as if from the nearest unsearched goal on every step of the episode found a new
one, and every step of the next episode from its earliest useful one on.
"""

import functools
from typing import NamedTuple

import numpy as np

from quickstudy.baselines.models.hidden_goal import HiddenGoal, distances, neighbours

MOST_CELLS = 25
_BEAM = 1_000
_PROOF = 200_000


class SearchPlan(NamedTuple):
    """A path and its value.

    `cell` `[T]` int32: the cell after each step of the lifetime while the goal is not found. `steps_on_goal`: of a lifetime,
    expected over the goals. `bound`: an upper bound over all paths; equal to `steps_on_goal` where the path is proven optimal.
    """

    cell: np.ndarray
    steps_on_goal: float
    bound: float


class _Paths(NamedTuple):
    """`unsearched` `[paths, goals]`, `cell` `[paths]` where they end, `total` `[paths]` steps on the goal, over all goals."""

    unsearched: np.ndarray
    cell: np.ndarray
    total: np.ndarray


class _Found(NamedTuple):
    """The best path found (`cell` is empty if none is good enough), the highest bound, and whether nothing was left out."""

    cell: np.ndarray
    total: int
    bound: int
    complete: bool


@functools.lru_cache(maxsize=8)
def plan_search(problem: HiddenGoal) -> SearchPlan:
    """The best path for a grid of up to `MOST_CELLS` cells, with proof; a good one and a bound for larger ones.

    A beam search finds a good path; where the grid is small, a search over everything that could be better than it follows.

    Args:
      problem: start, goals, lengths and rewards, which are known before the first step.
    """
    found = _search(problem, at_least=0, width=_BEAM)
    bound = found.total if found.complete else found.bound
    if found.total < bound and problem.cells <= MOST_CELLS:
        better = _search(problem, at_least=found.total + 1, width=_PROOF)
        found = better if better.cell.size else found
        bound = found.total if better.complete else bound
    found.cell.setflags(write=False)
    return SearchPlan(found.cell, found.total / len(problem.goals), bound / len(problem.goals))


def _search(problem: HiddenGoal, *, at_least: int, width: int) -> _Found:
    """Searches all paths whose bound is `at_least` so much, but no more than the best `width` of each layer."""
    goals = len(problem.goals)
    paths = _Paths(np.ones((1, goals), bool), np.array([problem.start]), np.zeros(1, np.int64))
    history: list[tuple[np.ndarray, np.ndarray]] = []
    highest, complete = 0, True
    for slot in range(problem.episodes * problem.horizon):
        parent, following = _one_step(problem, paths, slot)
        bound = following.total + _most_to_come(problem, following, slot)
        highest = highest if history else int(bound.max())
        kept = _best_of_each(following, bound, at_least)
        if not kept.size:
            return _Found(np.zeros(0, np.int32), 0, highest, complete)
        complete = complete and kept.size <= width
        kept = kept[:width]
        paths = _Paths(*(array[kept] for array in following))
        history.append((parent[kept], paths.cell))
    best = int(paths.total.argmax())
    total, cells = int(paths.total[best]), []
    for parent, cell in reversed(history):
        cells.append(cell[best])
        best = parent[best]
    return _Found(np.array(cells[::-1], np.int32), total, highest, complete)


def _one_step(problem: HiddenGoal, paths: _Paths, slot: int) -> tuple[np.ndarray, _Paths]:
    """All paths that are one step longer, and which of `paths` each continues."""
    episode, step = divmod(slot, problem.horizon)
    begun = paths.cell if step else np.full_like(paths.cell, problem.start)
    led = neighbours(problem.size)[begun]
    parent = np.repeat(np.arange(begun.size), led.shape[1])
    cell, total = led.ravel().astype(np.int64), paths.total[parent]
    unsearched = paths.unsearched[parent]
    now = unsearched & (cell[:, None] == np.array(problem.goals))
    left = problem.horizon - step
    worth = left + (problem.episodes - 1 - episode) * (problem.horizon + 1 - problem.steps_to_goal)
    return parent, _Paths(unsearched & ~now, cell, total + now @ worth)


def _most_to_come(problem: HiddenGoal, paths: _Paths, slot: int) -> np.ndarray:
    """`[paths]`: an upper bound of the steps on the goals not searched yet, `slot` being the last one that was played.

    A goal that is found in a later episode always has a lower return than at any step of an earlier one, since t >= d. So the
    bound fills this episode first, with the nearest goals, since those lose most by being put off, and then the next.
    """
    horizon, away = problem.horizon, problem.steps_to_goal
    episode, step = divmod(slot, horizon)
    later_episodes = problem.episodes - 1 - episode
    order = np.argsort(away, kind="stable")
    unsearched, away = paths.unsearched[:, order], away[order]
    reach = distances(problem.size)[:, np.array(problem.goals)[order]][paths.cell]
    nearest = np.where(unsearched, reach, horizon).min(axis=1)
    # Steps are counted from 1: `step + 1` was the last one played.
    first = step + 1 + np.maximum(nearest, 1)
    rank = unsearched.cumsum(axis=1)
    count = rank[:, -1]
    here = np.clip(horizon + 1 - first, 0, count)
    most = here * (horizon + 1) - (here * first + here * (here - 1) // 2)
    most += later_episodes * (unsearched @ (horizon + 1 - away))
    if later_episodes:
        put_off = unsearched & (rank > here[:, None])
        # The i-th goal found in an episode is found no sooner than i - 1 steps after the nearest one can be.
        earliest = np.minimum(away[0] + np.arange(away.size), horizon)
        late = np.concatenate([[0], earliest.cumsum()])[count - here] - put_off @ away
        most -= np.maximum(late, 0)
    return most


def _best_of_each(paths: _Paths, bound: np.ndarray, at_least: int) -> np.ndarray:
    """Numbers of the best path to each pair of a cell and a set of goals, the highest bounds first."""
    able = np.flatnonzero(bound >= at_least)
    able = able[np.lexsort((-paths.total[able], -bound[able]))]
    if not able.size:
        return able
    where = np.concatenate([np.packbits(paths.unsearched[able], axis=1), paths.cell[able, None].view(np.uint8)], axis=1)
    as_one = np.ascontiguousarray(where).view(f"V{where.shape[1]}").ravel()
    # Of paths to one pair the bounds differ as the totals do, so the first is the best.
    return able[np.sort(np.unique(as_one, return_index=True)[1])]
