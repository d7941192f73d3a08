"""Lifetimes in environments outside JAX that are compared: with the same key and the same actions, and one thing changed."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.host_distribution import StepResult
from quickstudy.protocol.records import Spec
from quickstudy.tasks.checks.host_player import Player, random_actions
from quickstudy.tasks.checks.trees import close, plain, rows

_SHARE_OF_AN_EPISODE = 0.015  # of the budget, for one of the thirty or so episodes that are compared
_MOST_STEPS, _FEWEST_STEPS, _WANTED_STEPS = 100, 2, 32
_COMPARED_TASKS = 8


class Entry(NamedTuple):
    """The result of a reset (`step` 0) or of a step of an episode."""

    episode: int
    step: int
    seen: StepResult


class Comparison:
    """Lifetimes on several tasks and in several environments with one key and one list of actions.

    Lifetimes are as long as time allows, and at least two episodes where a lifetime has two. `others` are numbers of tasks
    unlike the first, the one that differs from it in most numbers first.

    Args:
      spec: of the distribution.
      tasks: leading axis `[tasks]`; lifetimes are compared on the first and on others.
      key: key data of all lifetimes.
      generator: draws the actions.
      budget_seconds: for the whole inspection.
      seconds_each_step: that one step of an environment takes.
      open_player: `() -> Player`, a newly opened environment.
      in_time: raises OutOfTimeError once the budget is spent.
    """

    def __init__(
        self,
        *,
        spec: Spec,
        tasks: PyTree,
        key: UInt32[np.ndarray, "2"],
        generator: np.random.Generator,
        budget_seconds: float,
        seconds_each_step: float,
        open_player: Callable[[], Player],
        in_time: Callable[[], None],
    ):
        affordable = int(_SHARE_OF_AN_EPISODE * budget_seconds / max(seconds_each_step, 1e-6))
        steps = min(spec.horizon, _MOST_STEPS, max(_FEWEST_STEPS, affordable))
        episodes = min(spec.episodes, max(2, math.ceil(_WANTED_STEPS / steps)))
        self.key, self.open_player = key, open_player
        self.others = _unlike_the_first(tasks)
        actions = random_actions(spec.action_space, generator, episodes * steps)
        self._actions = [actions[start : start + steps] for start in range(0, episodes * steps, steps)]
        self._tasks, self._horizon, self._in_time = tasks, spec.horizon, in_time
        self._fresh: dict[int, list[Entry]] = {}

    def task(self, number: int) -> PyTree:
        """One of the tasks, a copy that may be changed."""
        return jax.tree.map(lambda x: x[number].copy(), self._tasks)

    def fresh(self, number: int) -> list[Entry]:
        """The lifetime on a task in a newly opened environment; played once and then remembered."""
        if number not in self._fresh:
            with self.open_player() as player:
                self._fresh[number] = self.run(player, number)
        return self._fresh[number]

    def run(self, player: Player, number: int) -> list[Entry]:
        """A lifetime on a task."""
        self._in_time()
        player.begin(self.task(number), self.key)
        return [entry for episode in range(len(self._actions)) for entry in self.episode(player, episode)]

    def episode(self, player: Player, episode: int) -> Iterator[Entry]:
        """An episode of a lifetime that was begun."""
        self._in_time()
        yield Entry(episode, 0, StepResult(player.reset(episode), 0.0, False, False, {}))
        first_slot = episode * self._horizon
        for step, action in enumerate(self._actions[episode]):
            self._in_time()
            seen = player.step(first_slot + step, action)
            yield Entry(episode, step + 1, seen)
            if seen.terminated or seen.truncated:
                return


def later(lifetime: list[Entry]) -> list[Entry]:
    """All episodes of a lifetime but the first."""
    return [entry for entry in lifetime if entry.episode]


def difference(one: list[Entry], other: list[Entry]) -> str | None:
    """The first thing in which two lifetimes differ, in words; None if they are the same."""
    for a, b in zip(one, other, strict=False):
        when = f"{f'step {a.step}' if a.step else 'the reset'} of episode {a.episode + 1}"
        for name, first, second in zip(StepResult._fields, a.seen, b.seen, strict=True):
            if not _alike(first, second):
                return f"{name} at {when}{_both(first, second)}"
    return None


def signal(lifetimes: list[list[Entry]]) -> bool:
    """Whether rewards or endings vary, so that the task could have shown an effect."""
    followed = {(round(e.seen.reward, 6), e.seen.terminated) for lifetime in lifetimes for e in lifetime if e.step}
    return len(followed) > 1


def _unlike_the_first(tasks: PyTree) -> list[int]:
    """Numbers of tasks that differ from the first, the one that differs from it in most numbers first."""
    some = jax.tree.map(lambda x: x[:256], tasks)
    flat = [plain(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(some)]
    differing = sum((leaf != leaf[:1]).sum(axis=1) for leaf in flat)
    as_bytes = rows(some)
    unlike = [number for number, row in enumerate(as_bytes) if row != as_bytes[0]]
    most = sorted(unlike, key=lambda number: -differing[number])
    return most[:_COMPARED_TASKS]


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, dict) and first.keys() != second.keys():
        return False
    return close(first, second)


def _both(first: Any, second: Any) -> str:
    """Two values, or the first numbers in which two arrays differ."""
    if isinstance(first, dict):
        return ""
    one, other = np.ravel(first), np.ravel(second)
    index = int(np.argmax(~np.isclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)))
    which = f"number {index + 1} of {one.size} is " if one.size > 1 else ""
    return f", {which}" + " instead of ".join(f"{v:.6g}" if v.dtype.kind == "f" else str(v) for v in (other[index], one[index]))
