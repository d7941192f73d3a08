"""One update: metrics of what adaptation changed, over devices, without lost lifetimes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy import algorithms, tasks
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.training.update import adaptation_metrics


def test_adaptation_is_measured_on_lifetimes_that_were_not_lost():
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
    params, task = algorithm.agent.init(jax.random.key(0)), distribution.sample("train", jax.random.key(1))
    one, _ = run_lifetime(algorithm.agent, distribution, params, task, jax.random.key(2))
    reward = jnp.full((5, 4), 7.0).at[0].set(jnp.array([0.0, 1.0, 0.0, 0.0])).at[-1].set(jnp.array([1.0, 3.0, 2.0, 0.0]))
    lost = jnp.array([False, False, False, True])

    def metrics(reward, lost):
        lifetimes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], 1), one)
        outcome = dataclasses.replace(lifetimes.outcome, reward=reward)
        valid = jnp.broadcast_to(~lost, reward.shape)
        return adaptation_metrics(algorithm, dataclasses.replace(lifetimes, outcome=outcome, valid=valid))

    # On two devices, with two lifetimes each.
    found = jax.vmap(metrics, (1, 0), None, axis_name=LIFETIMES_AXIS)(reward.reshape(5, 2, 2), lost.reshape(2, 2))
    np.testing.assert_allclose(found["first_episodes"], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["last_episodes"], 2.0, rtol=1e-6)
    np.testing.assert_allclose(found["adaptation_error"], np.std([1.0, 2.0, 2.0]) / 3**0.5, rtol=1e-6)
