"""What traders see and do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.market_view import (
    after_bars,
    market_spec,
    nearest_level,
    observation_of,
    positions_of,
    view_of,
)
from quickstudy.protocol.errors import SpecError

RETURNS = np.float32(0.01 * np.random.default_rng(0).normal(size=30))


def faded(values, rate, first):
    for value in values:
        first += rate * (value - first)
    return first


def test_an_observation_holds_returns_volatility_and_trend():
    past = jax.jit(after_bars)(RETURNS)
    seen = observation_of(past, cost=jnp.float32(0.0005), truth=jnp.arange(9.0))
    assert seen.shape == market_spec(levels=5, bars=3).observation_space.shape
    view = view_of(seen)
    np.testing.assert_allclose(view.returns, RETURNS[-20:], atol=1e-7)
    fast, slow = (faded(RETURNS.astype(float) ** 2, rate, 1e-4) ** 0.5 for rate in (1 / 10, 1 / 40))
    assert float(view.fast) == pytest.approx(fast, rel=1e-4)
    assert float(view.slow) == pytest.approx(slow, rel=1e-4)
    # The variance of an average with rate a of independent returns is a / (2 - a) of theirs.
    errors = [slow * (rate / (2 - rate)) ** 0.5 for rate in (1 / 10, 1 / 40)]
    trends = [faded(RETURNS.astype(float), rate, 0.0) / error for rate, error in zip((1 / 10, 1 / 40), errors, strict=True)]
    np.testing.assert_allclose(view.trend, trends, rtol=1e-3)
    assert float(view.position) == 0.0
    assert float(view.cost) == pytest.approx(0.0005)
    np.testing.assert_array_equal(view.truth, np.arange(9.0))


def test_levels_lie_evenly_and_the_nearest_is_taken():
    positions = positions_of(market_spec(levels=5, bars=3))
    np.testing.assert_allclose(positions, [-1.0, -0.5, 0.0, 0.5, 1.0])
    for target, level in ((0.3, 3), (-9.0, 0), (0.1, 2)):
        assert int(nearest_level(positions, jnp.float32(target))) == level


def test_other_spaces_are_refused():
    with pytest.raises(SpecError, match="spaces of the tasks `trading`"):
        positions_of(tasks.make("bernoulli-bandit").spec)
