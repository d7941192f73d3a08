"""Advantages within episodes, and the optimiser's step."""

import jax.numpy as jnp
import numpy as np
import optax

from quickstudy.numerics.episode_advantages import episode_advantages, standardised
from quickstudy.numerics.optimiser_step import clipped_adam, descend

SETTINGS = {"horizon": 3, "discount": 0.5, "trace_decay": 1.0, "baseline": "none"}


def advantages(reward, valid=None, **settings):
    reward = jnp.asarray(reward, jnp.float32)
    valid = jnp.ones(reward.shape, bool) if valid is None else jnp.asarray(valid)
    return np.asarray(episode_advantages(jnp.zeros((reward.size, 1)), reward, valid, **(SETTINGS | settings)))


def test_nothing_passes_from_one_episode_to_the_next():
    np.testing.assert_allclose(advantages([1, 1, 1, 0, 0, 4]), [1.75, 1.5, 1, 1, 2, 4])


def test_steps_that_did_not_happen_are_passed_over():
    happened = np.array([1, 1, 0, 1, 1, 1], bool)
    np.testing.assert_allclose(advantages([1, 1, 9, 0, 0, 4], happened), [1.5, 1, 0, 1, 2, 4])


def test_a_fitted_baseline_takes_away_what_time_explains():
    same = [3, 2, 1] * 8
    # The ridge leaves a little.
    assert np.abs(advantages(same, baseline="linear")).max() < 0.1
    assert np.abs(advantages(same)).max() > 1


def test_standardised_over_what_happened():
    valid = jnp.array([True, True, False, True])
    scaled = np.asarray(standardised(jnp.array([1.0, 2.0, 50.0, 3.0]), valid))
    np.testing.assert_allclose(scaled, [-(1.5**0.5), 0, 0, 1.5**0.5], atol=1e-6)
    np.testing.assert_array_equal(standardised(jnp.full(4, 7.0), valid), np.zeros(4))


def test_descend_moves_against_the_gradient_by_the_rate():
    weights, optimiser = {"w": jnp.array([1.0, -1.0])}, clipped_adam(0.5)
    gradient = {"w": jnp.array([30.0, -40.0])}
    moved, state = descend(optimiser, gradient, optimiser.init(weights), weights, rate=0.1)
    np.testing.assert_allclose(moved["w"], [0.9, -0.9], atol=1e-4)
    np.testing.assert_allclose(optax.tree.norm(state[1].mu), 0.05, atol=1e-6)
