"""Particles against closed forms, and against densities that are integrated on a grid."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.numerics.beliefs.particles import FeatureDensity, ParticleBelief, even_noise, hidden_features

DIRECTIONS, OFFSETS = jnp.array([[1.0], [3.0], [3.0]]), jnp.array([0.0, 2.0, -2.0])


def density(heights, *, precision=0.0, weighted=0.0):
    evidence = jnp.array([precision]), jnp.array([weighted]), jnp.asarray(heights)
    return FeatureDensity.from_evidence(*evidence, directions=DIRECTIONS, offsets=OFFSETS)


def effective_size(belief):
    """How many particles of equal weight carry as much information: 1 / Σ w² (Kong et al. 1994)."""
    return 1 / jnp.square(belief.weights).sum(-1)


def integrated(subject):
    """Mean and deviation of a density over one number."""
    z = jnp.linspace(-8, 8, 20_001)[:, None]
    ridges = (hidden_features(z, DIRECTIONS, OFFSETS) * subject.heights[None]).sum(-1)
    log = np.asarray(ridges - 0.5 * subject.precision[0] * jnp.square(z[:, 0] - subject.mean[0]), np.float64)
    share = np.exp(log - log.max())
    share /= share.sum()
    mean = (share * np.asarray(z[:, 0])).sum()
    return mean, (share * (np.asarray(z[:, 0]) - mean) ** 2).sum() ** 0.5


def test_without_ridges_particles_keep_the_exact_posterior_and_equal_weights():
    belief = density([0.0, 0.0, 0.0], precision=3.0, weighted=2.0).refined(even_noise(6, 4096, 1))
    np.testing.assert_allclose(belief.mean, [0.5], atol=1e-4)
    np.testing.assert_allclose(belief.deviation, [0.5], rtol=0.02)
    np.testing.assert_allclose(effective_size(belief), 4096, rtol=1e-4)


def test_langevin_steps_reach_what_integration_finds():
    # One that is skewed, one with two modes, one that is narrow and far from where particles begin.
    for heights, precision in (([3.0, 0.0, 0.0], 0.0), ([0.0, -2.0, 2.0], 0.0), ([0.0, 0.0, 10.0], 4.0)):
        subject = density(heights, precision=precision)
        belief = subject.refined(jax.random.normal(jax.random.key(0), (40, 4096, 1)))
        mean, deviation = integrated(subject)
        np.testing.assert_allclose(belief.mean[0], mean, atol=0.08, err_msg=str(heights))
        np.testing.assert_allclose(belief.deviation[0], deviation, rtol=0.12, err_msg=str(heights))


def test_refining_makes_weights_more_even_than_weighting_alone():
    subject = density([0.0, 0.0, 8.0], precision=1.0)
    alone, refined = (subject.refined(even_noise(moves, 1024, 1)) for moves in (2, 12))
    assert effective_size(refined) > 1.2 * effective_size(alone)


def test_no_height_makes_particles_run_away():
    heights = 1e4 * jax.random.normal(jax.random.key(1), (64, 3))
    belief = FeatureDensity.from_evidence(
        jnp.zeros((64, 1)), jnp.zeros((64, 1)), heights, directions=DIRECTIONS, offsets=OFFSETS
    ).refined(even_noise(8, 16, 1))
    assert np.isfinite(belief.log_weights).all()
    assert np.abs(belief.particles).max() < 10


def test_curvature_is_above_the_second_derivative_everywhere():
    key = jax.random.split(jax.random.key(2), 3)
    directions, heights = jax.random.normal(key[0], (5, 2)), jax.random.normal(key[1], (5,))
    nothing = jnp.zeros(2)
    subject = FeatureDensity.from_evidence(nothing, nothing, heights, directions=directions, offsets=jnp.zeros(5))
    total = lambda z: (hidden_features(z, directions, jnp.zeros(5)) * heights).sum()  # noqa: E731
    curved = jax.vmap(jax.hessian(total))(jax.random.normal(key[2], (500, 2)))
    bound = np.diag(np.asarray(subject.curvature()))[None]
    assert (np.linalg.eigvalsh(bound - np.asarray(curved)) > 0).all()


def test_the_belief_reads_its_weights():
    belief = ParticleBelief(particles=jnp.array([[0.0], [4.0]]), log_weights=jnp.log(jnp.array([3.0, 1.0])))
    np.testing.assert_allclose(belief.weights, [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(belief.mean, [1.0], rtol=1e-6)
    np.testing.assert_allclose(belief.deviation, [3**0.5], rtol=1e-6)
    np.testing.assert_allclose(effective_size(belief), 1.6, rtol=1e-6)
    draws = jax.vmap(belief.sample)(jax.random.split(jax.random.key(3), 10_000))
    assert draws.shape == (10_000, 1)
    assert abs(draws.mean() - 1.0) < 4 * 3**0.5 / 100
    # Many beliefs at once draw one particle each.
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 5), belief)
    assert many.sample(jax.random.key(4)).shape == (5, 1)


def test_even_noise_is_even():
    noise = np.asarray(even_noise(3, 8, 2))
    np.testing.assert_allclose(noise.mean(1), 0.0, atol=1e-6)
    np.testing.assert_allclose(noise.std(1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(noise, even_noise(3, 8, 2))
    assert not even_noise(2, 1, 1).any()
