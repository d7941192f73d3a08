"""A forecaster of sktime that weighs simple forecasters with an agent: `fit`, `update`, `predict`, `predict_interval`.

    from quickstudy.adapters.sktime_forecaster import AdaptiveForecaster

    forecaster = AdaptiveForecaster(agent="runs/rl2-forecasting", period=12)
    forecaster.fit(y, fh=[1, 2, 3])
    forecaster.predict()

Needs `pip install 'quickstudy[sktime]'`. The file is not part of `quickstudy.adapters`, since it imports pandas and sktime.

- `fit` writes no parameter of the agent. It begins a lifetime: the first values are the history, the others are taken in.
- `update` takes in further values, whatever `update_params` says. A lifetime that is over is followed by a new one, which
  takes in the values of the second half of the old one again.
- `predict` uses one decision of the agent for all steps of the horizon. The agent was trained on the next value only.
- `predict_interval` is symmetric around the forecast. Its width comes from the forecaster's own errors so far, as many steps
  ahead. Where there are fewer than ten such errors, those of fewer steps are enlarged by the square root of the steps.
"""

import functools
import math
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np

from quickstudy import baselines
from quickstudy.adapters.forecast_session import ForecastPrograms, SeriesState
from quickstudy.baselines.models.forecast_view import WINDOW, forecast_spec
from quickstudy.baselines.models.forecasters import LONGEST, MOST_HISTORY, NAMES
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError, UsageError
from quickstudy.protocol.setting_values import Count, Range, Seed, checked_value
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.card import bundle_folder
from quickstudy.storage.reading import is_file

try:
    import pandas as pd
    from sktime.forecasting.base import BaseForecaster

    from quickstudy.adapters.series_times import check_consecutive, check_same_kind, frequency_of
except ImportError as error:
    raise MissingExtraError("sktime", "sktime") from error

FEW_ERRORS = 10
"""Fewer errors than these are not used for intervals."""
_STEPS = 100
_KEPT = 4 * MOST_HISTORY
"""So many of the newest values are kept: enough for the history of a new lifetime, and for errors of many steps ahead."""
_LEAST_HISTORY = 8
_Period = Annotated[int, Range(least=1, most=LONGEST)]


