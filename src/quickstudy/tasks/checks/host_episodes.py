"""A distribution of tasks outside JAX on trial: tasks drawn from it, and episodes played on them, within a budget of time."""

import dataclasses
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.tasks.checks.episodes import Episodes
from quickstudy.tasks.checks.host_player import Clock, OutOfTimeError, Player, random_actions
from quickstudy.tasks.checks.trees import distinct, same, structure

_PLAYED_TASKS = 256
_LOOKED_AT = 8
_DRAWN_AT_ONCE = 250
_DRAWING_SHARE = 0.4  # of the budget of seconds, and beside it
_PLAYING_SHARE = 0.6
_WHOLE_SHARE = 0.5  # of what is played, in seconds; of the other tasks only the first steps are seen
_FIRST_STEPS = 8
_MOST_BYTES = 2**27


@dataclasses.dataclass(kw_only=True)
class HostTrial:
    """A distribution on trial, and what was seen of it so far, by split.

    `broken` are the laws that a fault was found of, `untried` those that there was no time for.
    """

    distribution: HostDistribution
    key: PRNGKeyArray
    budget_seconds: float
    clock: Clock = dataclasses.field(default_factory=Clock)
    tasks: dict[str, PyTree] = dataclasses.field(default_factory=dict)
    episodes: dict[str, Episodes] = dataclasses.field(default_factory=dict)
    broken: set[str] = dataclasses.field(default_factory=set)
    untried: list[str] = dataclasses.field(default_factory=list)
    began: float | None = None

    def __post_init__(self) -> None:
        sample, describe = (self._timed(name, getattr(self.distribution, name)) for name in ("sample", "describe"))
        self.distribution = dataclasses.replace(self.distribution, sample=sample, describe=describe)
        self.generator = np.random.default_rng(np.asarray(jax.random.key_data(self.key)))

    def one_task(self, number: int = 0) -> PyTree:
        """One training task, a copy that may be changed."""
        return jax.tree.map(lambda x: x[number].copy(), self.tasks["train"])

    def some_tasks(self, split: str) -> PyTree:
        """The tasks of a split that were played; one at least."""
        played = len(self.episodes[split].valid) if split in self.episodes else 1
        return jax.tree.map(lambda x: x[:played], self.tasks[split])

    def seconds_spent(self) -> float:
        """Since the first episode."""
        now = time.perf_counter()
        self.began = self.began or now
        return now - self.began

    def in_time(self) -> None:
        """Raises OutOfTimeError once the budget is spent."""
        if self.clock.abandoned or self.seconds_spent() > self.budget_seconds:
            raise OutOfTimeError

    def player(self) -> Player:
        """A newly opened environment."""
        return Player(self.distribution, self.clock)

    def new_key(self) -> UInt32[np.ndarray, "2"]:
        """Of one lifetime."""
        return self.generator.integers(0, 2**32, 2, dtype=np.uint32)

    def _timed(self, name: str, function: Callable) -> Callable:
        return lambda *arguments: self.clock.timed(name, function, *arguments)


def draw_tasks(trial: HostTrial, *, samples: int) -> Iterator[str]:
    """Law "sampling": fills `trial.tasks`."""
    distribution, splits, samples = trial.distribution, trial.distribution.splits, max(samples, _PLAYED_TASKS)
    for split in splits:
        fault = next(_looked_at(trial, split), None)
        if fault:
            yield fault
            continue
        until = time.perf_counter() + _DRAWING_SHARE * trial.budget_seconds / len(splits)
        drawn: list[PyTree] = []
        for start in range(0, samples, _DRAWN_AT_ONCE):
            if drawn and time.perf_counter() > until:
                break
            key, some = jax.random.fold_in(trial.key, start), min(_DRAWN_AT_ONCE, samples - start)
            drawn.append(distribution.sample_tasks(split, key, tasks=some))
        trial.tasks[split] = tasks = jax.tree.map(lambda *chunks: np.concatenate(chunks), *drawn)
        first = next(iter(trial.tasks))
        one, other = (structure(jax.tree.map(lambda x: x[0], trial.tasks[name])) for name in (split, first))
        if one != other:
            yield f"tasks of {split!r} and {first!r} are built differently: {one}; {other}."
        elif distinct(tasks) == 1:
            yield f"?all tasks of {split!r} are one and the same; is the generator used?"


