"""The law that `mean_reward` is the mean of what `step` pays."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime_measured
from quickstudy.tasks.checks.laws import Law, Trial, played_tasks

_ERRORS = 5.0
"""Means may differ by so many standard errors."""
_ROUNDING = 1e-3
"""And by this part of a return."""


def mean_rewards(trial: Trial) -> Iterator[str]:
    """Over a lifetime of random actions, `mean_reward` and the rewards have sums of the same mean."""
    distribution: Any = trial.distribution
    if distribution.mean_reward is None:
        return
    for split in trial.tasks:
        tasks = played_tasks(trial, split)
        keys = jax.random.split(jax.random.key(0), len(jax.tree.leaves(tasks)[0]))
        paid, expected = (np.asarray(sums, float) for sums in _sums(distribution, tasks, keys))
        if not np.isfinite(expected).all():
            yield f"{split!r}: mean_reward is not finite."
            continue
        error = (paid - expected).std() / len(paid) ** 0.5
        if abs((paid - expected).mean()) > _ERRORS * error + _ROUNDING * np.abs(paid).mean():
            yield (
                f"{split!r}: over a lifetime of random actions, rewards add up to {paid.mean():.4g} and mean_reward to "
                f"{expected.mean():.4g}, with a standard error of {error:.2g} of the difference."
            )


def _sums(distribution: TaskDistribution, tasks: PyTree, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums of rewards and of `mean_reward` over one lifetime on each task, `[tasks]` each."""
    agent = random_agent(distribution.spec)

    def one(task: PyTree, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        params, measure = agent.init(key), distribution.mean_reward
        (lifetime, expected), _ = run_lifetime_measured(agent, distribution, params, task, key, measure=measure)
        # Rewards of steps that did not happen are zero already.
        return lifetime.outcome.reward.sum(), jnp.where(lifetime.valid, jnp.asarray(expected), 0.0).sum()

    return jax.jit(jax.vmap(one))(tasks, keys)


MEAN_REWARDS = Law(
    mean_rewards,
    "Return the mean of the reward that this action brings, now or later, given the task and the state before the action. "
    "Leave the field out where that is not known.",
)
