"""Each forecaster against another way of computing it: loops over a list, weighted regressions, and numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models import forecasters
from quickstudy.baselines.models.forecasters import NAMES

after_history, begin, forecasts, reset, take_in = (
    jax.jit(getattr(forecasters, name)) for name in ("after_history", "begin", "forecasts", "reset", "take_in")
)

PERIOD = 7
RANDOM = np.random.default_rng(0)
SERIES = (3 * np.sin(2 * np.pi * np.arange(60) / PERIOD) + RANDOM.normal(size=60) + 0.05 * np.arange(60)).astype(np.float32)


@pytest.fixture(scope="module")
def said():
    """What all forecasters say after the first 40, 41, ... values, and their states."""

    def step(state, value):
        following = take_in(state, value)
        return following, (following, forecasts(following))

    run = jax.jit(lambda values: jax.lax.scan(step, after_history(values[:40], jnp.int32(PERIOD)), values[40:])[1])
    return run(SERIES)


def of(said, name):
    return np.asarray(said[1])[:, NAMES.index(name)]


def after(place):
    """The values of which the forecast at a place of `said` was made."""
    return SERIES[: 41 + place].astype(np.float64)


def smallest(candidates):
    """The forecast of the candidate with the smallest faded squared error; `(forecast, errors)` each."""
    losses = []
    for _, errors in candidates:
        loss = 1.0
        for error in errors:
            loss = 0.97 * loss + 0.03 * error**2
        losses.append(loss)
    return candidates[int(np.argmin(losses))][0]


def smoothed(values, alpha):
    level, errors = values[0], []
    for count, value in enumerate(values[1:], start=2):
        errors.append(value - level)
        level += max(alpha, 1 / count) * errors[-1]
    return level, errors


def holt(values, alpha, beta):
    level, trend, errors = values[0], 0.0, []
    for value in values[1:]:
        errors.append(value - level - trend)
        level, trend = level + trend + alpha * errors[-1], trend + alpha * beta * errors[-1]
    return level + trend, errors


def seasonal(values, alpha, beta, gamma):
    """Damped trend and additive season, with a list of seasons that is addressed by the place in the season."""
    level, trend, season, errors = values[0], 0.0, [0.0] * PERIOD, []
    for place, value in enumerate(values[1:], start=1):
        slot = place % PERIOD
        error = value - level - 0.9 * trend - season[slot]
        seen = 1 + (place - 1) // PERIOD
        season[slot] += max(gamma, 1 / seen) * error if gamma else 0.0
        level, trend = level + 0.9 * trend + alpha * error, 0.9 * trend + alpha * beta * error
        errors.append(error)
    return level + 0.9 * trend + season[len(values) % PERIOD], errors


def test_naive_forecasters_and_the_mean_repeat_what_was(said):
    for place in (0, 12):
        values = after(place)
        assert of(said, "naive")[place] == pytest.approx(values[-1])
        assert of(said, "seasonal naive")[place] == pytest.approx(values[-PERIOD])
        assert of(said, "mean")[place] == pytest.approx(values.mean(), abs=1e-5)


def test_smoothing_takes_the_constants_of_the_smallest_recent_error(said):
    settings = {
        "SES": [(smoothed, (alpha,)) for alpha in (0.05, 0.1, 0.2, 0.4, 0.7)],
        "Holt": [(holt, pair) for pair in ((0.2, 0.1), (0.5, 0.1), (0.2, 0.4), (0.5, 0.4))],
        "ETS": [(seasonal, three) for three in ((0.2, 0.1, 0.0), (0.1, 0.1, 0.15), (0.4, 0.1, 0.15))],
    }
    for name, every in settings.items():
        for place in (0, 7, 18):
            expected = smallest([method(after(place), *constants) for method, constants in every])
            assert of(said, name)[place] == pytest.approx(expected, abs=1e-4), (name, place)


def test_autoregression_is_the_least_squares_fit_of_all_values(said):
    values = after(18)
    # The first pair repeats the first value: before it there was none.
    seen = np.stack([np.ones(len(values)), values, np.concatenate([values[:1], values[:-1]])], axis=1)
    weight = 0.99 ** np.arange(len(values) - 1)[::-1]
    start = np.array([0.0, 1.0, 0.0])
    left = np.eye(3) / 0.5 * 0.99 ** (len(values) - 1) + (seen[:-1] * weight[:, None]).T @ seen[:-1]
    right = start / 0.5 * 0.99 ** (len(values) - 1) + (seen[:-1] * weight[:, None]).T @ values[1:]
    fitted = np.linalg.solve(left, right)
    np.testing.assert_allclose(np.asarray(said[0].ar)[18], fitted, atol=2e-3)
    assert of(said, "AR")[18] == pytest.approx(seen[-1] @ fitted, abs=5e-3)


def test_theta_adds_half_the_slope_of_the_straight_line():
    values = np.float32([1.0, 2.0, 4.0, 3.0, 6.0])
    state = after_history(jnp.asarray(values), jnp.int32(52))
    # In the first season, no season of the next value is known.
    slope = np.polyfit(np.arange(5.0), values, 1, w=0.99 ** (np.arange(5)[::-1] / 2))[0]
    level = values[0]
    for count, value in enumerate(values[1:], start=2):
        level += max(0.3, 1 / count) * (value - level)
    expected = level + 0.5 * slope * (1 - 0.7**5) / 0.3
    assert float(forecasts(state)[NAMES.index("Theta")]) == pytest.approx(expected, rel=1e-4)


def test_errors_are_those_of_the_forecasts_before(said):
    states, forecast = said
    expected = SERIES[41:, None] - np.asarray(forecast)[:-1]
    np.testing.assert_allclose(np.asarray(states.error)[1:], expected, atol=1e-4)
    faded = 0.9 * np.asarray(states.size)[:-1] + 0.1 * np.abs(expected)
    np.testing.assert_allclose(np.asarray(states.size)[1:], faded, atol=1e-4)


def test_a_reset_keeps_what_is_known_about_the_season(said):
    state = jax.tree.map(lambda leaf: leaf[-1], said[0])
    again = reset(state, jnp.float32(1.0))
    np.testing.assert_array_equal(again.season, state.season)
    # The level moves to the newest value without its season, so the next forecast has the next season.
    best = int(np.argmin(np.asarray(state.ets)[:, -1]))
    assert best > 0
    season = np.asarray(state.season)[best]
    expected = SERIES[-1] - season[PERIOD - 1] + season[0]
    assert float(forecasts(again)[NAMES.index("ETS")]) == pytest.approx(expected, abs=1e-4)


def test_a_full_reset_leaves_the_newest_value_and_a_partial_one_goes_part_of_the_way():
    state = after_history(jnp.float32([0.0, 2.0, 1.0, 9.0]), jnp.int32(7))
    before, whole = forecasts(state), forecasts(reset(state, jnp.float32(1.0)))
    for name in ("SES", "Holt", "Theta", "naive"):
        assert float(whole[NAMES.index(name)]) == pytest.approx(9.0, abs=1e-5), name
    for name in ("mean", "seasonal naive", "AR"):
        assert float(whole[NAMES.index(name)]) == float(before[NAMES.index(name)]), name
    half = reset(state, jnp.float32(0.5))
    ses = NAMES.index("SES")
    assert float(forecasts(half)[ses]) == pytest.approx(float(before[ses] + 9.0) / 2, abs=1e-5)
    assert float(half.count) == pytest.approx(1 + 0.5 * 3)
    np.testing.assert_array_equal(forecasts(reset(state, jnp.float32(0.0))), before)


def test_after_a_reset_the_level_is_a_mean_of_what_followed():
    state = reset(after_history(jnp.float32([5.0, 5.0, 5.0, 1.0]), jnp.int32(7)), jnp.float32(1.0))
    for value in (2.0, 6.0):
        state = take_in(state, jnp.float32(value))
    np.testing.assert_allclose(np.asarray(state.ses)[:3, 0], np.mean([1.0, 2.0, 6.0]), rtol=1e-5)  # gains below 1/3
    assert float(state.ses[4, 0]) == pytest.approx(1.7 + 0.7 * (6.0 - 1.7))  # a gain of 0.7 is above 1/2


def test_one_value_is_repeated_by_all():
    state = begin(jnp.float32(4.0), jnp.int32(12))
    said = np.asarray(forecasts(state))
    np.testing.assert_allclose(said[:-1], 4.0)
    assert 3.0 < said[-1] < 4.0  # the prior of levels draws it to the mean of the history, which is 0
