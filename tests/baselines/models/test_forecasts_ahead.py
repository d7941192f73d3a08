"""Forecasts of several steps, against forecasters that are told their own forecasts as values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models import forecasters
from quickstudy.baselines.models.forecasters import NAMES

PERIOD, STEPS = 7, 17
RANDOM = np.random.default_rng(0)
SERIES = (3 * np.sin(2 * np.pi * np.arange(60) / PERIOD) + RANDOM.normal(size=60) + 0.05 * np.arange(60)).astype(np.float32)
after_history, forecasts, take_in = (jax.jit(getattr(forecasters, name)) for name in ("after_history", "forecasts", "take_in"))
ahead = jax.jit(forecasters.forecasts_ahead, static_argnums=1)


@pytest.fixture(scope="module")
def state():
    return after_history(SERIES, jnp.int32(PERIOD))


def test_the_first_step_is_the_forecast_of_one_step(state):
    np.testing.assert_allclose(ahead(state, 1)[0], forecasts(state), rtol=1e-5, atol=1e-5)


# Told its own forecasts, `level shifts` would trust its level more; ahead it keeps to what it believes now.
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("Theta", "level shifts")])
def test_it_goes_on_as_if_its_own_forecasts_came(state, name):
    place, expected, told = NAMES.index(name), [], state
    for _ in range(STEPS):
        expected.append(forecasts(told)[place])
        told = take_in(told, expected[-1])
    np.testing.assert_allclose(ahead(state, STEPS)[:, place], expected, rtol=1e-3, atol=1e-3)


def test_theta_is_its_level_with_half_of_the_slope_and_the_season(state):
    """The season and the slope are those of the state; each step further adds half of the slope."""
    said = np.asarray(ahead(state, STEPS))[:, NAMES.index("Theta")]
    ones, ages, squares, values, products = np.asarray(state.line, np.float64)
    slope = -(ones * products - ages * values) / (ones * squares - ages**2)
    np.testing.assert_allclose(said[PERIOD:] - said[:-PERIOD], PERIOD * slope / 2, rtol=1e-3)


def test_a_forecast_far_ahead_has_a_limit():
    state = after_history(jnp.float32([0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0]), jnp.int32(12))
    said = np.asarray(ahead(state, 30))[:, [NAMES.index(name) for name in ("SES", "Holt", "AR", "ETS", "Theta")]]
    assert (np.abs(said - 63.0) <= 10 * np.arange(1, 31)[:, None] + 1e-3).all()


def test_without_a_season_the_last_season_is_the_last_value():
    state = after_history(SERIES, jnp.int32(1))
    np.testing.assert_allclose(ahead(state, 5)[:, NAMES.index("seasonal naive")], SERIES[-1])


def test_padding_before_a_history_changes_nothing(state):
    padded = jnp.concatenate([jnp.full(9, 99.0), SERIES])
    again = jax.jit(forecasters.after_padded_history)(padded, jnp.int32(PERIOD), jnp.int32(9))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5), again, state)
