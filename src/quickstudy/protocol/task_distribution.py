"""A distribution of tasks: what is drawn once per lifetime, and how a task behaves.

Splits are `"train"`, `"test"` and `"ood:<what shifted>"`. There is no default split: a request for tasks must name one.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import TaskDistributionError, UnknownNameError
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.task_values import see_into_dataclasses
from quickstudy.protocol.traced_casting import cast_reset, cast_step

Task = TypeVar("Task")
State = TypeVar("State")

SPLIT_CELLS = 16
GRID_CELLS = 2**16


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDistribution(Generic[Task, State]):
    """A record of pure functions; a task is data (a tree of arrays), so it can be stacked, stored, hashed and shown.

    Args:
      name: as on the command line.
      config: the settings it was made with, plain values.
      spec: spaces, horizon and episodes per lifetime.
      splits: names of the splits that `sample` knows; `"train"` and `"test"` are among them.
      sample: `(split, key) -> task`.
      reset: `(task, key) -> (state, observation)`, a new episode of the *same* task.
      step: `(task, state, action, key) -> (state, Outcome)`. It never resets, and it need not count steps: the rollout ends
        an episode at the horizon. What `reset` and `step` give is cast to the types of the spec where nothing is lost by it:
        plain Python numbers and truth values will do. All else raises TaskDistributionError, which names what came.
      describe: `(task) -> dict` of named arrays, for people.
      baselines: name to a function that makes the `Agent`; the methods that an expert would compare with.
      floor: `(task) -> []`, expected lifetime return of acting uniformly at random, in reward units; None if it is not known.
      ceiling: `(task) -> []`, expected lifetime return of the best policy that is given the task, in reward units; None if it
        is not known. Regret is measured against it.
      mean_reward: `(task, state, action) -> []`, the mean of the reward that this action brings, now or later, given the task
        and the state before it; None if it is not known. Summed over a lifetime, it has the same mean as the return. Only
        training may read it.
      shown: leaves of the task, by name, that observations show on purpose, as in `("start",)`. Anything else of the task
        that observations reveal is a fault.
      exact_belief: the baseline whose belief, a `GaussianBelief`, is the exact posterior of the real parameters that
        `describe` names and that differ between training tasks, in that order; None if there is none.
    Raises:
      TaskDistributionError: `"train"` or `"test"` is missing, or a split's name says nothing.
    """

    name: str = "unnamed"
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spec: Spec
    splits: tuple[str, ...] = ("train", "test")
    sample: Callable[[str, PRNGKeyArray], Task]
    reset: Callable[[Task, PRNGKeyArray], tuple[State, Array]]
    step: Callable[[Task, State, Array, PRNGKeyArray], tuple[State, Outcome]]
    describe: Callable[[Task], dict[str, Array]]
    baselines: Mapping[str, Callable[[], Agent]] = dataclasses.field(default_factory=dict)
    floor: Callable[[Task], Array] | None = None
    ceiling: Callable[[Task], Array] | None = None
    mean_reward: Callable[[Task, State, Array], Array] | None = None
    shown: tuple[str, ...] = ()
    exact_belief: str | None = None

    runs_in: ClassVar[Literal["jax"]] = "jax"
    """Environments are pure functions that can be compiled together with an agent."""

    def __post_init__(self) -> None:
        check_splits(self.name, self.splits)
        object.__setattr__(self, "reset", cast_reset(self.reset, self.spec))
        object.__setattr__(self, "step", cast_step(self.step, self.spec))

    @property
    def measures(self) -> Mapping[str, Literal["any", "last", "sum"]]:
        """Measures beside the reward, by name, as of a `HostDistribution`: tasks written in JAX have none."""
        return {}

    def sample_tasks(self, split: str, key: PRNGKeyArray, *, tasks: int) -> Task:
        """A stack of tasks, leading axis `[tasks]`.

        Raises:
          UnknownNameError: no split of that name.
          TaskDistributionError: a task holds something that is no array, or `sample` decides in Python on drawn numbers.
        """
        if split not in self.splits:
            raise UnknownNameError("split", split, self.splits)

        def draw(key: PRNGKeyArray) -> Task:
            task = self.sample(split, key)
            see_into_dataclasses(task)
            for path, leaf in jax.tree_util.tree_leaves_with_path(task):
                if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float):
                    place = jax.tree_util.keystr(path, simple=True, separator=".") or "the task"
                    raise TaskDistributionError(
                        f"{self.name}: {place} of a task of {split!r} is {leaf!r}. Tasks are arrays, and dicts, tuples and "
                        "dataclasses of them; draw the number of a name rather than the name."
                    )
            return task

        try:
            return jax.vmap(draw)(jax.random.split(key, tasks))
        except jax.errors.ConcretizationTypeError as error:
            raise TaskDistributionError(
                f"{self.name}: sample({split!r}, key) decides in Python on a number that JAX has not computed yet. Use "
                "jnp.where and jnp.clip in place of `if`, and let no dataclass of a task check its fields in __post_init__."
            ) from error


def check_splits(name: str, splits: tuple[str, ...]) -> None:
    """Raises TaskDistributionError unless a distribution's splits are named as they must be."""
    if not {"train", "test"} <= set(splits):
        raise TaskDistributionError(f"{name}: splits must hold 'train' and 'test'; came {splits}.")
    for split in splits:
        if split not in ("train", "test") and not (split.startswith("ood:") and len(split) > 4):
            raise TaskDistributionError(
                f"{name}: a split other than 'train' and 'test' must be called 'ood:<what shifted>'; came {split!r}."
            )


def mark_split(values: Float[Array | np.ndarray, "*shape"], split: str, splits: tuple[str, ...]) -> Float[Array, "*shape"]:
    """Rounds numbers in [0, 1) to a grid of 2^-20 whose last four bits are the number of the split.

        marked = (16 floor(2^16 x) + index of the split) / 2^20

    Two tasks of different splits can then never hold the same number, whatever the splits' distributions are; a number
    moves by less than 2^-16, and the marked value is exact in float32.

    Args:
      values: numbers in [0, 1); outside they are clipped into it.
      split: one of `splits`.
      splits: every split of the distribution, at most 16.
    Raises:
      TaskDistributionError: more splits than marks.
    """
    if len(splits) > SPLIT_CELLS:
        raise TaskDistributionError(f"at most {SPLIT_CELLS} splits can be marked; came {len(splits)}.")
    cell = jnp.clip(jnp.floor(values * GRID_CELLS), 0, GRID_CELLS - 1)
    return (cell * SPLIT_CELLS + splits.index(split)) / (GRID_CELLS * SPLIT_CELLS)


def task_hash(tasks: PyTree) -> str:
    """SHA-256 of a stack of tasks: shapes, types and bytes of every leaf. Equal exactly when the task lists are equal."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tasks):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
