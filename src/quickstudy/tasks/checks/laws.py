"""The laws of a task distribution, one function each: it yields a sentence for whatever it finds broken.

    sampling            `sample` works under `vmap` in every split, and gives tasks of one structure
    shapes              what comes out of `reset` and `step` fits the spec; the state keeps its structure
    determinism         the same arguments give the same result, twice over and under `jit`
    same task           an episode leaves the task as it was, and the task decides something
    spaces              observations lie in the observation space
    finite reward       rewards and observations are finite
    endings             `terminated` is the task's word, `truncated` that of something outside it
    task-blindness      no part of the task can be read off the observations
    disjoint splits     no task is drawn by two splits
    description         `describe` gives a dict of named arrays
    references          `floor` and `ceiling` are finite, and the floor is not above the ceiling

A sentence that begins with '?' is a warning: it may be meant so. What looks at recorded episodes and at tasks alone serves
distributions outside JAX as well (`host_laws.py`).
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.checks.episodes import Trial, random_action
from quickstudy.tasks.checks.host_episodes import HostTrial
from quickstudy.tasks.checks.leaks import leaks_at_reset, leaks_later
from quickstudy.tasks.checks.trees import close, distinct, name_of, rows, same, structure

DEPENDENT_RESET = "?the observation after reset depends on the task, though it copies no part of it."
_COMPARED_TASKS = 2
_COMPARED_STEPS = 4


class Law(NamedTuple):
    """One law: who looks, what helps, and whether looking needs episodes that were played."""

    look: Callable[[Trial], Iterator[str]]
    remedy: str
    plays: bool = True


def shapes(trial: Trial) -> Iterator[str]:
    """Shapes and types of everything that `reset` and `step` return, found without running them."""
    distribution, task = trial.distribution, trial.one_task()
    key = trial.key
    action = random_action(distribution.spec.action_space, key)
    state, observation = jax.eval_shape(distribution.reset, task, key)
    following, outcome = jax.eval_shape(distribution.step, task, state, action, key)
    space = distribution.spec.observation_space
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    expected = "an integer scalar" if discrete else f"{space.dtype}{list(space.shape or ())}"
    for name, seen in (("reset", observation), ("step", outcome.observation)):
        if not _fits(seen, space):
            yield f"{name} gives an observation {name_of(seen)}; the observation space asks for {expected}."
    if outcome.reward.shape != () or not jnp.issubdtype(outcome.reward.dtype, jnp.floating):
        yield f"step gives a reward {name_of(outcome.reward)}; it must be one float, float32[]."
    for name in ("terminated", "truncated"):
        flag = getattr(outcome, name)
        if flag.shape != () or flag.dtype != jnp.bool_:
            yield f"step gives {name} {name_of(flag)}; it must be one truth value, bool[]."
    if structure(state) != structure(following):
        yield f"step turns a state {structure(state)} into {structure(following)}."


def determinism(trial: Trial) -> Iterator[str]:
    """The same arguments, twice and under `jit`."""
    reset, step = trial.distribution.reset, trial.distribution.step
    for number in range(_COMPARED_TASKS):
        task = trial.one_task(number)
        key_action, key_reset, key_step = jax.random.split(jax.random.fold_in(trial.key, number), 3)
        action = random_action(trial.distribution.spec.action_space, key_action)
        state, _ = reset(task, key_reset)
        for name, function, arguments in (
            ("reset", reset, (task, key_reset)),
            ("step", step, (task, state, action, key_step)),
        ):
            once = function(*arguments)
            if not same(once, function(*arguments)):
                yield f"{name} gives something else when it is called again with the same arguments."
            # Compiled anew, since JAX would otherwise remember what the function was when it was traced before.
            elif not close(once, jax.jit(lambda *given, function=function: function(*given))(*arguments)):
                yield f"{name} gives something else under jax.jit."


def same_task(trial: Trial) -> Iterator[str]:
    """An episode leaves the task as it was, and what happens follows from the task that was given."""
    distribution, task, key = trial.distribution, trial.one_task(), trial.key
    start = distribution.reset(task, key)
    repeats = same(start, distribution.reset(task, key))
    state = start[0]
    for key_step in jax.random.split(key, min(_COMPARED_STEPS, distribution.spec.horizon)):
        action = random_action(distribution.spec.action_space, key_step)
        state, _ = distribution.step(task, state, action, key_step)
    if repeats and not same(start, distribution.reset(task, key)):
        yield "after an episode was played, reset with the same task and key begins another one."
    if not _reads_task(distribution, task, key):
        yield "neither reset nor step reads the task: whatever is hidden is drawn anew by reset."


def spaces(trial: Trial | HostTrial) -> Iterator[str]:
    """Observations lie in their space."""
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


def finite_reward(trial: Trial | HostTrial) -> Iterator[str]:
    """No NaN and no infinity while an episode lasts."""
    for split, episodes in trial.episodes.items():
        bad = episodes.valid & ~np.isfinite(episodes.reward)
        if bad.any():
            first = episodes.reward[bad][0]
            yield f"{split!r}: a reward is {first} ({bad.sum()} of {episodes.valid.sum()} steps)."
        if not np.isfinite(episodes.observation[:, 0]).all():
            yield f"{split!r}: the observation after reset is not finite."
        elif not np.isfinite(episodes.observation[:, 1:][episodes.valid]).all():
            yield f"{split!r}: an observation is not finite."


def endings(trial: Trial) -> Iterator[str]:
    """`terminated` and `truncated` mean different things."""
    for split, episodes in trial.episodes.items():
        if (episodes.terminated & episodes.truncated & episodes.valid).any():
            yield f"{split!r}: terminated and truncated are both true at one step."
    yield from time_limits(trial)


def time_limits(trial: Trial | HostTrial) -> Iterator[str]:
    """A time limit that says `terminated`."""
    horizon = trial.distribution.spec.horizon
    for split, episodes in trial.episodes.items():
        terminated = episodes.terminated & episodes.valid & ~episodes.truncated
        at_horizon = terminated.shape[1] == horizon > 1 and terminated[:, -1].any()
        if at_horizon and (terminated[:, -1] == episodes.valid[:, -1]).all() and not terminated[:, :-1].any():
            yield f"{split!r}: all episodes are terminated at the horizon and never before: a time limit."


def task_blindness(trial: Trial) -> Iterator[str]:
    """No leaf of the task, no affine copy and no one-hot of it, stands in the observations."""
    found = list(leaks(trial))
    yield from found
    if not found and not trial.distribution.shown:
        tasks = trial.some_tasks("train")
        if distinct(jax.vmap(lambda task: trial.distribution.reset(task, trial.key)[1])(tasks)) > 1:
            yield DEPENDENT_RESET


def leaks(trial: Trial | HostTrial) -> Iterator[str]:
    """What of the task stands in the observations that were recorded."""
    distribution, episodes, tasks = trial.distribution, trial.episodes["train"], trial.some_tasks("train")
    at_reset = leaks_at_reset(distribution, tasks, episodes.observation[:, 0])
    yield from (f"the observation after reset shows the task: {leak}." for leak in at_reset)
    if not at_reset:
        later = leaks_later(distribution, tasks, episodes.observation[:, 1:], episodes.valid)
        yield from (f"the observations after the first step show the task: {leak}." for leak in later)


def disjoint_splits(trial: Trial | HostTrial) -> Iterator[str]:
    """No task in two splits."""
    seen = {split: set(rows(tasks)) for split, tasks in trial.tasks.items()}
    for one, other in combinations(seen, 2):
        shared = len(seen[one] & seen[other])
        if shared:
            yield f"{one!r} ({len(seen[one])} tasks) and {other!r} ({len(seen[other])}) share {shared}."


def description(trial: Trial | HostTrial) -> Iterator[str]:
    """`describe` gives a dict of named arrays."""
    described: Any = trial.distribution.describe(trial.one_task())
    if not isinstance(described, dict):
        yield f"describe gives {type(described).__name__}, not a dict."
        return
    for name, value in described.items():
        if not isinstance(name, str) or np.asarray(value).dtype == object:
            yield f"describe gives {name!r}: {type(value).__name__}, not text and an array."


def references(trial: Trial | HostTrial) -> Iterator[str]:
    """`floor` and `ceiling` bound what one can expect."""
    distribution = trial.distribution
    for split in trial.tasks:
        tasks = trial.some_tasks(split)
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


LAWS: dict[str, Law] = {
    "sampling": Law(
        lambda trial: iter(()),  # `draw_tasks` looks, before there is anything else to look at
        "Draw everything with jax.random from the key, in shapes that depend on neither key nor split.",
        plays=False,
    ),
    "shapes": Law(
        shapes,
        "Make the spec and the functions say the same; the state that step returns must look like reset's.",
        plays=False,
    ),
    "determinism": Law(
        determinism,
        "Draw with jax.random from the key alone; keep no counter, clock or NumPy generator outside.",
    ),
    "same task": Law(same_task, "Draw the task in sample, read it in reset and step, and carry what changes in the state."),
    "spaces": Law(spaces, "Widen the observation space, or clip the observation to it."),
    "finite reward": Law(finite_reward, "Look for a division by zero, a logarithm or a root of something negative."),
    "endings": Law(
        endings,
        "Set terminated only where the task itself ends an episode, and truncated only where something else "
        "does; the horizon is the driver's: leave both false there.",
    ),
    "task-blindness": Law(
        task_blindness,
        "Take it out of the observation; or, if agents are meant to see it, name it: TaskDistribution(shown=('name',)).",
    ),
    "disjoint splits": Law(
        disjoint_splits,
        "Let the split decide a part of the task that two splits can never share; "
        "task_distribution.mark_split does it for numbers in [0, 1).",
        plays=False,
    ),
    "description": Law(description, "Return a dict from names (text) to arrays.", plays=False),
    "references": Law(
        references,
        "Both are expected returns of a whole lifetime, in reward units: of uniformly random actions, and of "
        "one who knows the task.",
        plays=False,
    ),
}


def _fits(leaf: jax.ShapeDtypeStruct, space: Any) -> bool:
    if isinstance(space, gymnasium.spaces.Discrete):
        return leaf.shape == () and bool(jnp.issubdtype(leaf.dtype, jnp.integer))
    return leaf.shape == space.shape and leaf.dtype == jax.dtypes.canonicalize_dtype(space.dtype)


def _reads_task(distribution: TaskDistribution, task: PyTree, key: PRNGKeyArray) -> bool:
    """Whether anything computed by `reset` or `step` has a leaf of the task among its inputs."""
    state, _ = jax.eval_shape(distribution.reset, task, key)
    action = random_action(distribution.spec.action_space, key)
    for function, others in ((distribution.reset, (key,)), (distribution.step, (state, action, key))):
        program = jax.make_jaxpr(function)(task, *others).jaxpr
        leaves = {id(variable) for variable in program.invars[: len(jax.tree.leaves(task))]}
        used = [variable for equation in program.eqns for variable in equation.invars] + list(program.outvars)
        if any(id(variable) in leaves for variable in used):
            return True
    return False
