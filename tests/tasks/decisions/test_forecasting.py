"""Forecasting tasks: rewards by hand, splits, what observations hide, and what experts earn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.forecast_view import view_of
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.forecasting import SPLITS, describe, forecasting
from quickstudy.tasks.decisions.series import KINDS

KEY = jax.random.key(0)
SMALL = {"history": 20, "horizon": 12, "recent": 6}
# MASE of one-step forecasts on 1,000 series of test, with standard errors.
MEASURED = {
    "naive": (1.006, 0.004),
    "SES": (0.847, 0.004),
    "best single expert": (0.804, 0.004),
    "fixed share": (0.825, 0.004),
    "BOCPD": (0.784, 0.004),
    "known change points": (0.758, 0.003),
}


def lifetimes(distribution, agent, drawn):
    """Lifetimes `[tasks, T]`."""
    keys = jax.random.split(jax.random.key(1), drawn.noise.size)
    return jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)[0]))(drawn, keys)


@pytest.fixture(scope="module")
def small():
    return forecasting(kind="mixed", shows_changes=True, **SMALL)


def test_values_are_in_units_of_the_changes_in_the_history(small):
    drawn = small.sample_tasks("train", KEY, tasks=200)
    past = np.asarray(drawn.values)[:, :20]
    np.testing.assert_allclose(past.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(np.abs(np.diff(past, axis=1)).mean(1), 1, rtol=1e-4)


def test_the_naive_forecast_costs_the_absolute_change_and_futures_stay_hidden(small):
    """And whoever shuffles the values to come changes nothing that was seen before them."""
    drawn = small.sample_tasks("train", KEY, tasks=50)
    recorded = lifetimes(small, small.baselines["naive"](), drawn)
    values = np.asarray(drawn.values)
    np.testing.assert_allclose(recorded.outcome.reward, -np.abs(np.diff(values[:, 19:], axis=1)), atol=1e-4)
    view = view_of(recorded.observation)
    np.testing.assert_allclose(view.values[:, 5], values[:, 18:25], atol=1e-4)
    np.testing.assert_array_equal(view.change, np.asarray(drawn.changed)[:, 20:])
    hidden = dataclasses.replace(drawn, values=drawn.values.at[:, 25:].set(drawn.values[:, 25:][:, ::-1]))
    again = lifetimes(small, small.baselines["naive"](), hidden)
    np.testing.assert_array_equal(again.observation[:, :6], recorded.observation[:, :6])
    assert not np.array_equal(again.observation[:, 6], recorded.observation[:, 6])


@pytest.mark.slow
def test_a_reset_helps_at_once_where_the_level_has_moved():
    distribution = forecasting(**SMALL)
    drawn = distribution.sample_tasks("train", KEY, tasks=1)
    values = jnp.concatenate([jnp.asarray([0.5, -0.5] * 10), jnp.full(12, 8.0)])
    task = jax.tree.map(lambda leaf: leaf[0], dataclasses.replace(drawn, values=values[None]))
    ses = jnp.zeros(10).at[3].set(1.0)
    step = jax.jit(distribution.step)
    state, _ = step(task, distribution.reset(task, KEY)[0], ses, KEY)
    kept = step(task, state, ses, KEY)[1]
    forgot = step(task, state, ses.at[9].set(1.0), KEY)[1]
    assert float(forgot.reward) == pytest.approx(0.0, abs=1e-4)
    assert float(kept.reward) < -2.0


@pytest.mark.slow
def test_splits_share_no_series_and_shift_what_they_say():
    distribution = forecasting(history=2, horizon=1)
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=3000) for split in SPLITS}
    phases = [set(np.asarray(drawn[split].process.phase).tolist()) for split in SPLITS]
    assert len(set().union(*phases)) == sum(map(len, phases))
    hazard = {"ood:frequent": 0.075, "ood:calm": 0.0}
    for split, task in drawn.items():
        np.testing.assert_allclose(task.process.hazard, hazard.get(split, 0.025), rtol=1e-6)
        np.testing.assert_allclose(task.process.size, 6.0 if split == "ood:large" else 3.0)


@pytest.mark.slow
def test_the_noise_of_heavy_tails_has_them_and_the_same_variance():
    distribution = forecasting(history=200, horizon=1)
    kurtosis = {}
    for split in ("test", "ood:heavy-tails"):
        drawn = distribution.sample_tasks(split, KEY, tasks=200)
        noise = np.asarray((drawn.values - drawn.expected) / drawn.noise[:, None])
        assert noise.std() == pytest.approx(1.0, rel=0.1)
        kurtosis[split] = (noise**4).mean() / (noise**2).mean() ** 2
    assert kurtosis["test"] == pytest.approx(3.0, abs=0.2)
    assert kurtosis["ood:heavy-tails"] > 5.0


@pytest.mark.slow
def test_mixed_series_are_drawn_from_their_prior():
    distribution = forecasting(kind="mixed", history=2, horizon=1, slope_share=0.0, seasonal=0.25, size_low=2.0)
    process = jax.tree.map(np.asarray, distribution.sample_tasks("train", KEY, tasks=4000).process)
    shares = np.bincount(process.kind, minlength=5) / 4000
    np.testing.assert_allclose(shares, np.array([0.4, 0.0, 0.15, 0.15, 0.15]) / 0.85, atol=0.035)
    assert (process.amplitude > 0).mean() == pytest.approx(0.25, abs=0.03)
    assert 2.0 <= process.size.min() < 2.1
    assert 4.9 < process.size.max() <= 5.0
    assert np.log(process.hazard).mean() == pytest.approx((np.log(0.005) + np.log(0.05)) / 2, abs=0.05)
    assert sorted(set(process.period.tolist())) == [7, 12, 52]
    one = jax.tree.map(lambda leaf: leaf[0], distribution.sample_tasks("train", KEY, tasks=1))
    described = describe(one)
    assert float(described["hazard (changes a step)"]) == float(one.process.hazard)
    assert int(described["period (steps)"]) == int(one.process.period)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hazard": 1.5}, "hazard"),
        ({"size_low": 4.0, "size_high": 2.0}, "size_low must not be above size_high; came 4.0 and 2.0"),
        ({"recent": 52}, "recent"),
        ({"periods": ()}, "periods must name at least one period"),
        ({"periods": (12, 53)}, "periods"),
        ({f"{kind}_share": 0.0 for kind in KINDS}, "must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        tasks.make("forecasting", **settings)


def test_seasons_are_of_the_periods_that_are_asked_for():
    distribution = tasks.make("forecasting", periods=[1, 4], **SMALL)
    drawn = distribution.sample_tasks("train", KEY, tasks=50)
    assert set(np.asarray(drawn.process.period).tolist()) == {1, 4}


def test_make_knows_every_setting_and_stores_it():
    distribution = tasks.make("forecasting", hazard=0.1, **SMALL)
    assert distribution.config["hazard"] == 0.1
    assert distribution.config["recent"] == 6
    assert "known change points" not in distribution.baselines


@pytest.mark.slow
def test_experts_earn_what_was_measured():
    """Golden; the numbers of the page. Without the detour over weights, BOCPD has 0.783, and known change points 0.757."""
    distribution = forecasting(shows_changes=True)
    drawn = distribution.sample_tasks("test", jax.random.key(7), tasks=400)
    for name, (expected, error) in MEASURED.items():
        errors = -np.asarray(lifetimes(distribution, distribution.baselines[name](), drawn).outcome.reward).mean(1)
        assert abs(errors.mean() - expected) < 4 * np.hypot(error, errors.std() / 20), name
