"""The forecaster of sktime: its one-step forecasts are those of the tasks, and those of several steps are as they say."""

import importlib
import importlib.util
import pickle
import sys

import jax
import numpy as np
import pytest

import quickstudy as qs
from quickstudy.adapters.forecast_session import ForecastPrograms
from quickstudy.protocol.errors import BundleError, MissingExtraError, SpecError, UnknownNameError, UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.forecasting import forecasting

needs_sktime = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("sktime") is None, reason="sktime is not installed"),
]
HISTORY, HORIZON, PERIOD = 30, 20, 7
RANDOM = np.random.default_rng(0)
VALUES = 50 + 3 * np.sin(2 * np.pi * np.arange(60) / PERIOD) + RANDOM.normal(size=60)


def made(**settings):
    from quickstudy.adapters.sktime_forecaster import AdaptiveForecaster

    return AdaptiveForecaster(**settings)


def series(values):
    import pandas as pd

    return pd.Series(values, index=pd.period_range("2020-01-06", periods=len(values), freq="D"), name="sales")


def test_a_session_over_values_earns_what_the_agent_earns_on_the_task():
    tasks = forecasting(kind="mixed", history=HISTORY, horizon=HORIZON)
    agent = tasks.baselines["fixed share"]()
    task = jax.tree.map(lambda leaf: leaf[0], tasks.sample_tasks("test", jax.random.key(0), tasks=1))
    recorded = jax.jit(lambda task: run_lifetime(agent, tasks, (), task, jax.random.key(1))[0])(task)
    programs, values = ForecastPrograms(agent, ()), 100 + 7 * np.asarray(task.values, np.float64)
    state = programs.begun(values[:HISTORY], period=int(task.process.period))
    errors = []
    for value in values[HISTORY:]:
        said, weights, strength = programs.ahead(state, 3)
        errors.append(abs(value - said[0]) / 7)
        state = programs.after(state, value)
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        assert strength == 0
    np.testing.assert_allclose(-recorded.outcome.reward, errors, rtol=1e-2, atol=2e-3)
    assert int(state.session.slot) == HORIZON


def test_agents_of_other_tasks_are_refused():
    agent = qs.tasks.make("bernoulli-bandit", arms=2).baselines["greedy"]()
    with pytest.raises(SpecError, match="weighing forecasters needs the spaces of the tasks `forecasting`"):
        ForecastPrograms(agent, ())


