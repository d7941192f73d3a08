"""What agents that weigh forecasters see and do."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models.forecast_view import (
    action_of,
    check_forecast_spec,
    decided,
    forecast_spec,
    forecast_step,
    observation_of,
    view_of,
    weights_for,
)
from quickstudy.baselines.models.forecasters import NAMES, after_history, forecasts
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def test_an_observation_holds_values_forecasts_and_errors():
    state = jax.jit(after_history)(jnp.float32([3.0, 1.0, 2.0, 5.0]), jnp.int32(12))
    see = jax.jit(functools.partial(observation_of, window=3))
    seen = see(state, step=jnp.int32(3), change=jnp.float32(1.0))
    assert seen.shape == forecast_spec(window=3, steps=5).observation_space.shape
    view = view_of(seen)
    np.testing.assert_allclose(view.values, [3.0, 1.0, 2.0, 5.0], atol=1e-6)
    np.testing.assert_allclose(view.forecasts, jax.jit(forecasts)(state), atol=1e-6)
    np.testing.assert_array_equal(view.errors, state.error)
    np.testing.assert_array_equal(view.sizes, state.size)
    assert float(view.change) == 1.0
    # ln(1 + 4) / 4; a quarter of the way through a season of 12.
    np.testing.assert_allclose(seen[-7:], [np.log(5) / 4, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], atol=1e-6)


def test_weights_are_fourth_powers_divided_by_their_sum_and_half_a_reset_is_none():
    half = 0.5**0.25
    weights, strength = decided(jnp.float32([1.0, 0.0, half, 0.0, half, 0.0, 0.0, 0.0, 0.0, 0.75]))
    np.testing.assert_allclose(weights, [0.5, 0.0, 0.25, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0], atol=1e-5)
    assert float(strength) == 0.5
    weights, strength = decided(jnp.zeros(10).at[9].set(0.5))
    np.testing.assert_allclose(weights, 1 / 9, atol=1e-6)
    assert float(strength) == 0.0


def test_a_reset_counts_for_the_forecast_and_the_value_is_taken_in_after_it():
    """After 3, 1, 2, 5 the naive forecast is 5. A full reset moves the level of SES there, too."""
    state = jax.jit(after_history)(jnp.float32([3.0, 1.0, 2.0, 5.0]), jnp.int32(12))

    def after(name, reset):
        action = jnp.zeros(10).at[NAMES.index(name)].set(1.0).at[9].set(reset)
        return jax.jit(forecast_step)(state, action, jnp.float32(7.0))

    for name, reset in (("naive", 0.0), ("naive", 1.0), ("SES", 1.0)):
        following, reward = after(name, reset)
        assert float(reward) == pytest.approx(-2, abs=1e-3)
        assert following.recent[:2].tolist() == [7.0, 5.0]
        assert int(following.count) == (2 if reset else 5)
    assert float(after("SES", 0.0)[1]) < -3


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (2.5, {1: 0.75, 2: 0.25}),
        (-3.0, {0: 1.0}),
        (9.0, {2: 1.0}),
        (4.0, {2: 1.0}),
    ],
)
def test_two_neighbours_make_any_forecast_between_them(target, expected):
    said = jnp.float32([1.0, 2.0, 4.0])
    weights = jax.jit(weights_for)(jnp.float32(target), said)
    np.testing.assert_allclose(weights, [expected.get(place, 0.0) for place in range(3)], atol=1e-6)


def test_an_action_of_weights_does_not_reset():
    weights = jnp.full(9, 1 / 9)
    again, strength = decided(action_of(weights))
    np.testing.assert_allclose(again, weights, atol=1e-6)
    assert float(strength) == 0.0


def test_other_spaces_are_refused():
    box = gymnasium.spaces.Box(0.0, 1.0, (9,))
    with pytest.raises(SpecError, match="spaces of the tasks `forecasting`"):
        check_forecast_spec(Spec(observation_space=box, action_space=box, horizon=3, episodes=1))
