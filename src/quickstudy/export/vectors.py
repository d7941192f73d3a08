"""Recorded steps of an agent in JAX, which every exported form must repeat.

The agent plays on its own tasks. Where these are not written in JAX, observations and rewards are drawn at random, in the sizes
that the agent has met in training. Some episodes also end early, some rewards are missing, and some numbers are not
finite. The agent's own session in JAX decides on all of them.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.memory import check_memory, free_bytes
from quickstudy.protocol.records import Outcome, Spec, blank_observation
from quickstudy.protocol.sequences import where
from quickstudy.protocol.spaces import flat_size
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout import session as sessions

FEEDBACK = ("action", "reward", "successor", "terminated", "truncated")

_MISSING_REWARDS, _INFINITE_REWARDS, _MISSING_NUMBERS, _EARLY_ENDS = 0.03, 0.1, 0.01, 0.02
"""Parts of the steps without a reward, and of these that are infinite; with an observation that is NaN; that end an episode
early."""

_BYTES_OF_STEP, _BYTES_OF_NUMBER = 200, 80
"""Of a step without its observation and its decision, and of each number in these two: drawn, recorded, and packed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vectors:
    """Recorded steps.

    Args:
      begins: `[steps]`, whether a new lifetime begins before this step; there is no feedback then.
      feedback: by name, `[steps, ...]`: action, reward, successor, terminated and truncated of the step before.
      observation: `[steps, ...]`, that is acted on now.
      decision: by name, `[steps, ...]`: what the agent decided.
      memory: by name, the memory at the end.
      memory_at_start: by name, the memory that each step begins with if it begins a lifetime; only leaves that are drawn.
    """

    begins: np.ndarray
    feedback: dict[str, np.ndarray]
    observation: np.ndarray
    decision: dict[str, np.ndarray]
    memory: dict[str, np.ndarray]
    memory_at_start: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.begins)

    def first(self, steps: int) -> "Vectors":
        """The first steps; the memory at the end is left out."""
        cut = lambda arrays: {name: array[:steps] for name, array in arrays.items()}  # noqa: E731
        return Vectors(
            begins=self.begins[:steps],
            feedback=cut(self.feedback),
            observation=self.observation[:steps],
            decision=cut(self.decision),
            memory={},
            memory_at_start=cut(self.memory_at_start),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, as it is stored."""
        named = {"begins": self.begins, "observation": self.observation}
        for group in ("feedback", "decision", "memory_at_start"):
            named |= {f"{group}.{name}": array for name, array in getattr(self, group).items()}
        return named


def check_memory_of_steps(spec: Spec, steps: int) -> None:
    """Raises UsageError if recording this many steps needs more memory than is free."""
    each = _BYTES_OF_STEP + _BYTES_OF_NUMBER * (flat_size(spec.action_space) + math.prod(spec.observation_space.shape or ()))
    free = free_bytes()
    fit = 0 if free is None else free // each
    check_memory(steps * each, what=f"comparing {steps:,} steps", remedy=f"Ask for fewer: --check {fit}.", free=free)


def record_vectors(
    agent: Agent,
    params: PyTree,
    world: TaskDistribution | None,
    *,
    steps: int,
    drawn_at_start: frozenset[str],
    outputs: list[str],
    seed: int,
) -> Vectors:
    """Steps of lifetimes, one after another.

    Args:
      agent: the guarded agent.
      params: its parameters.
      world: its tasks; None draws observations and rewards at random.
      steps: how many.
      drawn_at_start: names of leaves of memory that differ from lifetime to lifetime at the start.
      outputs: names of what decisions say that is recorded.
      seed: of everything that is random.
    """
    drawn = _drawn_steps(agent.spec, params, steps=steps, generator=np.random.default_rng(seed))
    played = _Random(spec=agent.spec) if world is None else _Played(world=world)
    record = jax.jit(partial(_record, agent, params, played, drawn_at_start=drawn_at_start, outputs=outputs))
    memory, rows = jax.tree.map(np.asarray, record(drawn, jax.random.key(seed)))
    feedback = {name: np.concatenate([np.zeros_like(rows[name][:1]), rows[name][:-1]]) for name in FEEDBACK}
    return Vectors(
        begins=rows["begins"],
        feedback=feedback,
        observation=rows["observation"],
        decision=rows["decision"],
        memory=memory,
        memory_at_start=rows["memory_at_start"],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Played:
    """What happens on the agent's own tasks."""

    world: TaskDistribution

    def begin(self, given: dict[str, Array], key: PRNGKeyArray) -> PyTree:
        """A new task."""
        del given
        return self.world.sample("test" if "test" in self.world.splits else self.world.splits[0], key)

    def reset(self, task: PyTree, given: dict[str, Array], key: PRNGKeyArray) -> tuple[PyTree, Array]:
        """State and observation at the start of an episode."""
        del given
        return self.world.reset(task, key)

    def step(
        self, task: PyTree, state: PyTree, action: Array, given: dict[str, Array], key: PRNGKeyArray
    ) -> tuple[PyTree, Outcome]:
        """What follows an action."""
        del given
        return self.world.step(task, state, action, key)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Random:
    """Observations and rewards that were drawn beforehand, with the same functions."""

    spec: Spec

    def begin(self, given: dict[str, Array], key: PRNGKeyArray) -> PyTree:
        """Nothing."""
        del given, key
        return jnp.zeros(())

    def reset(self, task: PyTree, given: dict[str, Array], key: PRNGKeyArray) -> tuple[PyTree, Array]:
        """The drawn observation."""
        del task, key
        return jnp.zeros(()), given["first"]

    def step(
        self, task: PyTree, state: PyTree, action: Array, given: dict[str, Array], key: PRNGKeyArray
    ) -> tuple[PyTree, Outcome]:
        """The drawn outcome."""
        del task, action, key
        no = jnp.asarray(False)
        return state, Outcome(observation=given["successor"], reward=given["reward"], terminated=no, truncated=no)


def _record(
    agent: Agent,
    params: PyTree,
    played: _Played | _Random,
    drawn: dict[str, Array],
    key: PRNGKeyArray,
    *,
    drawn_at_start: frozenset[str],
    outputs: list[str],
) -> tuple[dict[str, Array], dict[str, Any]]:
    spec = agent.spec

    def step(carry: tuple, now: tuple) -> tuple[tuple, dict[str, Any]]:
        session, task, state, observation, over = carry
        given, key = now
        key_session, key_task, key_reset, key_step = jax.random.split(key, 4)
        begins = session.slot >= spec.lifetime_steps
        fresh = sessions.begin(agent, params, key_session)
        session = where(begins, fresh, session)
        task = where(begins, played.begin(given, key_task), task)
        state, observation = where(begins | over, played.reset(task, given, key_reset), (state, observation))
        observation = _broken(observation, given["breaks"])
        session = sessions.decide(agent, params, session, observation)
        state, outcome = played.step(task, state, session.decision.action, given, key_step)
        outcome = dataclasses.replace(
            outcome,
            reward=jnp.where(given["hides"], given["hidden"], jnp.asarray(outcome.reward, jnp.float32)),
            terminated=jnp.asarray(outcome.terminated) | given["ends"],
            truncated=jnp.asarray(outcome.truncated) | given["truncated"],
        )
        extras = {name.removeprefix("."): leaf for name, leaf in named_leaves(session.decision.extras, root="").items()}
        start = named_leaves(fresh.memory, root="memory")
        row = {
            "begins": begins,
            "observation": observation,
            "action": session.decision.action,
            "decision": {name: extras[name] for name in outputs},
            "memory_at_start": {name: start[name] for name in drawn_at_start},
            "reward": outcome.reward,
            "successor": outcome.observation,
            "terminated": outcome.terminated,
            "truncated": outcome.truncated,
        }
        slot = session.slot
        session = sessions.observe(agent, params, session, outcome, adapts=True)
        over = (session.slot != slot + 1) | (session.slot % spec.horizon == 0)
        return (session, task, state, outcome.observation, over), row

    key_first, key_rest = jax.random.split(key)
    first = sessions.begin(agent, params, key_first)
    # A slot behind the end, so that the first step begins a lifetime.
    first = dataclasses.replace(first, slot=jnp.int32(spec.lifetime_steps))
    one = jax.tree.map(lambda leaf: leaf[0], drawn)
    task = played.begin(one, key_first)
    state, observation = played.reset(task, one, key_first)
    keys = jax.random.split(key_rest, len(drawn["reward"]))
    (session, *_), rows = jax.lax.scan(step, (first, task, state, observation, jnp.asarray(True)), (drawn, keys))
    return named_leaves(session.memory, root="memory"), rows


def _broken(observation: Array, breaks: Array) -> Array:
    """The observation, or NaN in place of all its numbers; whole numbers cannot be NaN."""
    if not jnp.issubdtype(observation.dtype, jnp.floating):
        return observation
    return jnp.where(breaks, jnp.nan, observation)


def _drawn_steps(spec: Spec, params: PyTree, *, steps: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """The random numbers of every step that do not depend on the agent's decisions."""
    statistics = getattr(params, "statistics", None)
    weight = float(getattr(statistics, "weight", 0.0))
    size = (float(statistics.reward) / weight) ** 0.5 if statistics is not None and weight > 0 else 1.0
    hidden = np.where(generator.random(steps) < _INFINITE_REWARDS, np.inf, np.nan).astype(np.float32)
    return {
        "first": _observations(spec, statistics, steps, generator),
        "successor": _observations(spec, statistics, steps, generator),
        "reward": (size * generator.standard_normal(steps)).astype(np.float32),
        "hides": generator.random(steps) < _MISSING_REWARDS,
        "hidden": hidden,
        "breaks": generator.random(steps) < _MISSING_NUMBERS,
        "ends": generator.random(steps) < _EARLY_ENDS,
        "truncated": generator.random(steps) < _EARLY_ENDS,
    }


def _observations(spec: Spec, statistics: Any, steps: int, generator: np.random.Generator) -> np.ndarray:
    """Elements of the space; of a Box, numbers of the sizes of training where the agent knows them."""
    space, seen = spec.observation_space, blank_observation(spec)
    if isinstance(space, gymnasium.spaces.Discrete):
        return (int(space.start) + generator.integers(0, int(space.n), steps)).astype(seen.dtype)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return (space.start + (generator.random((steps, *space.shape)) * space.nvec)).astype(seen.dtype)
    low, high = (np.asarray(bound, np.float64) for bound in (space.low, space.high))
    bounded, whole = np.isfinite(low) & np.isfinite(high), np.issubdtype(space.dtype, np.integer)
    least = np.where(bounded, low, 0.0)
    width = np.where(bounded, high, 0.0) - least + whole
    mean, deviation, by_size = _sizes(statistics, bounded)
    shape = (steps, *space.shape)
    near = np.clip(mean + deviation * generator.standard_normal(shape), low, high)
    numbers = np.where(by_size, near, least + generator.random(shape) * width)
    numbers = (np.floor(numbers) if whole else numbers).astype(seen.dtype)
    if spec.action_mask and isinstance(spec.action_space, gymnasium.spaces.Discrete):
        actions = int(spec.action_space.n)
        numbers[..., -actions:] = generator.random((steps, actions)) < 0.7
        numbers[..., -actions] = 1.0
    return numbers


def _sizes(statistics: Any, bounded: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of each number of an observation in training, and which numbers are drawn by them.

    Numbers that agents measure by their bounds are drawn between these.

    Args:
      statistics: of the agent; None where it has none.
      bounded: in the shape of an observation, which numbers have bounds.
    """
    weight = float(getattr(statistics, "weight", 0.0))
    if weight <= 0 or getattr(statistics, "observation", None) is None:
        return np.zeros(bounded.shape), np.ones(bounded.shape), ~bounded
    mean, square = (np.asarray(x, np.float64) / weight for x in (statistics.observation, statistics.observation_square))
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-8))
    if statistics.origin is not None:
        mean = mean + np.asarray(statistics.origin, np.float64)
    by_size = np.ones(bounded.shape, bool) if statistics.scaled_by == "seen" else ~bounded
    return mean.reshape(bounded.shape), deviation.reshape(bounded.shape), by_size
