"""A distribution of tasks outside JAX under inspection: its tasks, and episodes on them, within a time budget."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.protocol.task_values import see_into_dataclasses
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.tasks.checks.faults import MisfitError
from quickstudy.tasks.checks.host_comparison import Comparison
from quickstudy.tasks.checks.host_player import Clock, OutOfTimeError, Player, random_actions
from quickstudy.tasks.checks.laws import PLAYED_TASKS, Episodes, one_task
from quickstudy.tasks.checks.small_agent import small_agent, small_lifetimes
from quickstudy.tasks.checks.trees import distinct, same, structure

_EXAMINED_TASKS = 8
_DRAWN_AT_ONCE = 250
_DRAWING_SHARE = 0.4  # of the budget of seconds, spent in addition to it
_PLAYING_SHARE = 0.6
_WHOLE_SHARE = 0.5  # of the time for playing; on the other tasks only the first steps are played
_FIRST_STEPS = 8
_LONGEST_SHARE = 4.0  # of the budget, for one lifetime that is run as in training
_MOST_BYTES = 2**27


@dataclasses.dataclass(kw_only=True)
class HostTrial:
    """A `Trial` of a distribution outside JAX; every call into the user's code is timed by `clock`."""

    distribution: HostDistribution
    key: PRNGKeyArray
    budget_seconds: float
    clock: Clock = dataclasses.field(default_factory=Clock)
    tasks: dict[str, PyTree] = dataclasses.field(default_factory=dict)
    episodes: dict[str, Episodes] = dataclasses.field(default_factory=dict)
    broken: set[str] = dataclasses.field(default_factory=set)
    untried: list[str] = dataclasses.field(default_factory=list)
    began: float | None = None
    collecting: CollectingConfig = CollectingConfig()

    def __post_init__(self) -> None:
        self.given = self.distribution
        self._horizon = self.distribution.spec.horizon
        sample, describe = (self._timed(name, getattr(self.distribution, name)) for name in ("sample", "describe"))
        self.distribution = dataclasses.replace(self.distribution, sample=sample, describe=describe)
        self.generator = np.random.default_rng(np.asarray(jax.random.key_data(self.key)))

    @property
    def abandoned(self) -> bool:
        """Whether further findings are ignored."""
        return self.clock.abandoned

    @functools.cached_property
    def comparison(self) -> Comparison:
        """Lifetimes with one key and one list of actions; needs tasks that were drawn and steps that were timed."""
        return Comparison(
            spec=self.distribution.spec,
            tasks=self.tasks["train"],
            key=self.new_key(),
            generator=self.generator,
            budget_seconds=self.budget_seconds,
            seconds_each_step=self.clock.each("step"),
            open_player=self.player,
            in_time=self.in_time,
        )

    def draw_tasks(self, samples: int) -> Iterator[str]:
        """Law "sampling": fills `tasks`."""
        distribution, splits, samples = self.distribution, self.distribution.splits, max(samples, PLAYED_TASKS)
        for split in splits:
            fault = next(_examined(distribution, split), None)
            if fault:
                yield fault
                continue
            until = time.perf_counter() + _DRAWING_SHARE * self.budget_seconds / len(splits)
            drawn: list[PyTree] = []
            for start in range(0, samples, _DRAWN_AT_ONCE):
                if drawn and time.perf_counter() > until:
                    break
                key, some = jax.random.fold_in(self.key, start), min(_DRAWN_AT_ONCE, samples - start)
                drawn.append(distribution.sample_tasks(split, key, tasks=some))
            self.tasks[split] = tasks = jax.tree.map(lambda *chunks: np.concatenate(chunks), *drawn)
            first = next(iter(self.tasks))
            one, other = (structure(jax.tree.map(lambda x: x[0], self.tasks[name])) for name in (split, first))
            if one != other:
                yield f"tasks of {split!r} and {first!r} are built differently: {one}; {other}."
            elif distinct(tasks) == 1:
                yield f"?all tasks of {split!r} are one and the same; is the generator used?"

    def play_episodes(self) -> Iterator[str]:
        """Fills `episodes` for as many tasks as there is time for; finds nothing by itself."""
        others = len(self.tasks) - 1
        self.seconds_spent()
        with self.player() as player:
            for split, tasks in self.tasks.items():
                share = 0.5 if split == "train" else 0.5 / others
                self.episodes[split] = _played(self, player, tasks, _PLAYING_SHARE * share * self.budget_seconds)
        ended = any((e.terminated | e.truncated).any() or e.valid.shape[1] == self._horizon for e in self.episodes.values())
        for name in sorted(set(self.distribution.measures) - player.measured):
            # It may come at the end of an episode alone, which play may not have reached.
            yield f"{'' if ended else '?'}no step gave the measure {name!r}, not even the last one of an episode."

    def run_as_training(self) -> Iterator[str]:
        """A few lifetimes of an untrained agent in the workers of meta-training, with the actions that its policy draws."""
        steps = 2 * self.clock.each("step") * self._horizon
        if steps > _LONGEST_SHARE * self.budget_seconds:
            yield f"?there was no time to run lifetimes as training does: one takes {steps:.3g} seconds."
            return
        distribution = small_lifetimes(self.given, episodes=1 if 2 * steps > self.budget_seconds else 2)
        agent, tasks = small_agent(distribution.spec), jax.tree.map(lambda x: x[:2], self.tasks["train"])
        here = self.collecting
        if here.collectors == "processes":
            here = dataclasses.replace(here, workers=here.workers or 1)
        try:
            with open_pool(distribution, here) as pool:
                batch = pool.run(agent, agent.init(self.key), tasks, jax.random.split(self.key))
        except CollectingError as error:
            raise MisfitError(_in_training(str(error))) from error
        for fault in batch.faults:
            yield _in_training(fault)

    def first_observations(self) -> Iterator[np.ndarray]:
        """Observations after a reset of the first training task and of those most unlike it, with one key."""
        with self.player() as player:
            for number in (0, *self.comparison.others):
                self.in_time()
                player.begin(one_task(self, number), self.comparison.key)
                yield player.reset(0)

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
        """Key data of one lifetime."""
        return self.generator.integers(0, 2**32, 2, dtype=np.uint32)

    def _timed(self, name: str, function: Callable) -> Callable:
        return lambda *arguments: self.clock.timed(name, function, *arguments)


