"""Forecasting on real series: M1, M3 and Tourism, with the observations and actions of `forecasting`.

The series are those of three forecasting competitions (`pip install 'quickstudy[data]'`; `records` has the sources).

The last `horizon` values of a series are forecast one by one. At most 104 values before them are the history, on which the
forecasters were run. Observation, action and reward are those of `forecasting`, and so is the spec: an agent that was trained
on simulated series runs on real ones as it is.

    reward = -|value - forecast| / scale        scale = mean absolute change from step to step in the history

- Mean and scale come from the history alone. No value that is yet to come has an influence on an observation or a reward.
- A series is left out where fewer than `history` values come before the first forecast, or where these are all equal.
- With the default settings the official test part, the last 4 to 24 values, lies within the forecasts.
- The period is 12 in monthly series and 4 in quarterly ones. Others have none, so their period is 1: then seasonal naive is
  naive. Simulated series have these periods with `--periods 1 4 12`; else an agent meets them here for the first time.
- Where in its season a series begins is not known. The calendar counts from the first value of the task.

Splits are lists of series, the same for all settings (`records.split_of`). Series that are copies of one another are in one
split.

- `train`: seven tenths of M1 and M3. An agent that was trained on simulated series has seen none of them.
- `test`: the others of M1 and M3.
- `ood:tourism`: all of Tourism, where it has series of the frequency.

Tasks are drawn with replacement, so a list of many tasks holds a series several times. `benchmarks/real_series.py` takes each
series once. There is no `ceiling`: nobody knows the process of a real series.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.models.forecast_view import WINDOW, decided, forecast_spec, observation_of
from quickstudy.baselines.models.forecasters import (
    LONGEST,
    Forecasters,
    after_padded_history,
    forecasts,
    reset,
    take_in,
)
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, record
from quickstudy.protocol.setting_values import Count, Range
from quickstudy.protocol.settings import check_settings
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.decisions.forecasting import Forecast, experts
from quickstudy.tasks.suites.competition_series.records import CompetitionSeries, competition_series, split_of
from quickstudy.tasks.suites.suite import COMPETITION_SERIES

SUITE = COMPETITION_SERIES

MOST_HISTORY = 2 * LONGEST
"""Values of the history that are used; in `forecasting` the history is as long."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompetitionTasks:
    """Series of M1, M3 and Tourism, to be forecast by weighing simple forecasters.

    Args:
      frequency: which series; `all` takes those of every frequency that are long enough.
      history: least number of values before the first forecast.
      horizon: number of values to forecast, the last ones of each series.
      recent: number of values before the newest one that an observation shows.
    Raises:
      MissingExtraError: the package with the data is not installed.
      UsageError: a setting out of its range, or so long series that a split has none.
    Example:
      >>> competition_tasks(horizon=12).spec.lifetime_steps  # doctest: +SKIP
      12
    """

    frequency: Literal["all", "yearly", "quarterly", "monthly", "other"] = "all"
    history: Annotated[int, Range(least=2, most=MOST_HISTORY)] = 24
    horizon: Count = 24
    recent: Annotated[int, Range(least=1, most=LONGEST - 1)] = WINDOW

    def __post_init__(self) -> None:
        check_settings(self)


@record
class RealSeries:
    """One series, in units of the mean absolute change in its history, relative to the mean of its history.

    `values` `[104 + horizon]`: the history at the end of the first 104 places, then the values to forecast. `first` `[]`: place
    of the first known value; what stands before repeats it. `period` `[]`: steps of a season. `number` `[]`: of the series in
    the list of all.
    """

    values: Float[Array | np.ndarray, " length"]
    first: Int[Array | np.ndarray, ""]
    period: Int[Array | np.ndarray, ""]
    number: Int[Array | np.ndarray, ""]


def task_of(values: np.ndarray, *, period: int, horizon: int, number: int = 0) -> RealSeries:
    """A task of the values of one series, the last `horizon` of which are to be forecast.

    Args:
      values: `[length]`, in the order of time, in any unit.
      period: steps of a season, at most 52; 1 if there is none.
      horizon: fewer than all by at least 2.
      number: to know it by.
    Raises:
      UsageError: a history of fewer than 2 values, one of equal values, or values that are not finite.
    """
    known = np.asarray(values, np.float64)
    scale = scale_of(known, horizon)
    if not scale > 0 or not np.isfinite(known).all():
        raise UsageError(
            f"a series to forecast needs finite values, and before the last {horizon} at least 2 that differ; came "
            f"{len(known)} values. Leave the series out, or forecast fewer values."
        )
    history = known[:-horizon][-MOST_HISTORY:]
    first = MOST_HISTORY - len(history)
    filled = np.concatenate([np.full(first, history[0]), history, known[-horizon:]])
    return RealSeries(
        values=((filled - history.mean()) / scale).astype(np.float32),
        first=np.asarray(first, np.int32),
        period=np.asarray(period, np.int32),
        number=np.asarray(number, np.int32),
    )


