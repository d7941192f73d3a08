"""The clipped surrogate by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean


def test_clips_only_what_would_gain():
    ratio, advantage = jnp.array([1.5, 1.5, 0.5, 0.5]), jnp.array([1.0, -1.0, 1.0, -1.0])
    value = clipped_surrogate(jnp.log(ratio), jnp.zeros(4), advantage, clip=0.2)
    np.testing.assert_allclose(value, [1.2, -1.5, 0.5, -0.8], rtol=1e-6)


def test_gradient_vanishes_where_clipped():
    gradient = jax.vmap(jax.grad(lambda x, a: clipped_surrogate(x, jnp.zeros(()), a, clip=0.2)))
    found = gradient(jnp.log(jnp.array([1.5, 1.0])), jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(found, [0.0, 1.0], atol=1e-6)


def test_masked_mean_is_over_what_happened():
    assert masked_mean(jnp.array([1.0, 100.0, 3.0]), jnp.array([True, False, True])) == 2.0
    assert masked_mean(jnp.ones(2), jnp.zeros(2, bool)) == 0.0
