"""What a law of a task distribution is, and the laws that hold for distributions in JAX and outside it alike.

    spaces              observations lie in the observation space; advice where the space says little about them
    finite reward       rewards and observations are finite
    endings             `terminated` means that the task ended the episode, `truncated` that something else did
    task-blindness      no part of the task can be read off the observations
    disjoint splits     no task is drawn by two splits
    description         `describe` gives a dict of named arrays
    references          `floor` and `ceiling` are finite, and the floor is not above the ceiling

These laws read tasks that were drawn and episodes that were recorded, so it does not matter what played them. The laws about
calls into the user's code are in `jax_laws.py` and `host_laws.py`: pure functions are called twice with the same arguments,
while environments with a state of their own can only be compared over whole lifetimes.

A law is a function that yields one sentence for each fault. A sentence that begins with '?' is a warning: it may be intended.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.rollout.nonfinite import LARGEST_REWARD, usable_reward
from quickstudy.tasks.checks.leaks import leaks_at_reset, leaks_later
from quickstudy.tasks.checks.scales import scales
from quickstudy.tasks.checks.trees import rows, same

PLAYED_TASKS = 256
"""Tasks of each split on which an episode is played, at most."""
FEWEST_TASKS = 32
"""Fewer played tasks than this do not show whether observations reveal the task."""


class Episodes(NamedTuple):
    """One episode of random actions on each task.

    `observation` is `[tasks, steps + 1, ...]`, everything else `[tasks, steps]`. `valid` is true until the episode has ended.
    """

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    valid: Any


class Trial(Protocol):
    """A distribution under inspection: what plays it, and what was drawn and recorded so far, by split.

    `broken` holds the laws of which a fault was found, `untried` those for which there was no time.
    """

    distribution: Any
    tasks: dict[str, PyTree]
    episodes: dict[str, Episodes]
    broken: set[str]
    untried: list[str]

    @property
    def abandoned(self) -> bool:
        """Whether further findings are ignored."""

    def draw_tasks(self, samples: int) -> Iterator[str]:
        """Law "sampling": fills `tasks` with `samples` tasks of each split, or fewer where there is no time."""

    def play_episodes(self) -> Iterator[str]:
        """Fills `episodes` with one episode of random actions on each played task."""

    def run_as_training(self) -> Iterator[str]:
        """Law "shapes": a few lifetimes of a small agent, run as meta-training runs them."""

    def first_observations(self) -> Iterator[np.ndarray]:
        """Observations after a reset of different training tasks with one and the same key."""


class Law(NamedTuple):
    """One law.

    Args:
      look: `(trial) -> sentences`, one for each fault.
      remedy: what to do about a fault.
      plays: it needs episodes that were played.
      needs: laws without which it would only repeat their faults.
    """

    look: Callable[[Any], Iterator[str]]
    remedy: str
    plays: bool = True
    needs: tuple[str, ...] = ()


def one_task(trial: Trial, number: int = 0) -> PyTree:
    """One training task, a copy that may be changed."""
    return jax.tree.map(lambda x: x[number].copy(), trial.tasks["train"])


def played_tasks(trial: Trial, split: str) -> PyTree:
    """The tasks of a split that were played; the first `PLAYED_TASKS` where none was."""
    played = len(trial.episodes[split].valid) if split in trial.episodes else PLAYED_TASKS
    return jax.tree.map(lambda x: x[:played], trial.tasks[split])


def spaces(trial: Trial) -> Iterator[str]:
    """Observations lie in their space, which says what they are."""
    space: Any = trial.distribution.spec.observation_space
    for split, episodes in trial.episodes.items():
        seen = episodes.observation
        low: Any
        high: Any
        if isinstance(space, gymnasium.spaces.Discrete):
            low, high = np.int64(space.start), np.int64(space.start + space.n - 1)
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            low, high = space.start, space.start + space.nvec - 1
        else:
            low, high = space.low, space.high
        # Bounds are met up to rounding: clipping in float32 may end one unit beside a bound.
        slack = 1e-5 * np.maximum(1.0, np.abs(seen)) if np.issubdtype(seen.dtype, np.floating) else 0
        outside = (seen < low - slack) | (seen > high + slack)
        if outside.any():
            yield f"{split!r}: an observation holds {seen[outside][0]}, outside {space}."
    if "train" in trial.episodes:
        episodes = trial.episodes["train"]
        happened = np.concatenate([np.ones_like(episodes.valid[:, :1]), episodes.valid], axis=1)
        yield from scales(space, np.asarray(episodes.observation)[happened], trial.distribution.spec.observation_parts)


def finite_reward(trial: Trial) -> Iterator[str]:
    """No NaN and no infinity while an episode lasts."""
    for split, episodes in trial.episodes.items():
        bad = episodes.valid & ~np.asarray(usable_reward(episodes.reward))
        if bad.any():
            first = episodes.reward[bad][0]
            why = f", beyond {LARGEST_REWARD:g}: sums of rewards overflow" if np.isfinite(first) else ""
            yield f"{split!r}: a reward is {first}{why} ({bad.sum()} of {episodes.valid.sum()} steps)."
        if not np.isfinite(episodes.observation[:, 0]).all():
            yield f"{split!r}: the observation after reset is not finite."
        elif not np.isfinite(episodes.observation[:, 1:][episodes.valid]).all():
            yield f"{split!r}: an observation is not finite."


def endings(trial: Trial, *, may_coincide: bool) -> Iterator[str]:
    """`terminated` and `truncated` mean different things.

    Args:
      trial: with recorded episodes.
      may_coincide: a time limit of a wrapper can fall on the step at which the task itself ends the episode. It is a fault only
        where the two always come together. Without such wrappers, a single step at which both are true is a fault.
    """
    horizon = trial.distribution.spec.horizon
    for split, episodes in trial.episodes.items():
        terminated, truncated = episodes.terminated & episodes.valid, episodes.truncated & episodes.valid
        if not may_coincide and (terminated & truncated).any():
            yield f"{split!r}: terminated and truncated are both true at one step."
        if may_coincide and terminated[:, : horizon - 1].any() and (terminated == truncated).all():
            yield f"{split!r}: terminated and truncated are both true whenever an episode ends."
        alone = terminated & ~truncated
        at_horizon = alone.shape[1] == horizon > 1 and alone[:, -1].any()
        if at_horizon and (alone[:, -1] == episodes.valid[:, -1]).all() and not alone[:, :-1].any():
            yield f"{split!r}: all episodes are terminated at the horizon and never before: a time limit."


def task_blindness(trial: Trial) -> Iterator[str]:
    """No leaf of the task, no affine copy and no one-hot code of it, stands in the observations."""
    distribution, episodes = trial.distribution, trial.episodes["train"]
    if len(episodes.valid) < FEWEST_TASKS:
        return
    tasks = played_tasks(trial, "train")
    at_reset = leaks_at_reset(distribution, tasks, episodes.observation[:, 0])
    later = [] if at_reset else leaks_later(distribution, tasks, episodes.observation[:, 1:], episodes.valid)
    yield from (f"the observation after reset shows the task: {leak}." for leak in at_reset)
    yield from (f"the observations after the first step show the task: {leak}." for leak in later)
    if at_reset or later or distribution.shown or "determinism" in trial.broken:
        return
    firsts = list(trial.first_observations())
    if not all(same(first, firsts[0]) for first in firsts):
        yield "?the observation after reset depends on the task, though it copies no part of it."


def disjoint_splits(trial: Trial) -> Iterator[str]:
    """No task in two splits."""
    drawn = {split: set(rows(tasks)) for split, tasks in trial.tasks.items()}
    for one, other in combinations(drawn, 2):
        shared = len(drawn[one] & drawn[other])
        if shared:
            yield f"{one!r} ({len(drawn[one])} tasks) and {other!r} ({len(drawn[other])}) share {shared}."


def description(trial: Trial) -> Iterator[str]:
    """`describe` gives a dict of named arrays."""
    described: Any = trial.distribution.describe(one_task(trial))
    if not isinstance(described, dict):
        yield f"describe gives {type(described).__name__}, not a dict."
        return
    for name, value in described.items():
        if not isinstance(name, str) or np.asarray(value).dtype == object:
            yield f"describe gives {name!r}: {type(value).__name__}, not text and an array."


def references(trial: Trial) -> Iterator[str]:
    """`floor` and `ceiling` bound what one can expect."""
    distribution: AnyDistribution = trial.distribution
    for split in trial.tasks:
        tasks = played_tasks(trial, split)
        known: dict[str, Any] = {}
        for name in ("floor", "ceiling"):
            function = getattr(distribution, name)
            known[name] = None if function is None else np.asarray(jax.vmap(function)(tasks))
            if known[name] is not None and not np.isfinite(known[name]).all():
                yield f"{split!r}: {name} is not finite."
        if known["floor"] is not None and known["ceiling"] is not None:
            over = known["floor"] - known["ceiling"]
            if (over > 1e-4 * np.maximum(1.0, np.abs(known["ceiling"]))).any():
                yield f"{split!r}: floor lies above ceiling, by {over.max():.3g}."


SPACES = Law(spaces, "Widen the observation space, or clip the observation to it.")
FINITE_REWARD = Law(
    finite_reward,
    "Look for a division by zero, a logarithm or a root of something negative; divide rewards that are too large. Such steps "
    "are masked in training, in evaluation and in an Actor.",
)
DESCRIPTION = Law(description, "Return a dict from names (text) to arrays.", plays=False)
REFERENCES = Law(
    references,
    "Both are expected returns of a whole lifetime, in reward units: the floor of uniformly random actions, the ceiling of an "
    "agent that knows the task.",
    plays=False,
)


def already_looked(trial: Trial) -> Iterator[str]:
    """For laws whose faults are found while tasks are drawn and episodes played, before any other law is tried."""
    del trial
    yield from ()
