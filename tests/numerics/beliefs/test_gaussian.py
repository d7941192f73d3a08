"""Gaussian beliefs against direct formulas over all the data at once, in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.beliefs.gaussian import (
    GaussianBelief,
    condition,
    credibility,
    divergence,
    independent,
    isotropic,
    marginal,
    moved,
    squared_distance,
)

GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def positive(size):
    root = GENERATOR.standard_normal((size, size))
    return root @ root.T + 0.3 * np.eye(size)


def belief_of(size):
    return GaussianBelief(mean=jnp.asarray(GENERATOR.standard_normal(size)), covariance=jnp.asarray(positive(size)))


@pytest.mark.parametrize("backwards", [False, True])
def test_conditioning_step_by_step_is_regression_on_everything(backwards):
    prior, noise = belief_of(3), jnp.asarray(positive(2))
    matrices, observed = GENERATOR.standard_normal((6, 2, 3)), GENERATOR.standard_normal((6, 2))
    belief = prior
    for index in range(6)[::-1] if backwards else range(6):
        belief = condition(belief, jnp.asarray(observed[index]), matrix=jnp.asarray(matrices[index]), noise=noise)
    # Σ'⁻¹ = Σ⁻¹ + Σ Hᵀ R⁻¹ H,  Σ'⁻¹ μ' = Σ⁻¹ μ + Σ Hᵀ R⁻¹ y
    precision, weighted = np.linalg.inv(prior.covariance), np.linalg.solve(prior.covariance, prior.mean)
    for matrix, y in zip(matrices, observed, strict=True):
        precision = precision + matrix.T @ np.linalg.solve(noise, matrix)
        weighted = weighted + matrix.T @ np.linalg.solve(noise, y)
    np.testing.assert_allclose(belief.covariance, np.linalg.inv(precision), atol=1e-10)
    np.testing.assert_allclose(belief.mean, np.linalg.solve(precision, weighted), atol=1e-10)


def test_a_drift_is_found_from_transitions_as_by_the_batch_formula():
    keeps, pushes, noise, wind = GENERATOR.standard_normal((2, 2)), GENERATOR.standard_normal((2, 2)), 0.2, 0.4
    states, actions, successors = (GENERATOR.standard_normal((20, 2)) for _ in range(3))
    belief = isotropic(2, wind)
    for state, action, successor in zip(states, actions, successors, strict=True):
        drifted = jnp.asarray(successor - keeps @ state - pushes @ action)
        belief = condition(belief, drifted, matrix=jnp.eye(2), noise=noise**2 * jnp.eye(2))
    residuals = successors - states @ keeps.T - actions @ pushes.T
    heaviness = 20 + noise**2 / wind**2
    np.testing.assert_allclose(belief.mean, residuals.sum(0) / heaviness, atol=1e-6)
    np.testing.assert_allclose(belief.covariance, noise**2 / heaviness * np.eye(2), atol=1e-6)


def test_an_observation_without_noise_leaves_no_doubt():
    prior = belief_of(4)
    seen = condition(prior, jnp.asarray([0.3, -0.4]), matrix=jnp.eye(2, 4), noise=jnp.zeros((2, 2)))
    np.testing.assert_allclose(seen.mean[:2], [0.3, -0.4], atol=1e-12)
    np.testing.assert_allclose(seen.covariance[:2], 0, atol=1e-12)
    rest = prior.covariance[2:, 2:] - prior.covariance[2:, :2] @ np.linalg.solve(
        prior.covariance[:2, :2], prior.covariance[:2, 2:]
    )
    np.testing.assert_allclose(marginal(seen, slice(2, None)).covariance, rest, atol=1e-10)


def test_moving_and_joining_by_hand():
    one = GaussianBelief(mean=jnp.asarray([1.0]), covariance=jnp.asarray([[4.0]]))
    both = independent(one, isotropic(1, 3.0))
    np.testing.assert_allclose(both.covariance, [[4, 0], [0, 9]])
    # x' = 2 x + w + 5: mean 2 + 5, variance 4 · 4 + 9 + 1.
    after = moved(both, matrix=jnp.asarray([[2.0, 1.0]]), offset=jnp.asarray([5.0]), noise=jnp.asarray([[1.0]]))
    np.testing.assert_allclose(after.mean, [7.0])
    np.testing.assert_allclose(after.covariance, [[26.0]])


def test_distances_are_scipys():
    belief, value = belief_of(3), GENERATOR.standard_normal(3)
    away = value - np.asarray(belief.mean)
    squared = away @ np.linalg.solve(belief.covariance, away)
    assert float(squared_distance(belief, jnp.asarray(value))) == pytest.approx(squared, abs=1e-10)
    assert float(credibility(belief, jnp.asarray(value))) == pytest.approx(stats.chi2(3).cdf(squared), abs=1e-10)


@pytest.mark.slow
def test_divergence_by_hand_and_by_sampling():
    # In one dimension: ln(σᵣ / σ) + (σ² + (μ - μᵣ)²) / 2 σᵣ² - 1/2.
    one = GaussianBelief(mean=jnp.asarray([1.0]), covariance=jnp.asarray([[0.25]]))
    by_hand = math.log(2 / 0.5) + (0.25 + 1) / 8 - 0.5
    assert float(divergence(one, isotropic(1, 2.0))) == pytest.approx(by_hand, abs=1e-12)
    belief, reference = belief_of(2), belief_of(2)
    assert float(divergence(belief, belief)) == pytest.approx(0, abs=1e-12)
    values = GENERATOR.multivariate_normal(belief.mean, belief.covariance, 20_000)
    of_belief, of_reference = (
        stats.multivariate_normal(np.asarray(one.mean), np.asarray(one.covariance)) for one in (belief, reference)
    )
    ratios = of_belief.logpdf(values) - of_reference.logpdf(values)
    assert float(divergence(belief, reference)) == pytest.approx(
        float(ratios.mean()), abs=4 * float(ratios.std()) / 20_000**0.5
    )


def test_credible_regions_of_a_correct_belief_cover_the_truth_at_their_mass():
    belief = belief_of(2)
    truths = jnp.asarray(GENERATOR.multivariate_normal(belief.mean, belief.covariance, 10_000))
    levels = np.asarray(jax.vmap(lambda truth: credibility(belief, truth))(truths))
    for mass in (0.5, 0.9, 0.99):
        assert (levels <= mass).mean() == pytest.approx(mass, abs=4 * math.sqrt(mass * (1 - mass) / 10_000))