class AdaptiveForecaster(BaseForecaster):
    """Forecasts by the weights that an agent gives to naive, seasonal naive, mean, SES, Holt, AR, ETS, Theta and level shifts.

    Args:
      agent: path of a run or a bundle that was trained on `forecasting`; or the name of a baseline of such tasks, as
        `fixed-share`, `bocpd` or `best-single-expert`.
      period: steps of a season, at most 52; 1 if there is none.
      history: least number of values before the agent's first decision; None for two seasons, at least 8 values. In a longer
        series the agent takes in as many of the last values as its lifetimes have, and all before are history.
      seed: of the agent's randomness; without it, two fits are the same.
    Raises:
      UsageError: at `fit`: no such agent, a period or a history out of range, values that are not finite, or a gap in time. At
        `update` too, and where a value of a time that is known already is another one.
      SpecError: at `fit`: an agent of other tasks.
    Example:
      >>> AdaptiveForecaster().fit(pd.Series([1.0, 2.0, 1.0, 2.0] * 6)).predict(fh=[1, 2]).shape  # doctest: +SKIP
      (2,)
    """

    _tags = {  # noqa: RUF012  # as sktime declares them
        "y_inner_mtype": "pd.Series",
        "X_inner_mtype": "pd.DataFrame",
        "scitype:y": "univariate",
        "requires-fh-in-fit": False,
        "capability:exogenous": False,
        "capability:missing_values": False,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:update": True,
    }
    _config = {"remember_data": False}  # noqa: RUF012  # it keeps the values that it needs

    def __init__(self, agent: str = "fixed-share", period: int = 1, history: int | None = None, seed: int = 0):
        self.agent = agent
        self.period = period
        self.history = history
        self.seed = seed
        super().__init__()
        self._y = None  # where a user sets `remember_data`, sktime looks for it before the first fit

    def _fit(self, y: Any, X: Any, fh: Any) -> "AdaptiveForecaster":  # noqa: N803  # as sktime names it
        del X, fh
        period = checked_value("period", _Period, self.period)
        history = checked_value("history", Count | None, self.history)
        checked_value("seed", Seed, self.seed)
        programs = self._programs()
        least = max(_LEAST_HISTORY, 2 * period) if history is None else history
        count = min(len(y), max(least, len(y) - programs.steps + 1))  # the next forecast is of the same lifetime
        values, frequency = self._finite(y), frequency_of(y.index)
        check_consecutive(y.index, frequency)
        self._values, self._past = values[:count], [(count, programs.begun(values[:count], period=period))]
        self._take_in(values[count:])
        self._times, self._frequency, self._name = y.index[-_KEPT:], frequency, y.name
        self._known_cutoff = self._cutoff
        return self

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> "AdaptiveForecaster":  # noqa: N803
        del X, update_params
        try:
            check_same_kind(y.index, self._times)
            values, is_new = self._finite(y), np.asarray(y.index > self._times[-1])
            self._check_known(y.index, values)
            if is_new.any():
                times = self._times[-1:].append(y.index[is_new])
                check_consecutive(times, self._frequency)
                self._take_in(values[is_new])
                self._times, self._known_cutoff = self._times.append(times[1:])[-_KEPT:], self._cutoff
        finally:  # sktime has moved it to the end of y, which may lie before the newest value
            self._set_cutoff(self._known_cutoff)
        return self

    def _check_known(self, times: Any, values: np.ndarray) -> None:
        """Refuses another value of a time that the agent has taken in: it cannot forget the first one."""
        places = self._times.get_indexer(times)
        known = self._values[-len(self._times) :][places]
        wrong = np.flatnonzero((places >= 0) & ~np.isclose(values, known, rtol=1e-6, atol=0.0))
        if wrong.size:
            at = wrong[0]
            raise UsageError(
                f"the value of {times[at]} is {known[at]:.6g} already, and came as {values[at]:.6g}. Give values of later "
                "times, with an index that says so; for changed values call fit again. Nothing was changed."
            )

    def _predict(self, fh: Any, X: Any = None) -> Any:  # noqa: N803
        del X
        steps = self._steps_of(fh)
        said, _, _ = self._programs().ahead(self._past[-1][1], int(steps.max()))
        return pd.Series(said[steps - 1], index=fh.to_absolute_index(self.cutoff), name=self._name)

    def _predict_interval(self, fh: Any, X: Any, coverage: list[float]) -> Any:  # noqa: N803
        del X
        if len(self._values) < 2:
            raise UsageError("an interval needs two values or more: one says nothing about errors. Take in more values first.")
        steps = self._steps_of(fh)
        said = self._predict(fh).to_numpy()
        errors = self._errors(int(steps.max()))
        columns = pd.MultiIndex.from_product([self._get_varnames(), coverage, ["lower", "upper"]])
        found = pd.DataFrame(index=fh.to_absolute_index(self.cutoff), columns=columns, dtype=float)
        for number, share in enumerate(coverage):
            width = np.array([_width(errors, step, share) for step in steps])
            found.iloc[:, 2 * number], found.iloc[:, 2 * number + 1] = said - width, said + width
        return found

    def _take_in(self, values: np.ndarray) -> None:
        """Lets the agent decide before each value, and take it in."""
        programs = self._programs()
        count, state = self._past[-1]
        for value in values:
            state, count = programs.after(state, float(value)), count + 1
            self._values = np.append(self._values, value)[-_KEPT:]
            if int(state.session.slot) == programs.steps:
                state = self._renewed()
            self._past = [*self._past[1 - MOST_HISTORY :], (count, state)]
        _, weights, strength = programs.ahead(state, 1)
        self.weights_ = dict(zip(NAMES, weights.tolist(), strict=True))
        self.reset_ = strength

    def _renewed(self) -> SeriesState:
        """A new lifetime, which begins in the middle of the old one: so the agent knows the series again."""
        programs = self._programs()
        again = min(programs.steps, len(self._values)) // 2
        state = programs.begun(self._values[: len(self._values) - again], period=self.period)
        for value in self._values[len(self._values) - again :]:
            state = programs.after(state, float(value))
        return state

    def _errors(self, steps: int) -> list[np.ndarray]:
        """For each number of steps ahead the absolute errors so far; before them the changes from value to value."""
        programs, newest = self._programs(), self._past[-1][0]
        found: list[list[float]] = [[] for _ in range(steps)]
        for count, state in self._past[:-1]:
            followed = self._values[len(self._values) - (newest - count) :][:steps]
            said, _, _ = programs.ahead(state, steps)
            for errors, error in zip(found, np.abs(followed - said[: len(followed)]), strict=False):
                errors.append(float(error))
        changes = np.abs(np.diff(self._values))
        return [changes if len(changes) else np.zeros(1), *map(np.array, found)]

    def _steps_of(self, fh: Any) -> np.ndarray:
        """Numbers of steps ahead, all of them 1 or more."""
        steps = np.asarray(fh.to_relative(self.cutoff).to_pandas()).astype(int)
        if (steps < 1).any():
            raise UsageError(f"this forecaster forecasts values to come: steps of fh must be 1 or more; came {steps.min()}.")
        return steps

    def _finite(self, y: Any) -> np.ndarray:
        values = np.asarray(y.to_numpy(), np.float64)
        if not np.isfinite(values).all():
            raise UsageError("y holds values that are not finite. Fill or drop them before.")
        return values

    def _programs(self) -> ForecastPrograms:
        agent = str(self.agent)
        card = bundle_folder(agent) / "bundle.json"
        if not is_file(card) and len(Path(agent).parts) > 1:  # no baseline has such a name
            load_bundle(Path(agent))
        return _programs_of(agent, card.stat().st_mtime_ns if is_file(card) else None, self.seed)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that sktime's own checks try.

        Args:
          parameter_set: of which sktime names several; there is one.
        Returns:
          One dict of settings for each forecaster that is tried.
        """
        del parameter_set
        return [{}, {"agent": "bocpd", "period": 4, "history": 5}]


@functools.lru_cache(maxsize=16)
def _programs_of(agent: str, written: int | None, seed: int) -> ForecastPrograms:
    """The programs of an agent, compiled once for all forecasters that have it.

    Args:
      agent: path of a bundle, or name of a baseline.
      written: when the bundle was written; None for a baseline.
      seed: of the agent's randomness.
    """
    if written is not None:
        bundle = load_bundle(Path(agent))
        return ForecastPrograms(bundle.agent, bundle.params_of(0), seed=seed)
    name = baselines.registered_name(agent)
    if name not in baselines.BASELINES:
        raise UnknownNameError("run, bundle or baseline", agent, baselines.BASELINES)
    made = baselines.make(name, forecast_spec(window=WINDOW, steps=_STEPS))
    return ForecastPrograms(made, made.init(jax.random.key(seed)), seed=seed)


def _width(errors: list[np.ndarray], steps: int, coverage: float) -> float:
    """Half the width of an interval.

    Args:
      errors: at place h those of h steps ahead, at place 0 changes from value to value, which count as one step.
      steps: of the forecast.
      coverage: share of values that are to lie within.
    """
    used = next((step for step in range(steps, 0, -1) if len(errors[step]) >= FEW_ERRORS), 0)
    known = errors[used]
    level = min(1.0, coverage * (len(known) + 1) / len(known))
    return float(np.quantile(known, level)) * math.sqrt(steps / max(used, 1))
