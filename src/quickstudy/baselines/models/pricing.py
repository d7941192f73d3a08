"""Prices: the grid of prices, the iso-elastic model of demand, and what counts and sales say about it.

At the price p a period sells a Poisson number of units with the mean

    λ(p) = level (p / reference)^(-elasticity)        profit = (p - cost) · units

where `reference` is the geometric mean of the lowest and the highest price. The belief is exact on a grid of levels, even in
the logarithm, and of elasticities. It needs the periods n_p and the units s_p of each price only:

    log weight = Σ_p s_p log λ(p) - n_p λ(p)

An observation holds

    periods done / periods, log of periods / 5,
    the belief's means and standard deviations of log level and elasticity, and their correlation,
    for each price the mean profit as a part of the largest mean, and its standard deviation in the same unit,
    for each price n_p / 10, and s_p / 100
"""

import dataclasses
import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, record

PERIODS, UNITS = 10.0, 100.0
"""Counts that are observed as 1."""

_LEVELS, _ELASTICITIES, _CLOCK, _BELIEF = 15, 17, 2, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Market:
    """What a shop knows before it begins: prices, cost, and the ranges that levels and elasticities come from.

    `level`: log-uniform, units in a period at the reference price. `elasticity`: uniform.
    """

    prices: int = 12
    lowest_price: float = 1.2
    highest_price: float = 6.0
    cost: float = 1.0
    level: tuple[float, float] = (5.0, 80.0)
    elasticity: tuple[float, float] = (0.8, 4.0)

    @property
    def grid(self) -> Float[np.ndarray, " prices"]:
        """The prices, each a fixed part above the one before."""
        return np.geomspace(self.lowest_price, self.highest_price, self.prices)

    @property
    def logs(self) -> Float[np.ndarray, " prices"]:
        """log(p / reference)."""
        return np.log(self.grid) - (math.log(self.lowest_price) + math.log(self.highest_price)) / 2

    @property
    def hypotheses(self) -> Float[np.ndarray, "hypotheses 2"]:
        """Log level and elasticity of every hypothesis of the belief, equally likely at first."""
        levels = np.linspace(math.log(self.level[0]), math.log(self.level[1]), _LEVELS)
        return np.stack(np.meshgrid(levels, np.linspace(*self.elasticity, _ELASTICITIES), indexing="ij"), -1).reshape(-1, 2)

    @property
    def log_demand(self) -> Float[np.ndarray, "hypotheses prices"]:
        """log λ of every hypothesis at every price."""
        level, elasticity = self.hypotheses.T
        return level[:, None] - elasticity[:, None] * self.logs

    @property
    def profits(self) -> Float[np.ndarray, "hypotheses prices"]:
        """Mean profit of a period, of every hypothesis at every price."""
        return (self.grid - self.cost) * np.exp(self.log_demand)


@record
class Sales:
    """What a shop has seen: `period` `[]`, done so far; `periods`, `units` `[prices]`, at each price."""

    period: Float[Array, ""]
    periods: Float[Array, " prices"]
    units: Float[Array, " prices"]


def observation_size(prices: int) -> int:
    """Numbers in an observation."""
    return _CLOCK + _BELIEF + 4 * prices


def prices_of(spec: Spec) -> int:
    """Number of prices of tasks of this spec.

    Raises:
      SpecError: the spaces are not those of pricing.
    """
    actions, seen = spec.action_space, spec.observation_space
    prices = int(actions.n) if isinstance(actions, gymnasium.spaces.Discrete) else 0
    if prices < 2 or seen.shape != (observation_size(prices),):
        raise SpecError(
            "a rule for prices needs the spaces of pricing: one Discrete action for each price, and its observations; "
            f"came {actions!r} and {seen!r}."
        )
    return prices


def log_weights(sales: Sales, market: Market) -> Float[Array, " hypotheses"]:
    """Logarithms of the posterior weights of the hypotheses, up to a constant."""
    log_demand = market.log_demand
    return jnp.float32(log_demand) @ sales.units - jnp.float32(np.exp(log_demand)) @ sales.periods


def profit_moments(weights: Float[Array, " hypotheses"], market: Market) -> tuple[Array, Array]:
    """Mean and standard deviation of the mean profit at each price `[prices]`."""
    profits = jnp.float32(market.profits)
    mean = weights @ profits
    return mean, jnp.sqrt(jnp.maximum(weights @ jnp.square(profits) - jnp.square(mean), 0.0))


def observed(sales: Sales, market: Market, *, periods: int) -> Float[Array, " numbers"]:
    """The observation of a shop.

    Args:
      sales: so far.
      market: known before.
      periods: of the lifetime.
    """
    weights = jax.nn.softmax(log_weights(sales, market))
    points = jnp.float32(market.hypotheses)
    centre = weights @ points
    apart = points - centre[None]
    deviation = jnp.sqrt((weights[:, None] * jnp.square(apart)).sum(0)) + 1e-6
    correlation = (weights * apart[:, 0] * apart[:, 1]).sum() / deviation.prod()
    mean, spread = profit_moments(weights, market)
    clock = jnp.stack([sales.period / periods, jnp.float32(math.log(periods) / 5)])
    belief = [(centre - jnp.float32([3.0, 2.4])), deviation, correlation[None]]
    return jnp.concatenate(
        [clock, *belief, mean / mean.max(), spread / mean.max(), sales.periods / PERIODS, sales.units / UNITS]
    )


def sales_of(observation: Float[Array, " numbers"], spec: Spec) -> Sales:
    """The sales that an observation shows: the inverse of `observed`, exact in whole numbers."""
    prices = prices_of(spec)
    counts, units = jnp.split(observation[-2 * prices :], 2)
    return Sales(
        period=jnp.round(observation[0] * spec.horizon),
        periods=jnp.round(counts * PERIODS),
        units=jnp.round(units * UNITS),
    )
