"""Simulated series: what an observer expects, how changes come, and where they go back to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.tasks.decisions.series import KINDS, Process, simulate

KEY = jax.random.key(0)
LENGTH = 120
SIMULATE = jax.jit(jax.vmap(lambda process, key: simulate(process, key, length=LENGTH), (None, 0)), static_argnames=())


def process_of(kind="mean", **settings):
    numbers = dict.fromkeys(("hazard", "returns", "autocorrelation", "wander", "slope", "amplitude", "phase"), 0.0)
    numbers |= {"size": 2.0} | settings
    return Process(
        kind=jnp.int32(KINDS.index(kind)), period=jnp.int32(7), **{name: jnp.float32(value) for name, value in numbers.items()}
    )


def paths(process, *, series=400):
    return jax.tree.map(np.asarray, SIMULATE(process, jax.random.split(KEY, series)))


def test_what_is_not_expected_is_noise_of_variance_one():
    drawn = paths(process_of(hazard=0.1, autocorrelation=0.7, amplitude=2.0, slope=0.1))
    noise = drawn.values - drawn.expected
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise.ravel(), drawn.expected.ravel())[0, 1]) < 0.02


def test_changes_come_at_their_hazard_and_none_at_the_first_value():
    drawn = paths(process_of(hazard=0.1))
    assert not drawn.changed[:, 0].any()
    assert drawn.changed[:, 1:].mean() == pytest.approx(0.1, abs=4 * (0.09 / drawn.changed[:, 1:].size) ** 0.5)
    moves = np.diff(drawn.expected, axis=1)
    assert np.all((np.abs(moves) > 1e-6) == drawn.changed[:, 1:])
    # A level of N(0, 2²) at every time, the first one included.
    assert drawn.expected[:, 0].std() == pytest.approx(2.0, rel=0.15)
    assert drawn.expected.std() == pytest.approx(2.0, rel=0.1)


def test_a_regime_that_returns_is_the_one_before():
    drawn = paths(process_of(hazard=0.1, returns=1.0), series=40)
    for levels in drawn.expected:
        assert len(np.unique(levels)) == 1  # the first regime is its own predecessor
    drawn = paths(process_of(hazard=0.2, returns=0.5), series=40)
    different = [
        len(np.unique(levels)) / (1 + changed.sum()) for levels, changed in zip(drawn.expected, drawn.changed, strict=True)
    ]
    assert 0.4 < np.mean(different) < 0.65


@pytest.mark.parametrize("kind", ["slope", "variance", "season", "outliers"])
def test_each_kind_changes_its_own_number(kind):
    drawn = paths(process_of(kind, hazard=0.05, size=3.0, slope=0.02, amplitude=1.0))
    noise = drawn.values - drawn.expected
    if kind == "outliers":
        assert noise[drawn.changed].std() == pytest.approx(37**0.5, rel=0.1)
        assert noise[~drawn.changed].std() == pytest.approx(1.0, rel=0.03)
    elif kind == "variance":
        late = np.log(np.abs(noise[:, -20:]))
        assert late.var() > np.log(np.abs(noise[:, :2])).var() + 0.5
    else:
        assert noise.std() == pytest.approx(1.0, rel=0.03)
    spread = drawn.expected.std(axis=0)
    if kind == "slope":
        assert spread[-1] > 1.0
        assert spread[1] < 0.1
    elif kind == "season":
        assert spread[-7:].mean() > 1.5
    else:
        assert spread.max() < 1e-4


def test_a_season_has_its_period_and_a_trend_its_slope():
    drawn = paths(process_of(amplitude=2.0, slope=0.1), series=2)
    np.testing.assert_allclose(drawn.expected[:, 7:] - drawn.expected[:, :-7], 0.7, atol=1e-3)
    assert drawn.expected[0, :7].std() > 1.0
