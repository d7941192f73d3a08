"""Running sizes of rewards, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.networks.normalisation import Statistics


def of(reward, change=0.01):
    valid = jnp.ones_like(reward, bool)
    return Statistics.of_batch(reward, reward, None, valid, change=jnp.asarray(change))


def test_rewards_are_brought_to_mean_zero_and_deviation_one_over_all_that_was_seen():
    first, second = (mean + jax.random.normal(jax.random.key(mean), (50, 4)) for mean in (7, 9))
    known = Statistics.of_nothing(None, changes=True).after(of(first)).after(of(second))
    weights = np.repeat([0.99 * 0.01, 0.01], first.size)
    seen = np.concatenate([np.ravel(first), np.ravel(second)])
    mean = np.average(seen, weights=weights)
    expected = (seen - mean) / np.sqrt(np.average((seen - mean) ** 2, weights=weights))
    np.testing.assert_allclose(known.whiten_reward(jnp.asarray(seen)), expected, atol=1e-3)


def test_before_there_is_data_rewards_are_as_they_are():
    nothing = Statistics.of_nothing(None, changes=True)
    reward = jnp.array([3.0, 4.0])
    np.testing.assert_array_equal(nothing.whiten_reward(reward), reward)
    np.testing.assert_array_equal(nothing.reward_in_changes(reward), reward)


def test_rewards_that_are_all_alike_are_not_measured_by_what_rounding_leaves():
    same = jnp.full((50, 4), 1000.1)
    known = of(same, change=0.0)
    assert jnp.abs(known.whiten_reward(same)).max() < 0.2
    step = known.reward_in_changes(same * (1 + 1e-6)) - known.reward_in_changes(same)
    assert jnp.abs(step).max() < 0.01


def test_changes_are_told_in_units_of_their_size():
    known = of(jnp.full((2, 2), 7.0), change=0.04)
    np.testing.assert_allclose(jnp.diff(known.reward_in_changes(jnp.array([7.0, 7.2]))), 1.0, rtol=1e-3)
