"""Forecasting through shifts: set weights for simple forecasters at each step, and tell them when to forget.

A series has a history, on which the forecasters were run, and then `horizon` values that are forecast one by one. Before each
value the agent gives every forecaster a weight and may reset them all; the forecast is their weighted mean. The forecasters are
naive, seasonal naive, mean, SES, Holt, AR, ETS, Theta and level shifts (`baselines.models.forecasters`).

    reward = -|value - forecast| / scale        scale = mean absolute change from step to step in the history

So the mean reward of a lifetime is the negative mean absolute scaled error of one-step forecasts (MASE, Hyndman & Koehler
2006).
`baselines.models.forecast_view` lists the numbers of observations and actions.

- Drawn once per lifetime: the series (`tasks.decisions.series`). It is part of the task, so all agents meet the same values
  and differences between them have small errors. Future values are in no observation.
- `kind = "shifts"`: independent noise around a level that is drawn anew from N(0, 3²) with a probability of 0.025 at each step.
- `kind = "mixed"`: half of the series are autocorrelated, a third wanders, a third has a trend, half have a season of 7, 12 or
  52 steps. Mean, slope, variance or season change, or there are outliers. The hazard is between 0.005 and 0.05, and the size of
  changes between 1 and 5 standard deviations of the noise. Three of ten changes return to the regime before.
- `periods` are those of the seasons, of both kinds. Real series also have 4 steps, or no season, which is a period of 1.

Splits are disjoint by construction: `mark_split` writes the number of the split into the phase of the season, which each series
has, even if its season has the amplitude 0.

- `train`, `test`: as above.
- `ood:frequent`: three times the hazard.
- `ood:large`: changes of twice the size.
- `ood:heavy-tails`: noise of Student's t with 3 degrees of freedom and the same variance.
- `ood:calm`: no changes.

`ceiling`: the return of an observer that knows the process and its state at every step, the beginning of regimes included, but
not the noise. It is a bound and not a method: no method can know when a shift comes.
`floor`: the mean return of a few lifetimes of random actions on the series, with common random numbers for all series. A floor
above the ceiling is set to the ceiling.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.baselines.decisions.bocpd import bocpd_agent
from quickstudy.baselines.decisions.fixed_share import fixed_share_agent
from quickstudy.baselines.decisions.known_changes import known_changes_agent
from quickstudy.baselines.decisions.single_forecaster import best_single_agent, single_forecaster_agent
from quickstudy.baselines.models.forecast_view import WINDOW, forecast_spec, forecast_step, observation_of
from quickstudy.baselines.models.forecasters import (
    LONGEST,
    MOST_HISTORY,
    NAMES,
    PERIODS,
    Forecasters,
    after_history,
)
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.sequences import scan
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Count, Range
from quickstudy.protocol.settings import check_settings
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.decisions.series import Process, simulate

SPLITS = ("train", "test", "ood:frequent", "ood:large", "ood:heavy-tails", "ood:calm")
FREQUENT, LARGE, TAILS = 3.0, 2.0, 3.0
"""Factors of the hazard and of the size, and degrees of freedom, in the out-of-distribution splits."""

_RANDOM_LIFETIMES = 4
Share = Annotated[float, FRACTION]
Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecasting:
    """Series to be forecast by weighing simple forecasters. Sizes are in standard deviations of the noise.

    Args:
      kind: `shifts` has independent noise and shifts of the mean; `mixed` has series of many kinds.
      hazard: probability of a shift at each step; for `shifts`.
      size: standard deviation of the levels; for `shifts`.
      hazard_low: lower end of the log-uniform probability of a change at each step; for `mixed`.
      hazard_high: upper end of that probability; for `mixed`.
      size_low: lower end of the uniform size of changes; for `mixed`.
      size_high: upper end of the size of changes; for `mixed`.
      returns: probability that a change goes back to the previous regime; for `mixed`.
      mean_share: share of series whose mean changes; for `mixed`. The five shares are divided by their sum.
      slope_share: share of series whose slope changes; for `mixed`.
      variance_share: share of series whose variance changes; for `mixed`.
      season_share: share of series whose season changes; for `mixed`.
      outliers_share: share of series with outliers; for `mixed`.
      autocorrelated: share of series whose noise has an autocorrelation, uniform between -0.3 and 0.9; for `mixed`.
      wandering: share of series whose level is a random walk; for `mixed`.
      wander: largest standard deviation of a step of that random walk; for `mixed`.
      trending: share of series with a trend; for `mixed`.
      slope: standard deviation of the slope of a trend, per step; for `mixed`.
      seasonal: share of series with a season; for `mixed`.
      amplitude: largest amplitude of a season; for `mixed`.
      periods: steps of a season, of which each series has one, between 1 (no season) and 52.
      history: number of values before the first forecast.
      horizon: number of values to forecast.
      recent: number of values before the newest one that an observation shows.
      shows_changes: whether observations say that the next value begins a new regime. No real series says so.
    Raises:
      UsageError: a setting out of its range.
    Example:
      >>> forecasting(kind="mixed", horizon=50).spec.lifetime_steps
      50
    Source: ours. The numbers of `shifts` are such that naive, SES and Bayesian change-point detection differ as in practice.
    """

    kind: Literal["shifts", "mixed"] = "shifts"
    hazard: Share = 0.025
    size: Positive = 3.0
    hazard_low: Annotated[float, Range(above=0, most=1)] = 0.005
    hazard_high: Annotated[float, Range(above=0, most=1)] = 0.05
    size_low: Annotated[float, Range(least=1)] = 1.0
    size_high: Annotated[float, Range(least=1)] = 5.0
    returns: Share = 0.3
    mean_share: NotNegative = 0.4
    slope_share: NotNegative = 0.15
    variance_share: NotNegative = 0.15
    season_share: NotNegative = 0.15
    outliers_share: NotNegative = 0.15
    autocorrelated: Share = 0.5
    wandering: Share = 0.33
    wander: NotNegative = 0.5
    trending: Share = 0.33
    slope: NotNegative = 0.05
    seasonal: Share = 0.5
    amplitude: NotNegative = 4.0
    periods: tuple[Annotated[int, Range(least=1, most=LONGEST)], ...] = PERIODS
    history: Annotated[int, Range(least=2, most=10_000)] = MOST_HISTORY
    horizon: Count = 100
    recent: Annotated[int, Range(least=1, most=LONGEST - 1)] = WINDOW
    shows_changes: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        for low, high in (("hazard_low", "hazard_high"), ("size_low", "size_high")):
            if getattr(self, low) > getattr(self, high):
                raise UsageError(f"{low} must not be above {high}; came {getattr(self, low)} and {getattr(self, high)}.")
        if not self.periods:
            raise UsageError("periods must name at least one period, as in 7 12 52; came none.")
        if not sum(self.shares) > 0:
            raise UsageError("one of the shares of mean, slope, variance, season and outliers must be above 0; all are 0.")

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the kinds of change, in the order of `series.KINDS`."""
        return self.mean_share, self.slope_share, self.variance_share, self.season_share, self.outliers_share

    def process(self, split: str, key: PRNGKeyArray) -> Process:
        """The hidden numbers of one series of a split."""
        keys = dict(zip([field.name for field in dataclasses.fields(Process)], jax.random.split(key, 10), strict=True))
        phase = mark_split(jax.random.uniform(keys["phase"]), split, SPLITS)
        period = jax.random.choice(keys["period"], jnp.asarray(self.periods, jnp.int32))
        drawn = self._mixed(keys) if self.kind == "mixed" else self._shifts()
        hazard = drawn.pop("hazard") * (FREQUENT if split == "ood:frequent" else 0.0 if split == "ood:calm" else 1.0)
        size = drawn.pop("size") * (LARGE if split == "ood:large" else 1.0)
        return Process(phase=phase, period=period, hazard=jnp.minimum(hazard, 1.0), size=size, **drawn)

    def _shifts(self) -> dict[str, Array]:
        zero = jnp.zeros(())
        hidden = dict.fromkeys(("returns", "autocorrelation", "wander", "slope", "amplitude"), zero)
        return hidden | {"kind": jnp.int32(0), "hazard": jnp.float32(self.hazard), "size": jnp.float32(self.size)}

    def _mixed(self, keys: dict[str, PRNGKeyArray]) -> dict[str, Array]:
        def some(name: str, share: float, number: Callable[[PRNGKeyArray], Array]) -> Array:
            key_whether, key_number = jax.random.split(keys[name])
            return jnp.where(jax.random.bernoulli(key_whether, share), number(key_number), 0.0)

        between = jax.random.uniform
        hazard = between(keys["hazard"], minval=jnp.log(self.hazard_low), maxval=jnp.log(self.hazard_high))
        return {
            "kind": jax.random.categorical(keys["kind"], jnp.log(jnp.asarray(self.shares))).astype(jnp.int32),
            "hazard": jnp.exp(hazard),
            "size": between(keys["size"], minval=self.size_low, maxval=self.size_high),
            "returns": jnp.float32(self.returns),
            "autocorrelation": some("autocorrelation", self.autocorrelated, lambda key: between(key, minval=-0.3, maxval=0.9)),
            "wander": some("wander", self.wandering, lambda key: between(key, maxval=self.wander)),
            "slope": some("slope", self.trending, lambda key: self.slope * jax.random.normal(key)),
            "amplitude": some("amplitude", self.seasonal, lambda key: between(key, maxval=self.amplitude)),
        }


