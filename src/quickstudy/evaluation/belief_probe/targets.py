"""The parameters of tasks that a readout estimates: real numbers, or one of a few choices."""

import dataclasses

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.task_distribution import TaskDistribution

_MOST_CHOICES = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskParameter:
    """A named parameter of tasks.

    Args:
      name: as `TaskDistribution.describe` calls it.
      size: numbers in it.
      choices: `[choices][size]`, the values that it takes, where they are few and whole; else None.
    """

    name: str
    size: int
    choices: tuple[tuple[int, ...], ...] | None

    @property
    def outputs(self) -> int:
        """Outputs of the network for this parameter: mean and log deviation of each number, or a logit for each choice."""
        return 2 * self.size if self.choices is None else len(self.choices)


def named_parameters(distribution: TaskDistribution, tasks: PyTree) -> tuple[TaskParameter, ...]:
    """The parameters that differ between tasks.

    Args:
      distribution: its `describe` names them.
      tasks: `[tasks]`, enough of them that every choice occurs.
    Raises:
      TaskDistributionError: `describe` names nothing that differs between the tasks.
    """
    found = []
    for name, values in described(distribution, tasks).items():
        rows = values.reshape(len(values), -1)
        if (rows == rows[:1]).all():
            continue
        distinct = np.unique(rows, axis=0)
        few = np.issubdtype(values.dtype, np.integer) and len(distinct) <= _MOST_CHOICES
        choices = tuple(tuple(int(x) for x in row) for row in distinct) if few else None
        found.append(TaskParameter(name=name, size=rows.shape[1], choices=choices))
    if not found:
        raise TaskDistributionError(f"{distribution.name}: its `describe` names nothing that differs between tasks.")
    return tuple(found)


def described(distribution: TaskDistribution, tasks: PyTree) -> dict[str, np.ndarray]:
    """Every named array of every task, `[tasks, ...]`."""
    return {name: np.asarray(values) for name, values in jax.vmap(distribution.describe)(tasks).items()}


def numbers_of(parameter: TaskParameter, values: np.ndarray) -> np.ndarray:
    """The true values as a network learns them.

    Args:
      parameter: that the values are of.
      values: `[tasks, ...]`, as `described` gives them.
    Returns:
      Real numbers `[tasks, size]`, or places `[tasks]` among the choices. A value that is none of the choices, as on a
      shifted split, is place -1.
    """
    rows = values.reshape(len(values), -1)
    if parameter.choices is None:
        return rows.astype(np.float32)
    places = {choice: place for place, choice in enumerate(parameter.choices)}
    return np.array([places.get(tuple(int(x) for x in row), -1) for row in rows], np.int32)
