"""Running sizes of rewards and observations, against NumPy."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks.normalisation import Statistics, see
from quickstudy.protocol.records import Spec


def of(reward, change=0.01):
    valid = jnp.ones_like(reward, bool)
    return Statistics.of_nothing(None, changes=True).of_batch(reward, reward, None, valid, change=jnp.asarray(change))


GENERATOR = np.random.default_rng(0)
MOST = float(np.finfo(np.float32).max)


def after(batches, *, scaled_by="seen"):
    """The statistics after batches of observations `[T, lifetimes, size]`."""
    statistics = Statistics.of_nothing(batches[0].shape[-1], scaled_by=scaled_by)
    update = jax.jit(lambda known, seen: known.after(known.of_batch(*[jnp.ones(seen.shape[:2])] * 2, seen, *valid(seen))))
    for batch in batches:
        statistics = update(statistics, jnp.asarray(batch, jnp.float32))
    return statistics


def valid(seen):
    return (jnp.ones(seen.shape[:2], bool),)


def cues(updates, *, glitch=0.0, share=0.0, only_in=None):
    """Batches of a cue of -1 or +1, in whose place something huge stands now and then."""
    batches = GENERATOR.choice([-1.0, 1.0], (updates, 10, 64, 1))
    spoilt = GENERATOR.random(batches.shape) < share
    if only_in is not None:
        spoilt[:] = False
        spoilt[only_in, 3, 5] = True
    return list(np.where(spoilt, glitch, batches))


def seen_by(statistics, observations, low=-np.inf, high=np.inf):
    observations = jnp.asarray(observations, jnp.float32)
    space = gymnasium.spaces.Box(low, high, observations.shape[-1:], np.float32)
    spec = Spec(observation_space=space, action_space=gymnasium.spaces.Discrete(2), horizon=10, episodes=1)
    return np.asarray(see(statistics, observations, spec))


@pytest.mark.parametrize("bound", [1.0, 100.0, 1e4, MOST, np.inf])
def test_a_cue_is_seen_whatever_the_bounds_say(bound):
    down, up = seen_by(after(cues(5)), [[-1.0], [1.0]], -bound, bound).ravel()
    np.testing.assert_allclose([down, up], [-1, 1], atol=0.1)


@pytest.mark.parametrize("glitch", [1e6, -1e20, MOST])
@pytest.mark.parametrize("when", [{"share": 0.002}, {"only_in": 0}, {"only_in": 4}], ids=["now and then", "first", "later"])
def test_a_glitch_does_not_hide_a_cue(glitch, when):
    statistics = after(cues(8, glitch=glitch, **when))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(statistics))
    down, up, huge = seen_by(statistics, [[-1.0], [1.0], [glitch]]).ravel()
    assert up - down > 0.6
    assert abs(huge) == 10


def test_a_first_scale_that_was_wrong_is_left_behind():
    small, large = ([size * batch for batch in cues(updates)] for size, updates in ((1e-3, 3), (100.0, 60)))
    down, up = seen_by(after(small + large), [[-100.0], [100.0]]).ravel()
    np.testing.assert_allclose([down, up], [-1, 1], atol=0.1)


@pytest.mark.parametrize(("centre", "deviation"), [(101_325.0, 10.0), (1e4, 0.5), (-3.0, 1e-3)])
def test_small_changes_of_a_large_number_are_not_lost_by_rounding(centre, deviation):
    batches = list(centre + deviation * GENERATOR.standard_normal((20, 10, 64, 1)))
    assert 0.9 < seen_by(after(batches), batches[-1]).std() < 1.1


def test_numbers_that_are_declared_as_small_are_told_from_rounding():
    batches = list(1e-6 * np.stack(cues(5)))
    down, up = seen_by(after(batches), [[-1e-6], [1e-6]], -1e-6, 1e-6).ravel()
    np.testing.assert_allclose([down, up], [-1, 1], atol=0.1)
    assert np.abs(seen_by(after(batches), [[-1e-6], [1e-6]])).max() < 0.02  # without bounds they may be rounding


def test_agents_of_earlier_versions_measure_by_bounds_where_there_are_any():
    batches = [4 * batch for batch in cues(5)]
    earlier = after(batches, scaled_by="bounds")
    assert earlier.origin is None
    np.testing.assert_allclose(seen_by(earlier, [[-4.0], [8.0]], -8.0, 8.0).ravel(), [-0.5, 1.0])
    np.testing.assert_allclose(seen_by(earlier, [[-4.0], [4.0]]).ravel(), [-1, 1], atol=0.1)


def test_one_huge_reward_does_not_hide_all_others():
    reward = np.ones((10, 64), np.float32)
    nothing = Statistics.of_nothing(None)
    known = nothing.of_batch(jnp.asarray(reward), jnp.asarray(reward), None, jnp.ones((10, 64), bool))
    reward[2, 3] = -1e14
    after = known.after(known.of_batch(jnp.asarray(reward), jnp.asarray(reward), None, jnp.ones((10, 64), bool)))
    # All others are equal, so the glitch is all that is known of how rewards vary; half of them may not be.
    assert jnp.isfinite(after.reward)
    reward[:, ::2] = 0.0
    again = known.after(known.of_batch(jnp.asarray(reward), jnp.asarray(reward), None, jnp.ones((10, 64), bool)))
    assert again.scale(again.reward) < 40  # after all others of 0 and 1, it is cut to a thousand
    rare = np.where(GENERATOR.random((10, 64)) < 0.005, 100.0, GENERATOR.random((10, 64))).astype(np.float32)
    batch = known.of_batch(jnp.asarray(rare), jnp.asarray(rare), None, jnp.ones((10, 64), bool))
    np.testing.assert_allclose(batch.reward, np.square(rare).mean(), rtol=1e-5)  # a rare reward that is large on purpose


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


@pytest.mark.parametrize("known", ["as constants", "as arguments"])
def test_small_changes_of_a_large_number_are_read_alike_where_statistics_are_constants(known):
    """An `Actor` compiles its parameters in. The compiler then merges two subtractions of constants into one, and rounds it."""
    batches = [50_000 + 0.5 * GENERATOR.standard_normal((10, 64, 1)) for _ in range(5)]
    statistics = after(batches)
    rows = np.float32([[49_999.5], [50_000.0], [50_000.25]])
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (1,)),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=10,
        episodes=1,
    )
    read = (lambda given, x: see(given, x, spec)) if known == "as arguments" else (lambda _, x: see(statistics, x, spec))
    weight, mean, square, origin = (
        np.float64(x) for x in (statistics.weight, statistics.observation, statistics.observation_square, statistics.origin)
    )
    deviation = np.sqrt(square / weight - (mean / weight) ** 2)
    exact = (rows.astype(np.float64) - origin - mean / weight) / deviation
    np.testing.assert_allclose(np.asarray(jax.jit(read)(statistics, jnp.asarray(rows))), exact, atol=2e-6)
