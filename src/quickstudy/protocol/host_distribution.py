"""A distribution of tasks outside the compiled program: simulators, services, anything that Python can step.

It is the same as a `TaskDistribution`, except that its environments keep a state of their own. Environments are opened in the
processes that run the lifetimes. The learner sees the spec and the tasks, and needs no package that the environments need.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree, UInt8, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.task_distribution import TaskDistribution, check_splits
from quickstudy.protocol.task_values import restored, stack_tasks

Task = TypeVar("Task")

Reduction = Literal["any", "last", "sum"]
"""How the measures of the steps of an episode become one number for the episode."""


class StepResult(NamedTuple):
    """The result of one action: the true successor, the reward in reward units, and the two ways in which an episode ends.

    `measures` holds numbers for the distribution's `measures`; one that is missing was not measured at this step. No agent sees
    it. Everything is cast to the types of the spec where its value stays the same; else the lifetime is lost, with a line that
    names what came.
    """

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    measures: Mapping[str, float]


class HostEnvironment(Protocol):
    """One environment that can be set to any task of its distribution. All its randomness follows from the keys it is given."""

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Begins a lifetime on a task; all randomness of the environment in it follows from `key`, which is key data."""

    def reset(self, episode: int) -> Any:
        """The first observation of an episode of the same task; `episode` counts from 0 within the lifetime."""

    def step(self, slot: int, action: Any) -> StepResult:
        """One step; `slot` is that of the lifetime. It never resets, and it need not count steps."""

    def close(self) -> None:
        """Releases everything that it holds."""


class Camera(Protocol):
    """Takes pictures of one environment, for people. Agents and environment behave the same with and without it."""

    def take(self, observation: Any) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of the present state; `observation` is the last one."""

    def close(self) -> None:
        """Releases everything that it draws with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostDistribution(Generic[Task]):
    """A record of functions; a task is data: a tree of numbers and NumPy arrays, of one structure in every split.

    Trees are dicts, lists, tuples and dataclasses. Environments get tasks in the types in which `sample` draws them.

    Args:
      name: as on the command line.
      config: the settings it was made with, plain values.
      spec: spaces, horizon and episodes per lifetime.
      splits: names of the splits that `sample` knows; `"train"` and `"test"` are among them.
      sample: `(split, generator) -> task`; all randomness comes from the NumPy generator.
      open: `() -> HostEnvironment`, called in the process that will step it.
      describe: `(task) -> dict` of named arrays, for people; the task's own leaves by their names where not given.
      measures: numbers that environments give for steps beside the reward, by name, such as `success`; for every step, or for
        the last of an episode alone. The value says how the steps make one number for an episode: `"any"` step, the `"last"`
        that was measured, or the `"sum"`.
      camera: `(environment) -> Camera`, for an environment that `open` gave, in the process that opened it; None where there
        is nothing to see. It is not part of an environment, since most environments run where nothing can be drawn.
      baselines, floor, ceiling, shown: as of a `TaskDistribution`.
    Raises:
      TaskDistributionError: `"train"` or `"test"` is missing, or a split's name says nothing.
    """

    name: str = "unnamed"
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spec: Spec
    splits: tuple[str, ...] = ("train", "test")
    sample: Callable[[str, np.random.Generator], Task]
    open: Callable[[], HostEnvironment]
    describe: Callable[[Task], dict[str, Any]] = None  # type: ignore[assignment]
    measures: Mapping[str, Reduction] = dataclasses.field(default_factory=dict)
    camera: Callable[[Any], Camera] | None = None
    baselines: Mapping[str, Callable[[], Agent]] = dataclasses.field(default_factory=dict)
    floor: Callable[[Task], Array] | None = None
    ceiling: Callable[[Task], Array] | None = None
    shown: tuple[str, ...] = ()

    runs_in: ClassVar[Literal["python"]] = "python"
    """Environments keep a state of their own and are stepped outside the compiled program."""

    def __post_init__(self) -> None:
        check_splits(self.name, self.splits)
        if self.describe is None:
            object.__setattr__(self, "describe", named_leaves)

    def sample_tasks(self, split: str, key: PRNGKeyArray, *, tasks: int) -> Task:
        """A stack of tasks, leading axis `[tasks]`, as NumPy arrays of the types that JAX computes with.

        Raises:
          UnknownNameError: no split of that name.
          TaskDistributionError: two tasks of different structure or shapes, something that is no number, or a whole number
            that 32 bits do not hold.
        """
        if split not in self.splits:
            raise UnknownNameError("split", split, self.splits)
        words = np.asarray(jax.random.key_data(key)).ravel().tolist()
        words.append(self.splits.index(split))  # otherwise splits that are told apart by a mark would draw equal tasks
        drawn = [self.sample(split, np.random.default_rng([*words, index])) for index in range(tasks)]
        return stack_tasks(drawn, of=self.name, split=split)

    def as_drawn(self, task: Task) -> Task:
        """One task of a stack with the types that `sample` draws: what environments are given, as `restored` says."""
        return restored(task, self._example)

    @functools.cached_property
    def _example(self) -> Task:
        return self.sample("train", np.random.default_rng(0))


AnyDistribution = TaskDistribution | HostDistribution


def written_in_jax(distribution: AnyDistribution, *, needed_for: str) -> TaskDistribution:
    """The distribution, if its tasks are written in JAX.

    Args:
      distribution: of either kind.
      needed_for: what needs such tasks, for the message, as in `a readout`.
    Raises:
      UsageError: its tasks run outside the compiled program.
    """
    if isinstance(distribution, TaskDistribution):
        return distribution
    raise UsageError(f"{needed_for} needs tasks written in JAX; those of {distribution.name} run outside the compiled program.")


def outside_jax(distribution: AnyDistribution, *, needed_for: str) -> HostDistribution:
    """The distribution, if its tasks run outside the compiled program.

    Args:
      distribution: of either kind.
      needed_for: what needs such tasks, for the message, as in `a video`.
    Raises:
      UsageError: its tasks are written in JAX.
    """
    if isinstance(distribution, HostDistribution):
        return distribution
    raise UsageError(
        f"{needed_for} needs tasks that run outside the compiled program; those of {distribution.name} are written in JAX."
    )


def named_leaves(task: PyTree) -> dict[str, Any]:
    """The numbers of a task by their names."""
    leaves = jax.tree_util.tree_leaves_with_path(task)
    return {jax.tree_util.keystr(path, simple=True, separator=".") or "task": leaf for path, leaf in leaves}
