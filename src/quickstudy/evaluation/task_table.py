"""Every task of an evaluation with its parameters and the return of each contender on it: it shows which tasks are hard.

A file `tasks-<split>.json` beside the evaluation holds it. It also holds the range of each parameter over training tasks.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PyTree

from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.printable import file_word
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, read_object, to_document

FORMAT, DIGITS = 1, 5
MOST_TASKS = 10_000
"""Tasks that are kept, the first ones."""
MOST_PARAMETERS = 24
"""Numbers of a task that are kept. A larger part of a task is left out, such as a matrix."""
_TRAINING_TASKS = 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTable:
    """The tasks of one evaluation, in the order of its list.

    Args:
      split: of the tasks.
      returns: by contender, return of a lifetime on each task, mean over seeds, reward units.
      parameters: by name, a number of each task, in the task's own unit; those that differ between tasks.
      training_range: by name, smallest and largest value over training tasks.
      pictures: whether the environments have a camera, so that a video of a task can be made.
    """

    split: str
    returns: Mapping[str, tuple[float, ...]]
    parameters: Mapping[str, tuple[float, ...]]
    training_range: Mapping[str, tuple[float, float]]
    pictures: bool

    def worst(self, agent: str, *, most: int) -> list[int]:
        """Numbers of the tasks on which a contender has its lowest returns, lowest first.

        Args:
          agent: name of the contender.
          most: how many.
        """
        return np.argsort(np.asarray(self.returns[agent]), kind="stable")[:most].tolist()

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes `tasks-<split>.json` into a folder, whole or not at all, and gives its path."""
        path = table_path(folder, self.split)
        write_atomically(path, json.dumps(to_document(self, version=FORMAT, digits=DIGITS), allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "TaskTable":
        """Reads what `save` wrote.

        Raises:
          UsageError: no such file, or one that holds no table of tasks.
        """
        what, remedy = "table of tasks", "Evaluate again."
        found = from_document(cls, read_object(path, what=what), version=FORMAT, what=what, remedy=remedy)
        if len({len(column) for column in (*found.returns.values(), *found.parameters.values())}) > 1:
            raise UsageError(f"{os.fspath(path)}: the columns of the table of tasks do not fit each other. {remedy}")
        return found


def table_path(folder: str | os.PathLike, split: str) -> pathlib.Path:
    """Where the table of a split is stored in a folder of results."""
    return pathlib.Path(folder) / f"tasks-{file_word(split)}.json"


def task_table(
    returns: Mapping[str, Float[np.ndarray, " tasks"]], distribution: AnyDistribution, *, split: str, tasks: int, seed: int
) -> TaskTable:
    """The table of an evaluation.

    Args:
      returns: by contender, on each task of the list.
      distribution: of the tasks.
      split: of the distribution.
      tasks, seed: of the list, as of `evaluate`.
    """
    parameters = _numbers(distribution, draw_tasks(distribution, split=split, tasks=tasks, seed=seed)[0])
    of_training = parameters
    if split != "train":
        of_training = _numbers(distribution, draw_tasks(distribution, split="train", tasks=_TRAINING_TASKS, seed=seed)[0])
    differ = [name for name, values in parameters.items() if (values != values[0]).any()]
    differ += [name for name, values in of_training.items() if name in parameters and (values != values[0]).any()]
    kept = [name for name in dict.fromkeys(differ) if np.isfinite(parameters[name]).all()][:MOST_PARAMETERS]
    known = [name for name in kept if name in of_training and np.isfinite(of_training[name]).all()]
    return TaskTable(
        split=split,
        returns={name: tuple(values[:MOST_TASKS].tolist()) for name, values in returns.items()},
        parameters={name: tuple(parameters[name][:MOST_TASKS].tolist()) for name in kept},
        training_range={name: (float(of_training[name].min()), float(of_training[name].max())) for name in known},
        pictures=isinstance(distribution, HostDistribution) and distribution.camera is not None,
    )


def _numbers(distribution: AnyDistribution, task_list: PyTree) -> dict[str, Float[np.ndarray, " tasks"]]:
    """The single numbers that `describe` gives of each task, by name; a number of an array has its place behind the name."""
    found: dict[str, Any] = {}
    for name, values in _described(distribution, task_list).items():
        if values.dtype.kind not in "biuf":
            continue  # a word
        rows = values.reshape(len(values), -1).astype(np.float64)
        if rows.shape[1] <= MOST_PARAMETERS:
            single = rows.shape[1] == 1
            found |= {name if single else f"{name}, {place}": column for place, column in enumerate(rows.T)}
    return found


def _described(distribution: AnyDistribution, task_list: PyTree) -> dict[str, np.ndarray]:
    """What `describe` gives of each task, `[tasks, ...]`; what differs in its shape from task to task is left out."""
    if not isinstance(distribution, HostDistribution):
        with contextlib.suppress(TypeError):  # it may decide in Python on the numbers of a task, or give words
            return {name: np.asarray(values) for name, values in jax.jit(jax.vmap(distribution.describe))(task_list).items()}
    leaves, form = jax.tree.flatten(jax.tree.map(np.asarray, task_list))
    single = [jax.tree.unflatten(form, [leaf[place] for leaf in leaves]) for place in range(len(leaves[0]))]
    each = [{name: np.asarray(value) for name, value in distribution.describe(task).items()} for task in single]
    alike = [name for name in each[0] if len({one[name].shape if name in one else None for one in each}) == 1]
    return {name: np.stack([one[name] for one in each]) for name in alike}
