"""What a trader sees and does, as flat numbers.

Observation, in this order; volatilities are exponential averages over about 10 and 40 bars:

    returns          20    of the last bars, the newest first, in units of the slow volatility
    volatility        2    ln of the slow one over 0.01, and ln of the fast one over the slow one
    trend             2    averages of the returns over about 10 and 40 bars, in units of their standard error without drift
    position          1    that is held, between -1 and 1
    cost              1    of changing the position by 1, in tenths of a percent
    truth             9    drift and volatility of the three regimes in percent, and their holding times in 100 bars, where
                           tasks show it; else 0

Actions are levels of the target position, evenly between -1 and 1.
"""

from typing import NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import scan

SEEN_RETURNS = 20
OBSERVATION = SEEN_RETURNS + 2 + 2 + 1 + 1 + 9
LEVELS = (5, 7, 9, 11)
"""Numbers of levels that are allowed. Each has the positions -1, 0 and 1."""

_FAST, _SLOW = 1 / 10, 1 / 40
_USUAL, _LEAST = 0.01, 1e-8


@record
class Past:
    """`recent` `[20]`: returns, the newest first. `variance`, `trend` `[2]`: fast and slow averages of squared returns and of
    returns. `position` `[]`: that is held."""

    recent: Float[Array, " returns"]
    variance: Float[Array, " 2"]
    trend: Float[Array, " 2"]
    position: Float[Array, ""]


class MarketView(NamedTuple):
    """The parts of an observation.

    `returns` `[20]`: of bars, in order of time. `slow`, `fast`: volatilities of one bar. `trend` `[2]`: in standard errors.
    `cost`: of changing the position by 1. `truth` `[9]`: 0 where it is not shown.
    """

    returns: Float[Array, "*time returns"]
    slow: Float[Array, "*time"]
    fast: Float[Array, "*time"]
    trend: Float[Array, "*time 2"]
    position: Float[Array, "*time"]
    cost: Float[Array, "*time"]
    truth: Float[Array, "*time 9"]


def market_spec(*, levels: int, bars: int) -> Spec:
    """Spaces and lengths of a lifetime of so many bars."""
    return Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION,)),
        action_space=gymnasium.spaces.Discrete(levels),
        horizon=bars,
        episodes=1,
    )


def positions_of(spec: Spec) -> Float[np.ndarray, " levels"]:
    """The target position of each action.

    Raises:
      SpecError: not the observations and actions of trading tasks.
    """
    seen, done = spec.observation_space, spec.action_space
    fits = isinstance(seen, gymnasium.spaces.Box) and seen.shape == (OBSERVATION,)
    if not fits or not isinstance(done, gymnasium.spaces.Discrete) or int(done.n) not in LEVELS:
        raise SpecError(
            f"trading needs the spaces of the tasks `trading`: a Box of {OBSERVATION} numbers, and {LEVELS[0]} to {LEVELS[-1]} "
            f"levels, an odd number; came {seen} and {done}. Make the agent from the spec of such tasks."
        )
    return np.linspace(-1.0, 1.0, int(done.n), dtype=np.float32)


def nearest_level(positions: Float[np.ndarray, " levels"], target: Float[Array, ""]) -> Array:
    """The action whose position is nearest to a target `[]`."""
    return jnp.argmin(jnp.abs(jnp.asarray(positions) - target)).astype(jnp.int32)


def flat() -> Past:
    """Before the first bar: no position, and a usual volatility."""
    return Past(
        recent=jnp.zeros(SEEN_RETURNS),
        variance=jnp.full(2, _USUAL**2),
        trend=jnp.zeros(2),
        position=jnp.zeros(()),
    )


def after_bar(past: Past, value: Float[Array, ""], position: Float[Array, ""]) -> Past:
    """What is known after a bar with this return `[]`, during which this position `[]` was held."""
    rates = jnp.float32([_FAST, _SLOW])
    return Past(
        recent=jnp.concatenate([value[None], past.recent[:-1]]),
        variance=past.variance + rates * (jnp.square(value) - past.variance),
        trend=past.trend + rates * (value - past.trend),
        position=position,
    )


def after_bars(values: Float[Array, " bars"]) -> Past:
    """What is known after a history of returns without a position."""
    return scan(lambda past, value: (after_bar(past, value, past.position), None), flat(), values)[0]


def observation_of(past: Past, *, cost: Float[Array, ""], truth: Float[Array, " 9"]) -> Float[Array, " observation"]:
    """What is seen after a bar; `truth` is zero where it is not shown."""
    rates = jnp.float32([_FAST, _SLOW])
    fast, slow = jnp.sqrt(jnp.maximum(past.variance, _LEAST))
    # The variance of an average with rate a is a / (2 - a) times that of one return.
    trend = past.trend / (slow * jnp.sqrt(rates / (2 - rates)))
    numbers = jnp.stack([jnp.log(slow / _USUAL), jnp.log(fast / slow)])
    return jnp.concatenate([past.recent / slow, numbers, trend, past.position[None], 1000 * cost[None], truth])


def view_of(observation: Float[Array, "*time observation"]) -> MarketView:
    """The parts of an observation, or of many."""
    returns, numbers, trend, position, cost, truth = jnp.split(observation, np.cumsum([SEEN_RETURNS, 2, 2, 1, 1]).tolist(), -1)
    slow = _USUAL * jnp.exp(numbers[..., 0])
    return MarketView(
        returns=returns[..., ::-1] * slow[..., None],
        slow=slow,
        fast=slow * jnp.exp(numbers[..., 1]),
        trend=trend,
        position=position[..., 0],
        cost=cost[..., 0] / 1000,
        truth=truth,
    )