def scale_of(values: np.ndarray, horizon: int) -> float:
    """Mean absolute change in the history of a task, in the unit of the values; 0 where it has fewer than 2 values."""
    changes = np.diff(values[:-horizon][-MOST_HISTORY:])
    return float(np.abs(changes).mean()) if len(changes) else 0.0


def chosen(settings: CompetitionTasks) -> dict[str, list[int]]:
    """Numbers of the series of each split that these settings take, of the list of all; splits without any are left out."""
    every = competition_series()
    found: dict[str, list[int]] = {}
    for number, one in enumerate(every):
        long = len(one.values) >= settings.history + settings.horizon
        if long and settings.frequency in ("all", one.frequency) and scale_of(one.values, settings.horizon) > 0:
            found.setdefault(split_of(one, every), []).append(number)
    return {split: found[split] for split in ("train", "test", "ood:tourism") if split in found}


def stack_of(series: tuple[CompetitionSeries, ...], numbers: list[int], *, horizon: int) -> RealSeries:
    """The tasks of these series, leaves `[series, ...]`.

    Args:
      series: the list of all.
      numbers: of some of them.
      horizon: number of values to forecast.
    """
    tasks = [task_of(series[one].values, period=series[one].period, horizon=horizon, number=one) for one in numbers]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)


@made_of(CompetitionTasks)
def competition_tasks(settings: CompetitionTasks) -> TaskDistribution:
    """Series of forecasting competitions, as a task distribution."""
    numbers = chosen(settings)
    if not {"train", "test"} <= set(numbers):
        raise UsageError(
            f"no series of frequency {settings.frequency!r} has {settings.history} values and {settings.horizon} to forecast "
            "in each of train and test. Ask for a shorter history or horizon, or for another frequency."
        )

    @functools.cache
    def series_of(split: str) -> RealSeries:
        return stack_of(competition_series(), numbers[split], horizon=settings.horizon)

    def sample(split: str, key: PRNGKeyArray) -> RealSeries:
        place = jax.random.randint(key, (), 0, len(numbers[split]))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[place], series_of(split))

    see = functools.partial(_see, window=settings.recent)
    spec = forecast_spec(window=settings.recent, steps=settings.horizon)
    return TaskDistribution(
        name="competition-series",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=tuple(numbers),
        sample=sample,
        reset=functools.partial(_reset, see),
        step=functools.partial(_step, see),
        describe=describe,
        baselines=experts(spec),
        shown=("values", "first", "period"),
    )


def describe(task: RealSeries) -> dict[str, Array]:
    """What is known about a series, by names for people."""
    return {
        "number of the series (M1, M3, then Tourism)": jnp.asarray(task.number),
        "period (steps)": jnp.asarray(task.period),
        "values before the first forecast": MOST_HISTORY - jnp.asarray(task.first),
    }


def _reset(see: Callable[[Forecasters, Array], Array], task: RealSeries, key: PRNGKeyArray) -> tuple[Forecast, Array]:
    del key
    history, period, first = (jnp.asarray(part) for part in (task.values[:MOST_HISTORY], task.period, task.first))
    forecasters = after_padded_history(history, period, first)
    state = Forecast(forecasters=forecasters, step=jnp.int32(MOST_HISTORY))
    return state, see(state.forecasters, state.step)


def _step(
    see: Callable[[Forecasters, Array], Array], task: RealSeries, state: Forecast, action: Array, key: PRNGKeyArray
) -> tuple[Forecast, Outcome]:
    del key
    weights, strength = decided(action)
    forecasters = reset(state.forecasters, strength)
    value = jnp.asarray(task.values)[state.step]
    reward = -jnp.abs(value - weights @ forecasts(forecasters))
    following = Forecast(forecasters=take_in(forecasters, value), step=state.step + 1)
    no = jnp.asarray(False)
    seen = see(following.forecasters, following.step)
    return following, Outcome(observation=seen, reward=reward, terminated=no, truncated=no)


def _see(forecasters: Forecasters, step: Array, *, window: int) -> Array:
    return observation_of(forecasters, step=step, change=jnp.zeros(()), window=window)