def test_one_line_says_how_to_install_sktime(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    monkeypatch.delitem(sys.modules, "quickstudy.adapters.sktime_forecaster", raising=False)
    with pytest.raises(MissingExtraError, match=r"sktime is not installed.*pip install 'quickstudy\[sktime\]'"):
        importlib.import_module("quickstudy.adapters.sktime_forecaster")


@pytest.mark.filterwarnings("ignore")  # of sktime and pandas themselves
class TestWithSktime:
    pytestmark = needs_sktime

    @pytest.mark.slow
    def test_it_passes_all_checks_of_sktime(self):
        from sktime.utils.estimator_checks import check_estimator

        from quickstudy.adapters.sktime_forecaster import AdaptiveForecaster

        results = check_estimator(AdaptiveForecaster, raise_exceptions=False, verbose=False)
        failed = {name: result for name, result in results.items() if result != "PASSED"}
        assert not failed
        assert len(results) > 50

    def test_simple_experts_forecast_several_steps_as_by_hand(self):
        y = series(VALUES)
        naive = made(agent="naive").fit(y).predict(fh=[1, 2, 9])
        np.testing.assert_allclose(naive, VALUES[-1], rtol=1e-5)
        assert naive.name == "sales"
        assert list(naive.index) == [y.index[-1] + step for step in (1, 2, 9)]
        seasonal = made(agent="seasonal-naive", period=PERIOD).fit(y).predict(fh=[1, 7, 8, 14])
        np.testing.assert_allclose(seasonal, VALUES[[-7, -1, -7, -1]], rtol=1e-5)

    def test_updates_are_as_a_fit_of_everything(self):
        y = series(VALUES)
        grown = made(period=PERIOD, history=20).fit(y[:40])
        for end in (41, 50, 60):
            grown.update(y[:end])  # values that are known already are not taken in again
        at_once = made(period=PERIOD, history=20).fit(y)
        np.testing.assert_allclose(grown.predict(fh=[1, 2, 3]), at_once.predict(fh=[1, 2, 3]), rtol=1e-4)
        intervals = [one.predict_interval(fh=[1, 3], coverage=0.8) for one in (grown, at_once)]
        np.testing.assert_allclose(*intervals, rtol=1e-4)
        again = pickle.loads(pickle.dumps(grown))
        np.testing.assert_array_equal(again.predict(fh=[1, 2, 3]), grown.predict(fh=[1, 2, 3]))
        assert sum(again.weights_.values()) == pytest.approx(1, abs=1e-5)

    def test_no_value_to_come_has_an_influence(self):
        """What was forecast at a time is the same, whatever followed."""
        y, other = series(VALUES), series(np.append(VALUES[:50], 1e5 * np.ones(10)))
        ahead = [made(history=20).fit(one[:40]).update(one[40:50]).predict_interval(fh=[1, 4]) for one in (y, other)]
        np.testing.assert_array_equal(*ahead)

    def test_a_lifetime_that_is_over_is_followed_by_a_new_one(self):
        """It has 100 steps. At values 120, 170 and 220 a new one begins 50 values earlier, so the last begins at 170."""
        y = series(np.random.default_rng(1).normal(size=240).cumsum())
        grown = made(history=20).fit(y[:30]).update(y[30:])
        assert int(grown._past[-1][1].session.slot) == 70
        newer = made(history=170).fit(y)
        np.testing.assert_allclose(grown.predict(fh=[1, 2]), newer.predict(fh=[1, 2]), rtol=1e-4, atol=1e-4)

    @pytest.mark.slow
    def test_intervals_hold_as_many_values_as_they_say(self):
        """Random walks, forecast by their last value: 60 series, four horizons, 80 %."""
        random, inside = np.random.default_rng(2), []
        for _ in range(60):
            walk = random.normal(size=130).cumsum()
            y = series(walk)
            interval = made(agent="naive").fit(y[:120]).predict_interval(fh=[1, 3, 6, 10], coverage=0.8).to_numpy()
            came = walk[[120, 122, 125, 129]]
            inside.append((interval[:, 0] <= came) & (came <= interval[:, 1]))
        assert 0.7 < np.mean(inside) < 0.9

    def test_few_errors_are_enlarged_by_the_square_root_of_the_steps(self):
        y = series(VALUES[:22])
        interval = made(agent="naive", history=20).fit(y).predict_interval(fh=[1, 4, 9], coverage=0.5).to_numpy()
        width = interval[:, 1] - interval[:, 0]
        changes = np.abs(np.diff(VALUES[:22]))
        np.testing.assert_allclose(width, 2 * np.quantile(changes, 0.5 * 22 / 21) * np.array([1, 2, 3]), rtol=1e-4)

    @pytest.mark.parametrize(
        ("settings", "error", "said"),
        [
            ({"period": 60}, UsageError, "period must lie between 1 and 52; came 60"),
            ({"period": 2.5}, UsageError, "period must be a whole number; came 2.5"),
            ({"history": 0}, UsageError, "history must be 1 or more; came 0"),
            ({"history": "many"}, UsageError, "history must be .*; came 'many'"),
            ({"seed": None}, UsageError, "seed must be a whole number; came None"),
            ({"agent": "bundles/nothing"}, BundleError, "there is no folder 'bundles/nothing'"),
            ({"agent": "fixed-shore"}, UnknownNameError, "unknown run, bundle or baseline 'fixed-shore'"),
            ({"agent": "greedy"}, SpecError, "a bandit agent needs Discrete actions"),
        ],
    )
    def test_settings_that_are_wrong_are_refused(self, settings, error, said):
        with pytest.raises(error, match=said):
            made(**settings).fit(series(VALUES))

    def test_wrong_values_and_steps_are_refused(self):
        with pytest.raises(UsageError, match="not finite"):
            made().fit(series(np.append(VALUES, np.inf)))
        with pytest.raises(NotImplementedError, match="can not perform in-sample prediction"):
            made().fit(series(VALUES)).predict(fh=[0, 1])

    def test_times_with_a_gap_are_refused(self):
        """A forecaster that takes values for neighbours would be a season late after a gap."""
        import pandas as pd

        y = series(VALUES)
        with pytest.raises(UsageError, match="after 2020-01-25 comes 2020-01-28, and not 2020-01-26"):
            made().fit(y.drop(y.index[[20, 21]]))
        with pytest.raises(UsageError, match="after 59 comes 59, and not 60"):
            made().fit(pd.Series([*VALUES, 1.0], index=[*range(60), 59]))
        dates = pd.Series(VALUES, index=pd.DatetimeIndex(list(pd.date_range("2020-01-06", periods=60))))
        assert list(made().fit(dates).predict(fh=[2]).index) == [pd.Timestamp("2020-03-07")]
        with pytest.raises(UsageError, match=r"the dates of y have no frequency.*asfreq"):
            made().fit(dates.drop(dates.index[[20, 21]]))
        grown = made().fit(y[:40])
        with pytest.raises(UsageError, match="after 2020-02-14 comes 2020-02-20, and not 2020-02-15"):
            grown.update(y[45:])
        with pytest.raises(UsageError, match=r"y has dates as times, and the values before had periods \(D\)"):
            grown.update(dates[40:])
        assert list(grown.predict(fh=[1]).index) == [y.index[40]]

    def test_an_update_with_known_times_changes_nothing(self):
        y = series(VALUES)
        grown, plain = (made().fit(y[:40]) for _ in range(2))
        grown.update(y[:20])
        for one in (grown.predict(fh=[1, 2]), grown.update(y[35:40]).predict(fh=[1, 2])):
            np.testing.assert_array_equal(one, plain.predict(fh=[1, 2]))
            assert list(one.index) == list(y.index[40:42])
        with pytest.raises(UsageError, match=r"the value of 2020-02-13 is .* already, and came as 7"):
            grown.update(y[38:42].where(y[38:42].index != y.index[38], 7.0))
        without_times = made().fit(VALUES[:30])
        with pytest.raises(UsageError, match=r"the value of 0 is .* already.*an index that says so"):
            without_times.update(VALUES[30:])

    def test_one_value_gives_no_interval(self):
        with pytest.raises(UsageError, match="an interval needs two values or more"):
            made(agent="naive").fit(series(VALUES[:1])).predict_interval(fh=[1])
