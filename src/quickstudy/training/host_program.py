"""One update and one look at held-out tasks where the tasks live outside: collectors live, a compiled program learns."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.evaluation.measures import judged
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.nonfinite import mask_nonfinite, with_nonfinite_guard
from quickstudy.training.compiled_program import (
    HELD_OUT_SEED,
    OuterProgram,
    device_mesh,
    learned,
    look_at_baselines,
    update_keys,
)


class HostProgram:
    """The same two operations as of an `OuterProgram`.

    Args:
      algorithm: that learns.
      distribution: of the tasks.
      tasks: held-out tasks that a look is taken at; fewer where lifetimes are long.
      collecting: where lifetimes are lived.
    """

    def __init__(self, algorithm: MetaAlgorithm, distribution: HostDistribution, *, tasks: int, collecting: CollectingConfig):
        self.algorithm, self.distribution = algorithm, distribution
        self._agent, self._tasks = with_nonfinite_guard(algorithm.agent), _affordable(tasks, distribution)
        self._spent = {"environment": 0.0, "policy": 0.0, "transfer": 0.0, "update": 0.0}
        self._params = jax.jit(jax.vmap(algorithm.params))
        self._learn = _learn_program(algorithm)
        self.pool = open_pool(distribution, collecting)

    def compile(self, state: PyTree, roots: PRNGKeyArray) -> None:
        """Nothing: what lifetimes look like is known when some were lived."""

    def train(self, state: PyTree, roots: PRNGKeyArray, update: int, progress: float) -> tuple[PyTree, dict[str, list[float]]]:
        """The state after one more update, and metrics, each a list over seeds. The old state is given up.

        Beside those of learning: `lost` lifetimes, `environment_steps` that were taken, and `train_<measure>` of the
        distribution's measures, as a mean over episodes.

        Raises:
          CollectingError: not one lifetime could be lived.
        """
        params = jax.tree.map(np.asarray, self._params(state))
        keys = jax.vmap(update_keys, (0, None, None))(roots, jnp.uint32(update), self.algorithm.lifetimes)
        every = []
        for seed in range(len(roots)):
            split = jax.vmap(jax.random.split)(keys[seed, 1:])
            tasks = self.distribution.sample_tasks("train", split[0, 0], tasks=self.algorithm.lifetimes)
            of_seed = jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)
            lived = self.pool.run(self._agent, of_seed, tasks, split[:, 1])
            self._account(lived)
            every.append(lived)
        began = time.perf_counter()
        lifetimes = jax.tree.map(lambda *leaves: np.stack(leaves), *(lived.lifetimes for lived in every))
        state, learning = self._learn(state, lifetimes, jnp.float32(progress), keys[:, 0])
        metrics = {name: np.asarray(value, float).tolist() for name, value in learning.items()}
        self._spent["update"] += time.perf_counter() - began
        metrics["lost"] = [float(lived.lost.sum()) for lived in every]
        metrics["environment_steps"] = [float(lived.steps) for lived in every]
        for name in self.distribution.measures:
            metrics[f"train_{name}"] = [float(np.nanmean(self._judged(lived, name))) for lived in every]
        return state, metrics

    def look(self, state: PyTree) -> dict[str, list[float]]:
        """`held_out_return` on the same tasks of the test split at every look, over seeds; measures of the last episode."""
        params = jax.tree.map(np.asarray, self._params(state))
        split = jax.vmap(jax.random.split)(jax.random.split(jax.random.key(HELD_OUT_SEED), self._tasks))
        tasks = self.distribution.sample_tasks("test", split[0, 0], tasks=self._tasks)
        seen: dict[str, list[float]] = {"held_out_return": []}
        for seed in range(len(jax.tree.leaves(params)[0])):
            of_seed = jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)
            lived = self.pool.run(self._agent, of_seed, tasks, split[:, 1])
            clean, _ = mask_nonfinite(lived.lifetimes)  # type: ignore[arg-type]
            seen["held_out_return"].append(float(np.asarray(clean.outcome.reward).sum(0)[~lived.lost].mean()))
            for name in self.distribution.measures:
                last = self._judged(lived, name)[:, -1]
                seen.setdefault(f"held_out_{name}", []).append(float(np.nanmean(last)))
        return seen

    def spent(self) -> dict[str, float]:
        """Seconds of training by what they were spent on."""
        return dict(self._spent)

    def close(self) -> None:
        """Ends the collectors."""
        self.pool.close()

    def _account(self, lived: CollectedBatch) -> None:
        for what, seconds in lived.seconds.items():
            self._spent[what] += seconds

    def _judged(self, lived: CollectedBatch, name: str) -> np.ndarray:
        """A measure of every episode `[lifetimes, episodes]`; NaN for lost lifetimes."""
        steps = lived.measures[name].T[~lived.lost]
        return judged(steps.reshape(len(steps), -1, self.distribution.spec.horizon), self.distribution.measures[name])


def program_of(
    algorithm: MetaAlgorithm, distribution: AnyDistribution, *, tasks: int, collecting: CollectingConfig
) -> OuterProgram | HostProgram:
    """Whatever updates and looks on tasks of this kind are made with."""
    if isinstance(distribution, HostDistribution):
        return HostProgram(algorithm, distribution, tasks=tasks, collecting=collecting)
    return OuterProgram(algorithm, distribution, tasks=tasks)


def baselines_on(distribution: AnyDistribution, *, tasks: int, collecting: CollectingConfig) -> dict[str, float]:
    """Mean lifetime return of every baseline on the held-out tasks that looks are taken at."""
    if not isinstance(distribution, HostDistribution):
        return look_at_baselines(distribution, tasks=tasks)
    if not distribution.baselines:
        return {}
    count, returns = _affordable(tasks, distribution), {}
    split = jax.vmap(jax.random.split)(jax.random.split(jax.random.key(HELD_OUT_SEED), count))
    drawn = distribution.sample_tasks("test", split[0, 0], tasks=count)
    with open_pool(distribution, collecting) as pool:
        for name, make in distribution.baselines.items():
            agent = make()
            lived = pool.run(agent, agent.init(jax.random.key(0)), drawn, split[:, 1], rewards_only=True)
            returns[name] = float(lived.reward.sum(0)[~lived.lost].mean())
    return returns


def _affordable(tasks: int, distribution: HostDistribution) -> int:
    """As many tasks as asked for, but where lifetimes are long 2^15 steps in all, and 16 at least."""
    return min(tasks, max(16, 2**15 // distribution.spec.lifetime_steps))


def _learn_program(algorithm: MetaAlgorithm) -> Any:
    """`(state, lifetimes, progress, keys) -> (state, metrics)`, over seeds and devices; the old state is given up."""

    def one_seed(state: PyTree, lifetimes: PyTree, progress: Array, key: PRNGKeyArray) -> tuple[PyTree, dict]:
        return learned(algorithm, state, lifetimes, progress, key)

    shared = jax.shard_map(
        jax.vmap(one_seed, (0, 0, None, 0)),
        mesh=device_mesh(algorithm),
        in_specs=(P(), P(None, None, LIFETIMES_AXIS), P(), P()),
        out_specs=(P(), P()),
        check_vma=False,
    )
    return jax.jit(shared, donate_argnums=0)
