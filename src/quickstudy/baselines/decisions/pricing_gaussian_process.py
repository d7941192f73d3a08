"""GP-UCB for prices: a smooth curve of profits over log-prices, and the price with the highest upper confidence bound."""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.decisions.pricing_rules import price_agent
from quickstudy.baselines.models.pricing import Market, Sales
from quickstudy.numerics.linear_algebra import solve
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def price_process_agent(spec: Spec, *, market: Market = Market(), width: float = 1.0, length: float = 0.6) -> Agent:
    """The price with the highest bound of a Gaussian process over the profits seen so far.

        k(p, q) = s² exp(-(log p - log q)² / (2 length²))        score = mean + width · deviation

    The scale s is the largest mean profit that was seen; the noise of a mean is that of Poisson units. It assumes only that
    profits are smooth. The first price is the middle one.

    Args:
      spec: of the tasks.
      market: whose prices and cost are used, and nothing else of it.
      width: standard deviations of the bound.
      length: of the kernel, in log-prices.
    Raises:
      SpecError: tasks that are not pricing.
    Source: Srinivas et al. 2010, GP-UCB. Changed: the width is constant, and the scale follows the profits seen.
    """
    logs, margin = jnp.float32(market.logs), jnp.float32(market.grid - market.cost)
    kernel = jnp.exp(-jnp.square((logs[:, None] - logs[None]) / length) / 2)
    start = (jnp.arange(market.prices) == market.prices // 2).astype(jnp.float32)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        tried = jnp.maximum(sales.periods, 1.0)
        units = sales.units / tried
        profit = margin * units
        scale = jnp.maximum(profit.max(), 1e-3)
        noise = jnp.square(margin / scale) * (units + 1) / tried
        # A price without data gets so much noise that it says nothing.
        noise = jnp.where(sales.periods > 0, noise, 1e6)
        solved = solve(kernel + jnp.diag(noise), jnp.concatenate([(profit / scale)[:, None], kernel], axis=1))
        mean = kernel @ solved[:, 0]
        variance = 1 - (kernel * solved[:, 1:].T).sum(1)
        score = mean + width * jnp.sqrt(jnp.maximum(variance, 1e-6))
        return jnp.where(sales.period == 0, start, score)

    return price_agent(spec, rule, market)
