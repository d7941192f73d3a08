"""Rules for prices on the posterior of level and elasticity: Thompson sampling, greedy with a bonus, and one stage ahead."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.decisions.pricing_rules import price_agent
from quickstudy.baselines.models.pricing import Market, Sales, log_weights, profit_moments
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def parametric_thompson_agent(spec: Spec, *, market: Market = Market()) -> Agent:
    """The best price of one level and elasticity that are drawn from the posterior.

    Args:
      spec: of the tasks.
      market: that is known before.
    Raises:
      SpecError: tasks that are not pricing.
    """
    profits = jnp.float32(market.profits)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        return profits[jax.random.categorical(key, log_weights(sales, market))]

    return price_agent(spec, rule, market)


def price_bonus_agent(spec: Spec, *, market: Market = Market(), bonus: float = 0.2) -> Agent:
    """The price with the highest posterior mean of the profit plus some of its standard deviation.

    Args:
      spec: of the tasks.
      market: that is known before.
      bonus: standard deviations that are added; 0 is greedy. The default is the best of 0, 0.1, 0.2, 0.4 at ten periods.
    Raises:
      SpecError: tasks that are not pricing.
    """

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        mean, deviation = profit_moments(jax.nn.softmax(log_weights(sales, market)), market)
        return mean + bonus * deviation

    return price_agent(spec, rule, market)


def price_programme_agent(spec: Spec, *, market: Market = Market(), outcomes: int = 7, looks_ahead: float = 0.3) -> Agent:
    """One stage of the dynamic programme on the posterior of both latents.

        score(p) = E profit(p) + m · E[max_q E[profit(q) | the units sold at p]]

    with m = looks ahead · periods left after this one.

    After this period the best price of the new posterior is kept for m periods. The full programme, with learning in later
    periods, cannot be computed: its state is the posterior.

    Args:
      spec: of the tasks.
      market: that is known before.
      outcomes: numbers of units that stand for all that may be sold, as quantiles of the predictive distribution.
      looks_ahead: part of the periods left over which information from this period counts. At 1 it explores too much, since
        later periods would give the same information.
    Raises:
      SpecError: tasks that are not pricing.
    Source: the knowledge gradient of Frazier et al. 2008. Changed: the belief is a grid, and units are quantiles.
    """
    profits, log_demand = jnp.float32(market.profits), jnp.float32(market.log_demand)
    demand = jnp.exp(log_demand)
    places = ndtri((jnp.arange(float(outcomes)) + 0.5) / outcomes)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        logs = log_weights(sales, market)
        weights = jax.nn.softmax(logs)

        def value(log_here: Array, here: Array) -> Array:
            """Best mean profit after a period at one price, over what may be sold."""
            mean = weights @ here
            variance = mean + weights @ jnp.square(here - mean)
            # Quantiles of a lognormal distribution with this mean and variance.
            sigma = jnp.sqrt(jnp.log1p(variance / jnp.square(mean)))
            units = jnp.maximum(jnp.round(mean * jnp.exp(sigma * places - sigma**2 / 2)), 0.0)
            after = jax.nn.softmax(logs[None] + units[:, None] * log_here[None] - here[None], axis=-1)
            return (after @ profits).max(-1).mean()

        best_after = jax.vmap(value, 1)(log_demand, demand)
        left = jnp.maximum(spec.horizon - sales.period - 1, 0.0)
        return weights @ profits + looks_ahead * left * best_after

    return price_agent(spec, rule, market)
