"""Mixtures of normal distributions against sums over a fine grid, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.beliefs.belief import Belief
from quickstudy.numerics.beliefs.gaussian_mixture import GaussianMixtureBelief, mixture_posterior

MEANS, DEVIATIONS, WEIGHTS = np.float64([[1.0, 0.0], [-0.5, 0.8], [0.0, 0.0]]), np.float64([0.3, 0.2, 0.9]), [0.5, 0.3, 0.2]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def posterior_of(rows, observed, noise):
    rows, observed = np.reshape(rows, (-1, 2)), np.asarray(observed)
    return mixture_posterior(
        jnp.asarray(MEANS),
        jnp.asarray(DEVIATIONS),
        jnp.asarray(WEIGHTS),
        precision=jnp.asarray(rows.T @ rows / noise**2),
        weighted=jnp.asarray(rows.T @ observed / noise**2),
    )


def test_the_posterior_is_that_of_a_grid():
    generator, noise = np.random.default_rng(0), 0.5
    rows, observed = generator.standard_normal((5, 2)), generator.standard_normal(5)
    axis = np.linspace(-4, 4, 801)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    squares = np.square(points[:, None] - MEANS[None]).sum(-1)
    priors = WEIGHTS * np.exp(-squares / (2 * DEVIATIONS**2)) / DEVIATIONS**2
    likelihood = np.exp(-np.square(points @ rows.T - observed).sum(1) / (2 * noise**2))
    joint = priors * likelihood[:, None]
    joint /= joint.sum()
    belief = posterior_of(rows, observed, noise)
    np.testing.assert_allclose(belief.probability, joint.sum(0), atol=1e-8)
    mean = joint.sum(1) @ points
    np.testing.assert_allclose(belief.mean, mean, atol=1e-8)
    np.testing.assert_allclose(belief.deviation, np.sqrt(joint.sum(1) @ np.square(points - mean)), atol=1e-8)


def test_nothing_observed_is_the_prior():
    belief = posterior_of([], np.zeros(0), 1.0)
    np.testing.assert_allclose(belief.probability, WEIGHTS, atol=1e-12)
    np.testing.assert_allclose(belief.means, MEANS, atol=1e-12)
    np.testing.assert_allclose(belief.covariances, DEVIATIONS[:, None, None] ** 2 * np.eye(2), atol=1e-12)


def test_samples_have_the_moments_of_the_belief():
    belief = posterior_of([[1.0, 1.0]], [0.4], 0.5)
    assert isinstance(belief, Belief)
    assert isinstance(belief, GaussianMixtureBelief)
    drawn = np.asarray(jax.vmap(belief.sample)(jax.random.split(jax.random.key(0), 20_000)))
    error = np.asarray(belief.deviation) / 20_000**0.5
    assert (np.abs(drawn.mean(0) - belief.mean) < 4 * error).all()
    assert (np.abs(drawn.std(0) - belief.deviation) < 6 * error).all()
