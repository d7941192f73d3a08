"""A task distribution on trial: tasks drawn from it, and episodes played on them."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.protocol.sequences import where
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.checks.trees import distinct, same, structure

_PLAYED_TASKS = 256


class Episodes(NamedTuple):
    """One episode of random actions on each task.

    `observation` is `[tasks, horizon + 1, ...]`, everything else `[tasks, horizon]`.
    """

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    valid: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A task distribution on trial, and what was seen of it so far, by split."""

    distribution: TaskDistribution
    key: PRNGKeyArray
    tasks: dict[str, PyTree] = dataclasses.field(default_factory=dict)
    episodes: dict[str, Episodes] = dataclasses.field(default_factory=dict)

    def one_task(self, number: int = 0) -> PyTree:
        """One training task."""
        return jax.tree.map(lambda x: x[number], self.tasks["train"])

    def some_tasks(self, split: str) -> PyTree:
        """The tasks of a split that are played."""
        return jax.tree.map(lambda x: x[:_PLAYED_TASKS], self.tasks[split])


def random_action(space: Any, key: PRNGKeyArray) -> Array:
    """One action, uniform in a Discrete or a bounded Box space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, (), int(space.start), int(space.start + space.n))
    low, high = jnp.asarray(space.low), jnp.asarray(space.high)
    if jnp.issubdtype(low.dtype, jnp.integer):
        return jax.random.randint(key, space.shape, low, high + 1, low.dtype)
    return jax.random.uniform(key, space.shape, low.dtype, low, high)


def draw_tasks(trial: Trial, key: PRNGKeyArray, *, samples: int) -> Iterator[str]:
    """Law "sampling": fills `trial.tasks`."""
    for split in trial.distribution.splits:
        tasks = trial.distribution.sample_tasks(split, key, tasks=max(samples, _PLAYED_TASKS))
        again = trial.distribution.sample_tasks(split, key, tasks=max(samples, _PLAYED_TASKS))
        trial.tasks[split] = tasks
        first = next(iter(trial.tasks))
        if not jax.tree.leaves(tasks):
            yield f"a task of {split!r} holds no array."
        elif structure(tasks) != structure(trial.tasks[first]):
            other = structure(trial.tasks[first])
            yield f"tasks of {split!r} and {first!r} are built differently: {structure(tasks)}; {other}."
        elif not same(tasks, again):
            yield f"sample({split!r}, key) gives another task when it is called again with the same key."
        elif distinct(tasks) == 1:
            yield f"?all tasks of {split!r} are one and the same; is the key used?"


def play_episodes(trial: Trial) -> Iterator[str]:
    """Fills `trial.episodes`, one episode of random actions on every played task; finds nothing by itself."""
    play = jax.jit(jax.vmap(lambda task, key: _episode(trial.distribution, task, key)))
    for split in trial.tasks:
        tasks = trial.some_tasks(split)
        count = jax.tree.leaves(tasks)[0].shape[0]
        trial.episodes[split] = Episodes(*map(np.asarray, play(tasks, jax.random.split(trial.key, count))))
    yield from ()


def _episode(distribution: TaskDistribution, task: PyTree, key: PRNGKeyArray) -> Episodes:
    """One episode of uniformly random actions; after its end everything stands still."""
    key_reset, key_steps = jax.random.split(key)
    state, first = distribution.reset(task, key_reset)

    def slot(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, tuple]:
        state, over, observation = carry
        key_action, key_step = jax.random.split(key)
        action = random_action(distribution.spec.action_space, key_action)
        following, outcome = distribution.step(task, state, action, key_step)
        carry = (
            where(over, state, following),
            over | outcome.terminated | outcome.truncated,
            jnp.where(over, observation, outcome.observation),
        )
        return carry, (carry[2], outcome.reward, outcome.terminated, outcome.truncated, ~over)

    keys = jax.random.split(key_steps, distribution.spec.horizon)
    _, (observations, *rest) = jax.lax.scan(slot, (state, jnp.asarray(False), first), keys)
    return Episodes(jnp.concatenate([first[None], observations]), *rest)