def _in_training(fault: str) -> str:
    """One line of what came up, from a traceback or a message."""
    return f"lifetimes that are run as in training fail: {fault.strip().splitlines()[-1]}"


def _examined(distribution: HostDistribution, split: str) -> Iterator[str]:
    """Faults of a few tasks as `sample` returns them, before they are stacked."""
    sample = distribution.sample
    drawn, again = ([sample(split, np.random.default_rng(seed)) for seed in range(_EXAMINED_TASKS)] for _ in range(2))
    for task in (*drawn, *again):
        see_into_dataclasses(task)
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
    """One episode on each task: whole episodes for the first half of the time, then only the first steps of episodes."""
    start, horizon, size = time.perf_counter(), trial.distribution.spec.horizon, 0
    played: list[tuple[list, list]] = []
    for number in range(min(PLAYED_TASKS, len(jax.tree.leaves(tasks)[0]))):
        passed = time.perf_counter() - start
        if played and (passed > seconds or size > _MOST_BYTES or trial.clock.abandoned):
            break
        whole = passed < _WHOLE_SHARE * seconds
        steps, until = (horizon, _WHOLE_SHARE * seconds) if whole else (min(horizon, _FIRST_STEPS), seconds)
        player.begin(jax.tree.map(lambda x, number=number: x[number].copy(), tasks), trial.new_key())
        seen, followed = [player.reset(0)], list[StepResult]()
        for slot, action in enumerate(random_actions(trial.distribution.spec.action_space, trial.generator, steps)):
            followed.append(player.step(slot, action))
            seen.append(followed[-1].observation)
            over = followed[-1].terminated or followed[-1].truncated
            if over or time.perf_counter() - start > until:
                break
        played.append((seen, followed))
        size += len(seen) * seen[0].nbytes
    return _stacked(played)


def _stacked(played: list[tuple[list, list]]) -> Episodes:
    """Episodes as arrays as long as the longest; after its end an episode repeats its last observation, with reward 0."""
    length = max(len(followed) for _, followed in played)
    observation = np.stack([np.stack(seen + [seen[-1]] * (length + 1 - len(seen))) for seen, _ in played])
    valid = np.stack([np.arange(length) < len(followed) for _, followed in played])
    columns = {}
    for name, kind in (("reward", np.float32), ("terminated", np.bool_), ("truncated", np.bool_)):
        column = np.zeros(valid.shape, kind)
        for row, (_, followed) in zip(column, played, strict=True):
            row[: len(followed)] = [getattr(stepped, name) for stepped in followed]
        columns[name] = column
    return Episodes(observation=observation, valid=valid, **columns)
