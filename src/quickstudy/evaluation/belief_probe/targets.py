"""Named parameters of tasks, as what a readout has to tell: real numbers, or one of a few choices."""

import dataclasses

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.task_distribution import TaskDistribution

_MOST_CHOICES = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Named:
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
        """Numbers of a network that tell it: mean and log deviation of each, or a logit for each choice."""
        return 2 * self.size if self.choices is None else len(self.choices)


def named_parameters(distribution: TaskDistribution, tasks: PyTree) -> tuple[Named, ...]:
    """What differs from task to task.

    Args:
      distribution: that describes tasks.
      tasks: `[tasks]`, enough of them that every choice occurs.
    Raises:
      TaskDistributionError: nothing that is described differs between them.
    """
    found = []
    for name, values in described(distribution, tasks).items():
        rows = values.reshape(len(values), -1)
        if (rows == rows[:1]).all():
            continue
        distinct = np.unique(rows, axis=0)
        few = np.issubdtype(values.dtype, np.integer) and len(distinct) <= _MOST_CHOICES
        choices = tuple(tuple(int(x) for x in row) for row in distinct) if few else None
        found.append(Named(name=name, size=rows.shape[1], choices=choices))
    if not found:
        raise TaskDistributionError(f"{distribution.name}: its `describe` names nothing that differs between tasks.")
    return tuple(found)


def described(distribution: TaskDistribution, tasks: PyTree) -> dict[str, np.ndarray]:
    """Every named array of every task, `[tasks, ...]`."""
    return {name: np.asarray(values) for name, values in jax.vmap(distribution.describe)(tasks).items()}


def numbers_of(named: Named, values: np.ndarray) -> np.ndarray:
    """The truth as a network learns it: `[tasks, size]` real numbers, or `[tasks]` places among the choices.

    A value that is none of the choices, as on a shifted split, is place -1.
    """
    rows = values.reshape(len(values), -1)
    if named.choices is None:
        return rows.astype(np.float32)
    places = {choice: place for place, choice in enumerate(named.choices)}
    return np.array([places.get(tuple(int(x) for x in row), -1) for row in rows], np.int32)
