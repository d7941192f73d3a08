"""An agent that takes the mean of its policy is trained on drawn actions."""

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.rollout.compiled import run_lifetime


@pytest.mark.parametrize("name", ["bernoulli-bandit", "point-navigation"])
def test_without_draws_keys_do_not_matter_and_training_draws(name):
    distribution = tasks.make(name)
    algorithm = algorithms.make("rl2", distribution.spec, cell="gru", hidden_size=8, draws=False)
    params = algorithm.params(algorithm.init(jax.random.key(0)))
    task, apart = distribution.sample("test", jax.random.key(1)), {}
    run = jax.jit(lambda key: run_lifetime(algorithm.agent, distribution, params, task, key)[0])
    lifetime = run(jax.random.key(2))
    for which, agent in (("trained", algorithm.agent), ("collector", algorithm.collector)):
        actions = [agent.unroll(params, lifetime, key)[1].action for key in jax.random.split(jax.random.key(3))]
        apart[which] = np.abs(np.asarray(actions[0], float) - np.asarray(actions[1], float)).max()
    assert apart["trained"] < 1e-2 < apart["collector"]
    # The policy of each decision says the same.
    _, decisions = algorithm.agent.unroll(params, lifetime, jax.random.key(4))
    np.testing.assert_allclose(decisions.action, lifetime.decision.action, atol=1e-2)