@record
class Series:
    """One series, in units of the mean absolute change in its history, relative to the mean of its history.

    `values`, `expected`, `changed` `[history + horizon]`: as of `series.Path`. `noise` `[]`: standard deviation of the noise,
    in that unit. `process`: its hidden numbers.
    """

    values: Float[Array, " length"]
    expected: Float[Array, " length"]
    changed: Bool[Array, " length"]
    noise: Float[Array, ""]
    process: Process


@record
class Forecast:
    """`forecasters`: what they remember; `step` `[]`: the place of the next value in the series."""

    forecasters: Forecasters
    step: Int[Array, ""]


@made_of(Forecasting)
def forecasting(settings: Forecasting) -> TaskDistribution:
    """Series to be forecast, as a task distribution."""
    history, steps = settings.history, settings.horizon
    spec = forecast_spec(window=settings.recent, steps=steps)

    def sample(split: str, key: PRNGKeyArray) -> Series:
        key_process, key_values = jax.random.split(key)
        process = settings.process(split, key_process)
        tails = TAILS if split == "ood:heavy-tails" else 0.0
        path = simulate(process, key_values, length=history + steps, tails=tails)
        past = path.values[:history]
        mean, scale = past.mean(), jnp.abs(jnp.diff(past)).mean()
        return Series(
            values=(path.values - mean) / scale,
            expected=(path.expected - mean) / scale,
            changed=path.changed,
            noise=1 / scale,
            process=process,
        )

    def see(task: Series, state: Forecast) -> Array:
        # After the last value there is none to forecast.
        flag = jnp.where(state.step < history + steps, task.changed[jnp.minimum(state.step, history + steps - 1)], False)
        shown = flag.astype(jnp.float32) if settings.shows_changes else jnp.zeros(())
        return observation_of(state.forecasters, step=state.step, change=shown, window=settings.recent)

    def reset_task(task: Series, key: PRNGKeyArray) -> tuple[Forecast, Array]:
        del key
        forecasters = after_history(task.values[:history], task.process.period)
        state = Forecast(forecasters=forecasters, step=jnp.int32(history))
        return state, see(task, state)

    def step(task: Series, state: Forecast, action: Array, key: PRNGKeyArray) -> tuple[Forecast, Outcome]:
        del key
        forecasters, reward = forecast_step(state.forecasters, action, task.values[state.step])
        state = Forecast(forecasters=forecasters, step=state.step + 1)
        no = jnp.asarray(False)
        return state, Outcome(observation=see(task, state), reward=reward, terminated=no, truncated=no)

    def ceiling(task: Series) -> Array:
        return -jnp.abs(task.values - task.expected)[history:].sum()

    def floor(task: Series) -> Array:
        return jnp.minimum(_random_return(spec, task, reset_task(task, jax.random.key(0))[0], step), ceiling(task))

    return TaskDistribution(
        name="forecasting",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset_task,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=ceiling,
        baselines=_baselines(spec, settings),
        shown=("values", "process.period", "changed") if settings.shows_changes else ("values", "process.period"),
    )


