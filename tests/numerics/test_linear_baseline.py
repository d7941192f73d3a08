"""Fitting, where the truth is known."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.numerics.linear_baseline import linear_baseline


def test_linear_baseline_finds_a_line():
    keys = jax.random.split(jax.random.key(0), 2)
    observation, valid = jax.random.normal(keys[0], (5, 20, 2)), jax.random.bernoulli(keys[1], 0.8, (5, 20))
    time = jnp.broadcast_to(jnp.arange(20.0) / 20.0, (5, 20))
    returns = 3.0 - 2.0 * observation[..., 0] + observation[..., 1] ** 2 + time**2
    fitted = linear_baseline(observation, jnp.where(valid, returns, 1e3), valid, ridge=1e-6)
    np.testing.assert_allclose(fitted, returns, atol=2e-3)
