"""Simple forecasters as recursions: what each says about the next value of a series, and how all of them forget.

The forecasters, in the order of `NAMES`. z is the value, f the forecast of the next one, m the period of the season.

    naive             f = z
    seasonal naive    f = the value of m - 1 steps ago
    mean              f = the mean of all values
    SES, Holt, ETS    exponential smoothing, with several settings side by side (`exponential_smoothing`)
    AR                f = θ · (1, z, z before), θ by recursive least squares
    Theta             SES of the values without season, plus half of the slope b of a straight line:  f = l + b / (2 α) + s
    level shifts      f = the expected level, if the level jumps at unknown times (`level_shifts`, with its usual numbers)

l, b, s and α are level, slope, season and smoothing constant. A *reset* of strength r, between 0 and 1, says that the level has
changed: levels move by r of the way to the newest value, the number n of values since the last reset is reduced to
1 + (1 - r)(n - 1), and trends shrink by the factor 1 - r. What is known about the season and about the AR coefficients remains;
the AR coefficients become free to move. `level shifts` finds shifts by itself: a reset changes nothing of it.

Values are in units of the mean absolute change from step to step, so errors are those of the mean absolute scaled error (MASE,
Hyndman & Koehler 2006).

Sources: Hyndman & Billah 2003 (Theta as SES with drift), Ljung & Söderström 1983 (recursive least squares).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.baselines.models import exponential_smoothing as smoothing
from quickstudy.baselines.models import level_shifts
from quickstudy.baselines.models.exponential_smoothing import DAMPING, ETS, HOLT, SES
from quickstudy.baselines.models.level_shifts import HAZARD, SIZE, RunLengths
from quickstudy.protocol.records import record
from quickstudy.protocol.sequences import scan, where

NAMES = ("naive", "seasonal naive", "mean", "SES", "Holt", "AR", "ETS", "Theta", "level shifts")
PERIODS = (7, 12, 52)
LONGEST = 52
"""The longest period; so many values are kept."""
MOST_HISTORY = 2 * LONGEST
"""Most values before the first forecast that are used of a real series. By default a simulated series has as many."""
KEPT_ERRORS = 0.9
"""Factor of older errors in the mean absolute error that is shown."""

_THETA, _KEPT_LINE = 0.3, 0.99
_AR_KEPT, _AR_FIRST, _AR_MOST = 0.99, 0.5, 100.0
_NOISE = level_shifts.noise_of(HAZARD, SIZE)
_FARTHEST = 10.0
"""A forecast is at most so far from the newest value, in units of the mean absolute change."""


@record
class Forecasters:
    """What all forecasters remember of one series.

    `recent` `[52]`: the last values, the newest first. `count` `[]`: values since the last reset. `seen` `[]`: all values so
    far. `period` `[]`: steps of a season. `total` `[]`: the sum of all values. `ses`, `holt`, `ets` `[k, 2 or 3]`: for each
    setting its level, its trend where it has one, and its recent mean squared error. `season` `[3, 52]`: of ETS, that of the
    next value first. `ar` `[3]`: θ, and `spread` `[3, 3]`, its covariance in units of the noise. `line` `[5]`: weighted sums of
    1, age, age², value, and age · value. `theta` `[]`: level of Theta. `level`: belief about a level that jumps. `error`,
    `size` `[9]`: last error of each forecaster, value minus forecast, and its recent mean absolute error.
    """

    recent: Float[Array, " 52"]
    count: Float[Array, ""]
    seen: Float[Array, ""]
    period: Int[Array, ""]
    total: Float[Array, ""]
    ses: Float[Array, "settings 2"]
    holt: Float[Array, "settings 3"]
    ets: Float[Array, "settings 3"]
    season: Float[Array, "settings 52"]
    ar: Float[Array, " 3"]
    spread: Float[Array, "3 3"]
    line: Float[Array, " 5"]
    theta: Float[Array, ""]
    level: RunLengths
    error: Float[Array, " forecasters"]
    size: Float[Array, " forecasters"]


def begin(value: Float[Array, ""], period: Int[Array, ""]) -> Forecasters:
    """What is remembered after the first value of a series.

    Args:
      value: `[]`, in units of the mean absolute change.
      period: `[]`, steps of a season, at most 52.
    """
    one = jnp.ones(())
    return Forecasters(
        recent=jnp.full(LONGEST, value),
        count=one,
        seen=one,
        period=period,
        total=value,
        ses=smoothing.begin(value, settings=len(SES), width=2),
        holt=smoothing.begin(value, settings=len(HOLT), width=3),
        ets=smoothing.begin(value, settings=len(ETS), width=3),
        season=jnp.zeros((len(ETS), LONGEST)),
        ar=jnp.float32([0.0, 1.0, 0.0]),
        spread=_AR_FIRST * jnp.eye(3),
        line=jnp.stack([one, 0 * one, 0 * one, value, 0 * one]),
        theta=value,
        level=_level_after(level_shifts.begin(_NOISE, SIZE), value),
        error=jnp.zeros(len(NAMES)),
        size=jnp.ones(len(NAMES)),
    )


def after_history(values: Float[Array, " history"], period: Int[Array, ""]) -> Forecasters:
    """What is remembered after several values `[history]`, at least one."""
    return scan(lambda state, value: (take_in(state, value), None), begin(values[0], period), values[1:])[0]


def padded_history(history: Float[np.ndarray, " values"]) -> tuple[Float[np.ndarray, " history"], int]:
    """The newest values of a history in an array of always the same length, for `after_padded_history`.

    Args:
      history: at least one value, in the order of time.
    Returns:
      `[104]`: the values at the end, and before them copies of the first of these. And the place of that first value.
    """
    newest = history[-MOST_HISTORY:]
    first = MOST_HISTORY - len(newest)
    return np.concatenate([np.full(first, newest[0]), newest]), first


def after_padded_history(values: Float[Array, " history"], period: Int[Array, ""], first: Int[Array, ""]) -> Forecasters:
    """`after_history` of the values from place `first` `[]` on; what stands before is padding, and changes nothing."""

    def step(state: Forecasters, place: Array) -> tuple[Forecasters, None]:
        return where(place > first, take_in(state, values[place]), state), None

    return scan(step, begin(values[first], period), jnp.arange(1, len(values)))[0]


def forecasts(state: Forecasters) -> Float[Array, " forecasters"]:
    """What each forecaster says about the next value, in the order of `NAMES`."""
    newest, best = state.recent[0], smoothing.best(state.ets)
    slope = _slope(state.line)
    drift = 0.5 * slope * (1 - (1 - _THETA) ** state.count) / _THETA
    said = jnp.stack(
        [
            newest,
            (state.recent * smoothing.season_ago(state.period, LONGEST)).sum(),
            state.total / state.seen,
            smoothing.of_best(state.ses[:, 0], state.ses),
            smoothing.of_best(state.holt[:, 0] + state.holt[:, 1], state.holt),
            state.ar @ _regressors(state),
            best @ smoothing.ets_forecasts(state.ets, state.season),
            state.theta + drift + best @ state.season[:, 0],
            level_shifts.expected_level(state.level),
        ]
    )
    return jnp.clip(said, newest - _FARTHEST, newest + _FARTHEST).at[1:3].set(said[1:3])


def forecasts_ahead(state: Forecasters, steps: int) -> Float[Array, "steps forecasters"]:
    """What each forecaster says about the next `steps` values, without a look at any of them; the first row is `forecasts`.

    The trend of ETS is damped, those of Holt and Theta go on, and AR takes its own forecasts as the values before. The farthest
    forecast of h steps ahead is h times as far from the newest value as that of one step.
    """
    newest, best = state.recent[0], smoothing.best(state.ets)
    ahead = jnp.arange(steps, dtype=jnp.float32)  # beside one step
    place = jnp.mod(jnp.arange(steps), state.period)
    damped = jnp.cumsum(DAMPING ** (ahead + 1))
    slope = _slope(state.line)
    drift = 0.5 * slope * ((1 - (1 - _THETA) ** state.count) / _THETA + ahead)
    season = (best @ state.season)[place]
    limit = _FARTHEST * (ahead + 1)

    def regress(before: tuple[Array, Array], limit: Array) -> tuple[tuple[Array, Array], Array]:
        said = state.ar @ jnp.stack([jnp.ones(()), *before])
        said = jnp.clip(said, newest - limit, newest + limit)
        return (said, before[0]), said

    of_holt = lambda part: smoothing.of_best(part, state.holt)  # noqa: E731
    said = jnp.stack(
        [
            jnp.full(steps, newest),
            state.recent[state.period - 1 - place],
            jnp.full(steps, state.total / state.seen),
            jnp.full(steps, smoothing.of_best(state.ses[:, 0], state.ses)),
            of_holt(state.holt[:, 0]) + (ahead + 1) * of_holt(state.holt[:, 1]),
            scan(regress, (newest, state.recent[1]), limit)[1],
            best @ state.ets[:, 0] + damped * (best @ state.ets[:, 1]) + season,
            state.theta + drift + season,
            jnp.full(steps, level_shifts.expected_level(state.level)),
        ],
        axis=1,
    )
    return jnp.clip(said, newest - limit[:, None], newest + limit[:, None]).at[:, 1:3].set(said[:, 1:3])


def take_in(state: Forecasters, value: Float[Array, ""]) -> Forecasters:
    """What is remembered after the next value `[]`; each forecaster learns from its own error."""
    error = value - forecasts(state)
    count, seen = state.count + 1, state.seen + 1
    ar, spread = _least_squares(state, value)
    best = smoothing.best(state.ets)
    without_season = value - best @ state.season[:, 0]
    ets, season = smoothing.ets_after(state.ets, state.season, value, seen=state.seen, period=state.period)
    ones, ages, squares, values, products = state.line
    older = [ones, ages + ones, squares + 2 * ages + ones, values, products + values]
    line = _KEPT_LINE * jnp.stack(older) + jnp.stack([jnp.ones(()), *jnp.zeros(2), value, jnp.zeros(())])
    return Forecasters(
        recent=jnp.concatenate([value[None], state.recent[:-1]]),
        count=count,
        seen=seen,
        period=state.period,
        total=state.total + value,
        ses=smoothing.ses_after(state.ses, value, count),
        holt=smoothing.holt_after(state.holt, value),
        ets=ets,
        season=season,
        ar=ar,
        spread=spread,
        line=line,
        theta=state.theta + jnp.maximum(_THETA, 1 / count) * (without_season - state.theta),
        level=_level_after(state.level, value),
        error=error,
        size=KEPT_ERRORS * state.size + (1 - KEPT_ERRORS) * jnp.abs(error),
    )


def reset(state: Forecasters, strength: Float[Array, ""]) -> Forecasters:
    """What is remembered after a reset of this strength `[]`, between 0 and 1; 0 changes nothing."""
    newest, kept = state.recent[0], 1 - strength
    moved = lambda level, value: level + strength * (value - level)  # noqa: E731
    without_season = newest - smoothing.best(state.ets) @ _last_season(state)
    return Forecasters(
        recent=state.recent,
        count=1 + kept * (state.count - 1),
        seen=state.seen,
        period=state.period,
        total=state.total,
        ses=state.ses.at[:, 0].set(moved(state.ses[:, 0], newest)),
        holt=state.holt.at[:, 0].set(moved(state.holt[:, 0], newest)).at[:, 1].multiply(kept),
        ets=state.ets.at[:, 0].set(moved(state.ets[:, 0], newest - _last_season(state))).at[:, 1].multiply(kept),
        season=state.season,
        ar=state.ar,
        spread=state.spread + strength * _AR_FIRST * jnp.eye(3),
        line=kept * state.line + strength * jnp.stack([jnp.ones(()), *jnp.zeros(2), newest, jnp.zeros(())]),
        theta=moved(state.theta, without_season),
        level=state.level,
        error=state.error,
        size=state.size,
    )


def _level_after(level: RunLengths, value: Float[Array, ""]) -> RunLengths:
    return level_shifts.take_in(level, value, noise=_NOISE, hazard=HAZARD, size=SIZE)


def _last_season(state: Forecasters) -> Float[Array, " settings"]:
    return smoothing.last_season(state.season, seen=state.seen, period=state.period)


def _regressors(state: Forecasters) -> Float[Array, " 3"]:
    return jnp.stack([jnp.ones(()), state.recent[0], state.recent[1]])


def _least_squares(state: Forecasters, value: Array) -> tuple[Float[Array, " 3"], Float[Array, "3 3"]]:
    """θ and its covariance after a value. The covariance is limited: where nothing varies, it would grow without end."""
    seen = _regressors(state)
    carried = state.spread @ seen
    gain = carried / (_AR_KEPT + seen @ carried)
    spread = (state.spread - gain[:, None] * carried[None, :]) / _AR_KEPT
    spread = (spread + spread.T) / 2
    ar = state.ar + gain * (value - state.ar @ seen)
    return ar, spread * jnp.minimum(1.0, _AR_MOST / jnp.trace(spread))


def _slope(line: Float[Array, " 5"]) -> Float[Array, ""]:
    """Slope of the weighted straight line through all values, per step; 0 where one value is known."""
    ones, ages, squares, values, products = line
    spread = ones * squares - ages**2
    return jnp.where(spread > 1e-3, -(ones * products - ages * values) / jnp.maximum(spread, 1e-3), 0.0)
