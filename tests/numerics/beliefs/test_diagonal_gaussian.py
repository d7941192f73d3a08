"""Latent beliefs against closed forms and against draws."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.numerics.beliefs.diagonal_gaussian import MOST_LOG_VARIANCE, LatentBelief


def test_divergence_is_that_of_normal_distributions():
    one = LatentBelief(mean=jnp.array([[1.0, -2.0]]), log_variance=jnp.log(jnp.array([[0.5, 2.0]])))
    other = LatentBelief(mean=jnp.array([[0.0, 1.0]]), log_variance=jnp.log(jnp.array([[1.0, 4.0]])))
    by_hand = 0.5 * ((0.5 + 1 - 1 - np.log(0.5)) + (0.5 + 9 / 4 - 1 - np.log(0.5)))
    np.testing.assert_allclose(one.divergence(other), [by_hand], rtol=1e-6)
    np.testing.assert_allclose(one.divergence(one), [0.0], atol=1e-7)
    assert one.divergence(other)[0] != other.divergence(one)[0]
    np.testing.assert_allclose(LatentBelief.standard(one).mean, 0.0)


def test_divergence_agrees_with_draws():
    one = LatentBelief(mean=jnp.array([0.3]), log_variance=jnp.array([-0.7]))
    standard = LatentBelief.standard(one)
    draws = jax.vmap(one.sample)(jax.random.split(jax.random.key(0), 200_000))[:, 0]
    log = lambda belief, x: -0.5 * (x - belief.mean[0]) ** 2 * jnp.exp(-belief.log_variance[0]) - 0.5 * belief.log_variance[0]  # noqa: E731
    differences = np.asarray(log(one, draws) - log(standard, draws))
    error = differences.std() / len(differences) ** 0.5
    assert abs(differences.mean() - float(one.divergence(standard))) < 4 * error


def test_variances_stay_within_what_float32_bears():
    belief = LatentBelief.from_parameters(jnp.array([0.0, 1.0, 1e9, -1e9]))
    np.testing.assert_array_equal(belief.mean, [0.0, 1.0])
    assert belief.log_variance[0] == MOST_LOG_VARIANCE
    assert np.isfinite(belief.divergence(LatentBelief.standard(belief)))