def _random_return(spec: Spec, task: Series, start: Forecast, step: Callable[..., tuple[Forecast, Outcome]]) -> Array:
    """The mean return of a few lifetimes of random actions, the same ones on all tasks."""
    act = random_agent(spec).act
    seen = jnp.zeros(spec.observation_space.shape or ())

    def forecast(state: Forecast, key: PRNGKeyArray) -> tuple[Forecast, Array]:
        following, outcome = step(task, state, act((), (), seen, key).action, key)
        return following, outcome.reward

    keys = jax.random.split(jax.random.key(0), (_RANDOM_LIFETIMES, spec.horizon))
    return jax.vmap(lambda keys: scan(forecast, start, keys)[1].sum())(keys).mean()


def describe(task: Series) -> dict[str, Array]:
    """The hidden numbers of a series, by names for people."""
    process = task.process
    return {
        "kind of change (0 mean, 1 slope, 2 variance, 3 season, 4 outliers)": process.kind,
        "hazard (changes a step)": process.hazard,
        "size of changes (standard deviations of the noise)": process.size,
        "autocorrelation": process.autocorrelation,
        "wander (standard deviations of the noise)": process.wander,
        "slope (standard deviations of the noise a step)": process.slope,
        "amplitude of the season (standard deviations of the noise)": process.amplitude,
        "phase of the season (share of a season)": process.phase,
        "period (steps)": process.period,
        "noise (mean absolute changes)": task.noise,
    }


def experts(spec: Spec, **model: float) -> dict[str, Callable[[], Agent]]:
    """Makers of the experts that need only the values of a series.

    Args:
      spec: of tasks that are forecast by weights.
      **model: settings of BOCPD, `hazard` and `size`.
    """
    agents: dict[str, Callable[[], Agent]] = {"random": partial(random_agent, spec)}
    # `BOCPD` is the forecaster of level shifts, with the prior of these tasks.
    agents |= {name: partial(single_forecaster_agent, spec, name=name) for name in NAMES if name != "level shifts"}
    agents["best single expert"] = partial(best_single_agent, spec)
    agents["fixed share"] = partial(fixed_share_agent, spec)
    agents["BOCPD"] = partial(bocpd_agent, spec, **model)
    return agents


def _baselines(spec: Spec, settings: Forecasting) -> dict[str, Callable[[], Agent]]:
    """Makers of the experts. The one that knows the changes exists only if observations show them."""
    shifts = settings.kind == "shifts"
    agents = experts(spec, **({"hazard": settings.hazard, "size": settings.size} if shifts else {}))
    if settings.shows_changes:
        agents["known change points"] = partial(known_changes_agent, spec, **({"size": settings.size} if shifts else {}))
    return agents
