"""Lifetimes in environments outside JAX: a pool of workers collects them, and the compiled update receives them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.memory import bytes_of
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.rollout.collecting.batch import CollectedBatch, judged
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.replay import empty_lifetime
from quickstudy.training.learning_within import points_of
from quickstudy.training.lifetime_source import Collected, HeldOut, Metrics, affordable_tasks, collected
from quickstudy.training.random_keys import held_out_keys, update_keys


def held_out_tasks(distribution: HostDistribution, *, tasks: int) -> tuple[PyTree, Key[Array, " tasks"]]:
    """The held-out tasks of the test split, leading axis `[tasks]`, and the key of the lifetime on each `[tasks]`.

    Where lifetimes are long there are fewer tasks: 2^15 steps in all, and at least 16.
    """
    tasks = affordable_tasks(tasks, distribution.spec, most_steps=2**15, least=16)
    split = jax.vmap(jax.random.split)(held_out_keys(tasks))
    return distribution.sample_tasks("test", split[0, 0], tasks=tasks), split[:, 1]


class HostSource:
    """Lifetimes in environments outside JAX: a pool of workers collects them, and the compiled update receives them.

    Args:
      algorithm: the algorithm that is trained.
      distribution: of the tasks.
      tasks: the number of held-out tasks; fewer where lifetimes are long.
      collecting: where the workers are.
    """

    supplies = True

    def __init__(self, algorithm: MetaAlgorithm, distribution: HostDistribution, *, tasks: int, collecting: CollectingConfig):
        self._distribution = distribution
        self._agent, self._collector = with_nonfinite_guard(algorithm.agent), with_nonfinite_guard(algorithm.collector)
        self._params, self._lifetimes = jax.jit(jax.vmap(algorithm.params)), algorithm.lifetimes
        self._tasks = tasks
        self._seconds = {"environment": 0.0, "policy": 0.0, "transfer": 0.0}
        self._pool = open_pool(distribution, collecting)

    def initial(self) -> PyTree:  # noqa: D102
        return ()

    def lifetime_bytes(self, params: PyTree) -> int:  # noqa: D102
        return bytes_of(jax.eval_shape(functools.partial(empty_lifetime, self._distribution.spec)))

    def compile(self, train: PyTree) -> None:  # noqa: D102
        pass

    def supply(self, train: PyTree, roots: Key[Array, " seeds"], update: int) -> tuple[PyTree, Metrics]:
        """Lifetimes `[seeds, T, lifetimes]`.

        Metrics: `lost` lifetimes, `environment_steps` that were taken, and `train_<measure>`, the mean over episodes of each
        measure of the distribution.
        """
        keys = jax.vmap(update_keys, (0, None, None))(roots, jnp.uint32(update), self._lifetimes)
        batches = []
        for seed, params in enumerate(self._params_by_seed(train)):
            split = jax.vmap(jax.random.split)(keys[seed, 1:])
            tasks = self._distribution.sample_tasks("train", split[0, 0], tasks=self._lifetimes)
            batch = self._pool.run(self._collector, params, tasks, split[:, 1])
            for activity, seconds in batch.seconds.items():
                self._seconds[activity] += seconds
            batches.append(batch)
        metrics = {
            "lost": [float(batch.lost.sum()) for batch in batches],
            "environment_steps": [float(batch.steps) for batch in batches],
        }
        for name in self._distribution.measures:
            metrics[f"train_{name}"] = [_known_mean(self._by_episode(batch, name)) for batch in batches]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(batch.lifetimes for batch in batches)), metrics

    def next(self, kept: PyTree, params: PyTree, supplied: PyTree, keys: Key[Array, " lifetimes"]) -> tuple[PyTree, Collected]:  # noqa: D102
        del params, keys
        return kept, collected(supplied)

    def held_out(self, train: PyTree) -> HeldOut:  # noqa: D102
        tasks, keys = held_out_tasks(self._distribution, tasks=self._tasks)
        points, so_far = points_of(self._distribution.spec.lifetime_steps), []
        metrics: Metrics = {"held_out_return": []}
        for params in self._params_by_seed(train):
            batch = self._pool.run(self._agent, params, tasks, keys)
            clean = collected(batch.lifetimes).fresh  # type: ignore[arg-type]
            reward = np.asarray(clean.outcome.reward)
            metrics["held_out_return"].append(float(reward.sum(0)[~batch.lost].mean()))
            so_far.append(reward[:, ~batch.lost].mean(1, dtype=np.float64).cumsum()[np.asarray(points) - 1])
            for name in self._distribution.measures:
                metrics.setdefault(f"held_out_{name}", []).append(_known_mean(self._by_episode(batch, name)[:, -1]))
        return HeldOut(metrics=metrics, steps=points, so_far=np.stack(so_far))

    def seconds(self) -> dict[str, float]:  # noqa: D102
        return dict(self._seconds)

    def close(self) -> None:  # noqa: D102
        self._pool.close()

    def _params_by_seed(self, train: PyTree) -> list[PyTree]:
        params = jax.tree.map(np.asarray, self._params(train))
        seeds = len(jax.tree.leaves(params)[0])
        return [jax.tree.map(lambda leaf, seed=seed: leaf[seed], params) for seed in range(seeds)]

    def _by_episode(self, batch: CollectedBatch, name: str) -> Float[np.ndarray, "lifetimes episodes"]:
        """A measure of every episode of the lifetimes that were not lost."""
        steps = batch.measures[name].T[~batch.lost]
        return judged(steps.reshape(len(steps), -1, self._distribution.spec.horizon), self._distribution.measures[name])


def _known_mean(values: Float[np.ndarray, "*episodes"]) -> float:
    """The mean over episodes in which something was measured; 0 where there is none, since metrics are finite."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0