def play_episodes(trial: HostTrial) -> Iterator[str]:
    """Fills `trial.episodes` with an episode of random actions on as many tasks as time allows; finds nothing by itself."""
    others = len(trial.tasks) - 1
    trial.seconds_spent()
    with trial.player() as player:
        for split, tasks in trial.tasks.items():
            share = 0.5 if split == "train" else 0.5 / others
            trial.episodes[split] = _played(trial, player, tasks, _PLAYING_SHARE * share * trial.budget_seconds)
    yield from ()


def _looked_at(trial: HostTrial, split: str) -> Iterator[str]:
    """What is wrong with a few tasks, as they are before they are stacked."""
    sample = trial.distribution.sample
    drawn, again = ([sample(split, np.random.default_rng(seed)) for seed in range(_LOOKED_AT)] for _ in range(2))
    for task in drawn:
        leaves = jax.tree_util.tree_leaves_with_path(task)
        if not leaves:
            yield f"a task of {split!r} holds no number."
        for path, leaf in leaves:
            if np.asarray(leaf).dtype.kind not in "biuf":
                name = jax.tree_util.keystr(path, simple=True, separator=".") or "the task"
                yield f"a task of {split!r} holds {name}: {type(leaf).__name__}, which is neither a number nor an array."
    built = sorted({_shapes(task) for task in drawn})
    if len(built) > 1:
        yield f"tasks of {split!r} are built differently: {built[0]}; {built[1]}."
    if not all(same(one, other) for one, other in zip(drawn, again, strict=True)):
        yield f"sample({split!r}, generator) gives another task when it is called again with a generator of the same seed."


def _shapes(task: PyTree) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(task)
    return ", ".join(f"{jax.tree_util.keystr(path, simple=True, separator='.')}: {np.shape(leaf)}" for path, leaf in leaves)


def _played(trial: HostTrial, player: Player, tasks: PyTree, seconds: float) -> Episodes:
    """Whole episodes for the first half of the time, then the first steps of episodes."""
    start, horizon, size = time.perf_counter(), trial.distribution.spec.horizon, 0
    lived: list[tuple[list, list]] = []
    for number in range(min(_PLAYED_TASKS, len(jax.tree.leaves(tasks)[0]))):
        passed = time.perf_counter() - start
        if lived and (passed > seconds or size > _MOST_BYTES or trial.clock.abandoned):
            break
        whole = passed < _WHOLE_SHARE * seconds
        steps, until = (horizon, _WHOLE_SHARE * seconds) if whole else (min(horizon, _FIRST_STEPS), seconds)
        player.begin(jax.tree.map(lambda x, number=number: x[number].copy(), tasks), trial.new_key())
        seen, followed = [player.reset(0)], list[StepResult]()
        for slot, action in enumerate(random_actions(trial.distribution.spec.action_space, trial.generator, (steps,))):
            followed.append(player.step(slot, action if np.ndim(action) else int(action)))
            seen.append(followed[-1].observation)
            over = followed[-1].terminated or followed[-1].truncated
            if over or time.perf_counter() - start > until:
                break
        lived.append((seen, followed))
        size += len(seen) * seen[0].nbytes
    return _stacked(lived)


def _stacked(lived: list[tuple[list, list]]) -> Episodes:
    """Episodes as arrays as long as the longest; after the end everything stands still."""
    length = max(len(followed) for _, followed in lived)
    observation = np.stack([np.stack(seen + [seen[-1]] * (length + 1 - len(seen))) for seen, _ in lived])
    valid = np.stack([np.arange(length) < len(followed) for _, followed in lived])
    columns = {}
    for name, kind in (("reward", np.float32), ("terminated", np.bool_), ("truncated", np.bool_)):
        column = np.zeros(valid.shape, kind)
        for row, (_, followed) in zip(column, lived, strict=True):
            row[: len(followed)] = [getattr(stepped, name) for stepped in followed]
        columns[name] = column
    return Episodes(observation=observation, valid=valid, **columns)
