"""What of a task can be read off the observations.

A leaf of the task leaks when a number in the observation is an affine copy of a number in it (or a one-hot
code of one is a copy of the other) over all tasks, *whatever is done*. So each task is played with its own key
and its own random actions: a successor that depends on task and action together, as in learning to steer, is
not a copy.
"""

from collections.abc import Iterator

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.checks.trees import plain

_MOST_CODES = 64
_FEWEST_TASKS_EACH = 5
_MOST_NUMBERS = 4096
_MOST_SEEN = 2**24
_COPY = 1.0 - 1e-6


def leaks_at_reset(distribution: TaskDistribution | HostDistribution, tasks: PyTree, observation: np.ndarray) -> list[str]:
    """What the observation after a reset shows of the task.

    Args:
      distribution: whose `shown` leaves are left out.
      tasks: leading axis `[tasks]`.
      observation: `[tasks, ...]`, each drawn with a key of its own.
    Returns:
      One sentence for every leaf that leaks.
    """
    task_of_row = np.arange(observation.shape[0])
    return list(_leaks(distribution, tasks, observation, task_of_row))


def leaks_later(
    distribution: TaskDistribution | HostDistribution, tasks: PyTree, observation: np.ndarray, valid: np.ndarray
) -> list[str]:
    """What all the observations after the first show of the task, at every step alike.

    A single successor may well be feedback about the task, so episodes of one step are not judged. Of large observations, such
    as pictures, the first steps are looked at.

    Args:
      distribution: whose `shown` leaves are left out.
      tasks: leading axis `[tasks]`.
      observation: `[tasks, horizon, ...]`, successors of random actions.
      valid: `[tasks, horizon]`, the episode was still going on.
    Returns:
      One sentence for every leaf that leaks.
    """
    if not valid[:, 1:].any():
        return []
    numbers = min(_MOST_NUMBERS, observation[0, 0].size)
    steps = max(2, _MOST_SEEN // (len(valid) * numbers))
    task_of_row, slot = np.nonzero(valid[:, :steps])
    return list(_leaks(distribution, tasks, observation[task_of_row, slot], task_of_row))


def _leaks(
    distribution: TaskDistribution | HostDistribution, tasks: PyTree, observation: np.ndarray, task_of_row: np.ndarray
) -> Iterator[str]:
    seen = observation.reshape(observation.shape[0], -1)[:, :_MOST_NUMBERS].astype(np.float64)
    if isinstance(distribution.spec.observation_space, gymnasium.spaces.Discrete):
        seen = np.concatenate([seen, _codes(seen[:, 0])], axis=1)
    seen = _standardised(seen)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tasks):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "the task"
        if name in distribution.shown:
            continue
        numbers = plain(leaf).reshape(leaf.shape[0], -1)[:, :_MOST_NUMBERS].astype(np.float64)
        copied = _copied(seen, numbers, task_of_row)
        if copied:
            yield f"{name}, {copied} of {numbers.shape[1]} numbers"


def _copied(seen: np.ndarray, numbers: np.ndarray, task_of_row: np.ndarray) -> int:
    """How many columns of `numbers` `[tasks, n]` stand in `seen` `[rows, m]`, as such or one-hot."""
    count = 0
    for column in numbers.T:
        candidates = np.concatenate([column[:, None], _codes(column)], axis=1)
        copies = np.abs(_standardised(candidates[task_of_row]).T @ seen) > _COPY
        count += bool(copies.any())
    return count


def _codes(column: np.ndarray) -> np.ndarray:
    """One-hot columns of a number that takes few values, each of them often and none of them always."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) > _MOST_CODES:
        return np.zeros((len(column), 0))
    telling = (counts >= _FEWEST_TASKS_EACH) & (counts <= len(column) - _FEWEST_TASKS_EACH)
    return (column[:, None] == values[telling]).astype(np.float64)


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and length 1, so that a product is a correlation; nearly constant ones become 0."""
    centred = columns - columns.mean(axis=0)
    centred = np.where(np.isfinite(centred), centred, 0.0)
    varies = (np.abs(centred) > 1e-6 * np.abs(columns).max(axis=0, initial=1e-30)).sum(axis=0) >= _FEWEST_TASKS_EACH
    length = np.sqrt((centred**2).sum(axis=0))
    return np.where(varies & (length > 0), centred / np.where(length > 0, length, 1.0), 0.0)
