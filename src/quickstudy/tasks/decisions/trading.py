"""Trading in a simulated market with hidden regimes. Nothing here says anything about real prices.

At each bar the agent chooses a target position w between -1 and 1, after it has seen the return of this bar. The position
earns from the return r of the *next* bar, which no decision can know. With the cost c of changing the
position by 1:

    reward = ln(1 + w r - c |w - w before|)

The return of a lifetime is the logarithm of the growth in `horizon` bars, of which 250 are about a year.
`baselines.models.market_view` lists the numbers of observations.

- Drawn once per lifetime: the market. Half of the markets have two regimes, calm and wild, and half have a third one without
  drift. Prices rise in calm regimes and fall in wild ones, on average. Regimes last between 20 and 120 bars on average.

      return = drift of the regime + φ (return before - drift of its regime) + volatility of the regime · N(0, 1) + jump

  Drifts and volatilities differ from market to market, and so does φ, which may be of either sign. Jumps are rare and have four
  times the volatility. The cost is between 0.01 and 0.2 percent, and the agent sees it.
- The returns are part of the task, so all agents meet the same ones. Future returns are in no observation.

Splits are disjoint by construction: `mark_split` writes the number of the split into φ.

- `train`, `test`: as above.
- `ood:expensive`: four times the cost.
- `ood:hasty`: regimes last a quarter as long.
- `ood:inverted`: prices fall in calm regimes and rise in wild ones.
- `ood:no-drift`: no drift and no φ. Cash is optimal.

`ceiling` bounds the expected growth: dynamic programming over positions for a trader that knows the expected return of every
future bar, and the variance, but not the returns. `floor` is exact up to second order: uniformly random positions.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.decisions.regime_filter import estimated_filter_agent, informed_filter_agent
from quickstudy.baselines.decisions.trading_rules import (
    buy_and_hold_agent,
    cash_agent,
    half_kelly_agent,
    momentum_agent,
    volatility_target_agent,
)
from quickstudy.baselines.models.market_view import Past, after_bar, after_bars, market_spec, observation_of, positions_of
from quickstudy.baselines.models.regimes import REGIMES, TYPICAL_DRIFT, TYPICAL_VOLATILITY, growth, transitions
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.sequences import scan
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Count, Range
from quickstudy.protocol.settings import check_settings
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:expensive", "ood:hasty", "ood:inverted", "ood:no-drift")
EXPENSIVE, HASTY = 4.0, 0.25
"""Factors of the cost and of the length of regimes in the out-of-distribution splits."""

_JUMP, _LARGEST = 4.0, 0.5
_TRUTH = ("market.drift", "market.volatility", "market.holding")
Real = Annotated[float, Range(least=-1, most=1)]
Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
Fraction = Annotated[float, Range(above=0, most=0.1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trading:
    """Simulated markets with hidden regimes, and the prior of what is hidden. Drifts and volatilities are those of one bar.

    Args:
      calm_drift: mean over markets of the drift of a calm bar.
      wild_drift: mean over markets of the drift of a wild bar.
      drift_spread: standard deviation of each drift over markets.
      calm_volatility: median over markets of the volatility of a calm bar.
      wild_volatility: median over markets of the volatility of a wild bar.
      sideways_volatility: median over markets of the volatility of a sideways bar.
      volatility_spread: standard deviation over markets of the logarithm of each volatility.
      three_regimes: share of markets with a third regime, which has no drift.
      holding_low: lower end of the log-uniform mean length of regimes, in bars.
      holding_high: upper end of that mean length, in bars.
      momentum: largest φ; it is uniform between minus this and this.
      jumps: probability of a jump in a bar.
      cost_low: lower end of the log-uniform cost of changing the position by 1.
      cost_high: upper end of that cost.
      levels: number of target positions, evenly between -1 and 1.
      history: number of bars before the first decision.
      horizon: number of bars with a decision.
      shows_truth: whether observations hold drift, volatility and length of the regimes, for experts that are to know them.
    Raises:
      UsageError: a setting out of its range.
    Example:
      >>> trading(horizon=120).spec.lifetime_steps
      120
    Source: ours, after the regimes of Hamilton 1989.
    """

    calm_drift: Real = TYPICAL_DRIFT[0]
    wild_drift: Real = TYPICAL_DRIFT[1]
    drift_spread: NotNegative = 0.0003
    calm_volatility: Positive = TYPICAL_VOLATILITY[0]
    wild_volatility: Positive = TYPICAL_VOLATILITY[1]
    sideways_volatility: Positive = TYPICAL_VOLATILITY[2]
    volatility_spread: NotNegative = 0.2
    three_regimes: Annotated[float, FRACTION] = 0.5
    holding_low: Annotated[float, Range(least=4)] = 20.0
    holding_high: Annotated[float, Range(least=4)] = 120.0
    momentum: Annotated[float, Range(least=0, most=0.5)] = 0.05
    jumps: Annotated[float, FRACTION] = 0.005
    cost_low: Fraction = 0.0001
    cost_high: Fraction = 0.002
    levels: Literal[5, 7, 9, 11] = 5
    history: Annotated[int, Range(least=1, most=10_000)] = 60
    horizon: Count = 250
    shows_truth: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        for low, high in (("holding_low", "holding_high"), ("cost_low", "cost_high")):
            if getattr(self, low) > getattr(self, high):
                raise UsageError(f"{low} must not be above {high}; came {getattr(self, low)} and {getattr(self, high)}.")

    def market(self, split: str, key: PRNGKeyArray) -> "Market":
        """The hidden numbers of one market of a split."""
        key_drift, key_volatility, key_third, key_holding, key_momentum, key_cost = jax.random.split(key, 6)
        drift = jnp.float32([self.calm_drift, self.wild_drift]) + self.drift_spread * jax.random.normal(key_drift, (2,))
        volatility = jnp.float32([self.calm_volatility, self.wild_volatility, self.sideways_volatility])
        volatility = volatility * jnp.exp(self.volatility_spread * jax.random.normal(key_volatility, (3,)))
        third = jax.random.bernoulli(key_third, self.three_regimes).astype(jnp.float32)
        holding = _log_uniform(key_holding, self.holding_low, self.holding_high, shape=(3,))
        momentum = self.momentum * (2 * mark_split(jax.random.uniform(key_momentum), split, SPLITS) - 1)
        sign = {"ood:inverted": -1.0, "ood:no-drift": 0.0}.get(split, 1.0)
        return Market(
            drift=sign * jnp.append(drift, 0.0),
            volatility=volatility * jnp.stack([jnp.ones(()), jnp.ones(()), third]),
            holding=holding * (HASTY if split == "ood:hasty" else 1.0),
            momentum=momentum,
            acts=jnp.float32(split != "ood:no-drift"),
            cost=_log_uniform(key_cost, self.cost_low, self.cost_high) * (EXPENSIVE if split == "ood:expensive" else 1.0),
        )


@record
class Market:
    """The hidden numbers of a market.

    `drift`, `volatility`, `holding` `[3]`: of the regimes calm, wild and sideways; a volatility of 0 means that there is no
    such regime. `momentum` `[]`: φ, which counts times `acts`, 0 or 1. `cost` `[]`: of changing the position by 1.
    """

    drift: Float[Array, " regimes"]
    volatility: Float[Array, " regimes"]
    holding: Float[Array, " regimes"]
    momentum: Float[Array, ""]
    acts: Float[Array, ""]
    cost: Float[Array, ""]


@record
class Tape:
    """One market with its returns.

    `returns` `[history + horizon]`: of bars. `expected`, `variance`, of the same shape: mean and variance for a trader who
    knows the regimes and the past. `market`: its hidden numbers.
    """

    returns: Float[Array, " bars"]
    expected: Float[Array, " bars"]
    variance: Float[Array, " bars"]
    market: Market


@record
class Desk:
    """`past`: what is known; `bar` `[]`: the place of the next return."""

    past: Past
    bar: Int[Array, ""]


def simulate(market: Market, key: PRNGKeyArray, *, bars: int, jumps: float) -> tuple[Array, Array, Array]:
    """Returns, and their mean and variance for a trader who knows the regimes and the past, each `[bars]`.

    Args:
      market: its hidden numbers.
      key: of regimes and returns.
      bars: how many.
      jumps: probability of a jump in a bar.
    """
    key_first, key_regime, key_noise, key_jump, key_size = jax.random.split(key, 5)
    present = (market.volatility > 0).astype(jnp.float32)
    change = transitions(market.holding, present)
    first = jax.random.categorical(key_first, jnp.log(present))
    noise = jax.random.normal(key_noise, (bars,))
    jump = jax.random.bernoulli(key_jump, jumps, (bars,)).astype(jnp.float32) * _JUMP * jax.random.normal(key_size, (bars,))
    momentum = market.momentum * market.acts

    def bar(carry: tuple, x: tuple) -> tuple[tuple, tuple]:
        regime, surprise = carry
        key, shock = x
        drift, volatility = market.drift[regime], market.volatility[regime]
        expected = drift + momentum * surprise
        value = jnp.clip(expected + volatility * shock, -_LARGEST, _LARGEST)
        variance = jnp.square(volatility) * (1 + jumps * _JUMP**2)
        following = jax.random.categorical(key, jnp.log(change[regime]))
        return (following, value - drift), (value, expected, variance)

    start = (first, jnp.zeros(()))
    return scan(bar, start, (jax.random.split(key_regime, bars), noise + jump))[1]


@made_of(Trading)
def trading(settings: Trading) -> TaskDistribution:
    """Trading as a task distribution."""
    history, bars = settings.history, settings.horizon
    spec = market_spec(levels=settings.levels, bars=bars)
    positions = jnp.asarray(positions_of(spec))

    def sample(split: str, key: PRNGKeyArray) -> Tape:
        key_market, key_returns = jax.random.split(key)
        market = settings.market(split, key_market)
        returns, expected, variance = simulate(market, key_returns, bars=history + bars, jumps=settings.jumps)
        return Tape(returns=returns, expected=expected, variance=variance, market=market)

    def see(task: Tape, past: Past) -> Array:
        truth = jnp.concatenate([100 * task.market.drift, 100 * task.market.volatility, task.market.holding / 100])
        return observation_of(past, cost=task.market.cost, truth=truth if settings.shows_truth else jnp.zeros(9))

    def reset(task: Tape, key: PRNGKeyArray) -> tuple[Desk, Array]:
        del key
        past = after_bars(task.returns[:history])
        return Desk(past=past, bar=jnp.int32(history)), see(task, past)

    def step(task: Tape, state: Desk, action: Array, key: PRNGKeyArray) -> tuple[Desk, Outcome]:
        del key
        position, value = positions[action], task.returns[state.bar]
        traded = jnp.abs(position - state.past.position)
        reward = jnp.log1p(position * value - task.market.cost * traded)
        past = after_bar(state.past, value, position)
        no = jnp.asarray(False)
        outcome = Outcome(observation=see(task, past), reward=reward, terminated=no, truncated=no)
        return Desk(past=past, bar=state.bar + 1), outcome

    def growths(task: Tape) -> Float[Array, "bars levels"]:
        return jax.vmap(partial(growth, positions))(task.expected[history:], task.variance[history:])

    def ceiling(task: Tape) -> Array:
        paid = task.market.cost * jnp.abs(positions[:, None] - positions[None, :])

        def bar(worth: Array, grown: Array) -> tuple[Array, None]:
            return (grown[None, :] + worth[None, :] - paid).max(1), None

        worth = jax.lax.scan(bar, jnp.zeros(positions.size), growths(task), reverse=True)[0]
        return worth[positions.size // 2]

    def floor(task: Tape) -> Array:
        apart = jnp.abs(positions[:, None] - positions[None, :]).mean()
        traded = jnp.abs(positions).mean() + (bars - 1) * apart
        return growths(task).mean(1).sum() - task.market.cost * traded

    return TaskDistribution(
        name="trading",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=ceiling,
        baselines=_baselines(spec, settings),
        shown=("returns", "market.cost", *(_TRUTH if settings.shows_truth else ())),
    )


def describe(task: Tape) -> dict[str, Array]:
    """The hidden numbers of a market, by names for people."""
    market = task.market
    numbers = {"drift (a bar)": market.drift, "volatility (a bar)": market.volatility, "mean length (bars)": market.holding}
    each = {f"{name}, {regime}": value[place] for name, value in numbers.items() for place, regime in enumerate(REGIMES)}
    return each | {"momentum": market.momentum * market.acts, "cost of changing the position by 1": market.cost}


def _log_uniform(key: PRNGKeyArray, low: float, high: float, *, shape: tuple[int, ...] = ()) -> Array:
    return jnp.exp(jax.random.uniform(key, shape, minval=jnp.log(low), maxval=jnp.log(high)))


def _baselines(spec: Spec, settings: Trading) -> dict[str, Callable[[], Agent]]:
    """Makers of the experts. The one that knows the parameters exists only if observations show them."""
    agents: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, spec),
        "cash": partial(cash_agent, spec),
        "buy and hold": partial(buy_and_hold_agent, spec),
        "volatility target": partial(volatility_target_agent, spec),
        "momentum": partial(momentum_agent, spec),
        "half Kelly": partial(half_kelly_agent, spec),
        "HMM filter (estimated)": partial(estimated_filter_agent, spec),
    }
    if settings.shows_truth:
        agents["HMM filter (informed)"] = partial(informed_filter_agent, spec)
    return agents
