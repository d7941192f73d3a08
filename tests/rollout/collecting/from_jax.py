"""A test double: a distribution written in JAX as a host distribution, on which the drivers are compared."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree, UInt32

from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.protocol.task_distribution import TaskDistribution


def as_host(distribution: TaskDistribution) -> HostDistribution:
    """The same tasks, spaces and randomness, as environments with a state of their own.

    Its `sample` draws other tasks than the distribution's own, from the same splits, since it is given another generator.
    """

    def sample(split: str, generator: np.random.Generator) -> PyTree:
        words = generator.integers(0, 2**32, 2, dtype=np.uint32)
        task = distribution.sample(split, jax.random.wrap_key_data(jax.numpy.asarray(words)))
        return jax.tree.map(np.asarray, task)

    return HostDistribution(
        name=distribution.name,
        config=distribution.config,
        spec=distribution.spec,
        splits=distribution.splits,
        sample=sample,
        open=lambda: SteppedFromOutside(distribution),
        describe=distribution.describe,
        baselines=distribution.baselines,
        floor=distribution.floor,
        ceiling=distribution.ceiling,
        shown=distribution.shown,
    )


class SteppedFromOutside:
    """One environment of a distribution written in JAX; keys are split as in `run_lifetime`."""

    def __init__(self, distribution: TaskDistribution):
        self._horizon, self._episodes = distribution.spec.horizon, distribution.spec.episodes
        self._reset, self._step = jax.jit(distribution.reset), jax.jit(distribution.step)

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """A new lifetime."""
        self._task, self._key = task, key
        self._draw_keys()

    def reset(self, episode: int) -> Any:
        """A new episode of the same task; an agent may have more of them than the distribution says."""
        while episode >= self._episodes:
            self._episodes *= 2
            self._draw_keys()
        self._state, observation = self._reset(self._task, self._keys_reset[episode])
        return np.asarray(observation)

    def step(self, slot: int, action: Any) -> StepResult:
        """One step."""
        action = np.asarray(action, jax.dtypes.canonicalize_dtype(np.asarray(action).dtype))
        self._state, outcome = self._step(self._task, self._state, action, self._keys_step[slot])
        ends = bool(outcome.terminated), bool(outcome.truncated)
        return StepResult(np.asarray(outcome.observation), float(outcome.reward), *ends, {})

    def close(self) -> None:
        """Nothing to close."""

    def _draw_keys(self) -> None:
        """The first keys are the same however many are drawn."""
        steps = self._episodes * self._horizon
        self._keys_reset, self._keys_step = _keys_of(jax.numpy.asarray(self._key), episodes=self._episodes, steps=steps)


@partial(jax.jit, static_argnames=("episodes", "steps"))
def _keys_of(key: UInt32[Array, "2"], *, episodes: int, steps: int) -> tuple:
    key_reset, key_step = jax.random.split(jax.random.wrap_key_data(key))
    return jax.random.split(key_reset, episodes), jax.random.split(key_step, steps)
