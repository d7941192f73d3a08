"""Rules for prices that need no posterior, or only its mean: a fixed price, explore then exploit, UCB, controlled variance."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.pricing import Market, Sales, log_weights, prices_of, profit_moments, sales_of
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec

Rule = Callable[[Sales, PRNGKeyArray], Float[Array, " prices"]]
"""`(sales, key) -> scores [prices]`; the price with the highest score is set."""


def price_agent(spec: Spec, rule: Rule, market: Market) -> Agent:
    """An agent that sets the price with the highest score, from what was sold so far.

    Args:
      spec: of the tasks.
      rule: scores of prices.
      market: that the rule knows.
    Raises:
      SpecError: tasks that are not pricing, or a market with another number of prices.
    """
    if prices_of(spec) != market.prices:
        raise SpecError(f"the market has {market.prices} prices and the tasks {prices_of(spec)}; give the market of the tasks.")

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        scores = rule(sales_of(observation, spec), key)
        return Decision(action=jnp.argmax(scores).astype(jnp.int32), extras={"scores": scores})

    return memoryless_agent(spec, choose)


def fixed_price_agent(spec: Spec, *, market: Market = Market()) -> Agent:
    """Always the price with the highest mean profit before anything was sold.

    Args:
      spec: of the tasks.
      market: that is known before.
    Raises:
      SpecError: tasks that are not pricing.
    """
    scores = jnp.float32(market.profits.mean(0))
    return price_agent(spec, lambda sales, key: scores, market)


def explore_then_exploit_agent(spec: Spec, *, market: Market = Market(), tries: int | None = None) -> Agent:
    """Tries some prices that are spread evenly, once each. Then it sets the best one under the posterior.

    A price that was set twice stays for good. Until then the posterior takes in every period, so the second choice after the
    trials may be another price than the first.

    Args:
      spec: of the tasks.
      market: that is known before.
      tries: prices to try; None is the square root of the periods, at least 2.
    Raises:
      SpecError: tasks that are not pricing.
    """
    count = min(tries or max(2, round(spec.horizon**0.5)), market.prices)
    order = np.round(np.linspace(0, market.prices - 1, count)).astype(int)
    turns = jnp.asarray(order, jnp.int32)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        turn = turns[jnp.minimum(sales.period.astype(jnp.int32), count - 1)]
        mean, _ = profit_moments(jax.nn.softmax(log_weights(sales, market)), market)
        trial = (jnp.arange(market.prices) == turn).astype(jnp.float32)
        # The first price with a second period stays: no other one is set from then on.
        stays = jnp.where(sales.periods.max() > 1, sales.periods, mean)
        return jnp.where(sales.period < count, trial, stays)

    return price_agent(spec, rule, market)


def independent_ucb_agent(spec: Spec, *, market: Market = Market(), width: float = 1.0) -> Agent:
    """Every price is an arm of its own, with an upper confidence bound for its profit; each is tried once first.

        score = mean profit + width · margin · √(2 log t · mean units / n)        Poisson units have their mean as variance

    Args:
      spec: of the tasks.
      market: whose prices and cost are used, and nothing else of it.
      width: factor of the bound.
    Raises:
      SpecError: tasks that are not pricing.
    Source: Auer et al. 2002, UCB1. Changed: the bound is that of a Poisson mean, since profits have no known range.
    """
    margin = jnp.float32(market.grid - market.cost)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        tried = jnp.maximum(sales.periods, 1.0)
        units = sales.units / tried
        bound = jnp.sqrt(2 * jnp.log(jnp.maximum(sales.period, 1.0)) * (units + 1 / tried) / tried)
        return jnp.where(sales.periods == 0, jnp.inf, margin * (units + width * bound))

    return price_agent(spec, rule, market)


def controlled_variance_agent(spec: Spec, *, market: Market = Market(), spread: float = 0.25) -> Agent:
    """The best price under the mean of the belief, but never too close to the mean of past prices.

        |log p - mean of past log p| ≥ spread · t^(-1/4)

    So prices keep the variance that the estimate needs.

    Args:
      spec: of the tasks.
      market: that is known before.
      spread: factor of the distance, in log-prices.
    Raises:
      SpecError: tasks that are not pricing.
    Source: den Boer and Zwart 2014, controlled variance pricing. Changed: the estimate is the posterior mean of log level and
      elasticity rather than a maximum of the likelihood, which need not exist after a few periods.
    """
    logs, points = jnp.float32(market.logs), jnp.float32(market.hypotheses)
    margin = jnp.float32(market.grid - market.cost)

    def rule(sales: Sales, key: PRNGKeyArray) -> Array:
        del key
        level, elasticity = jax.nn.softmax(log_weights(sales, market)) @ points
        profit = margin * jnp.exp(level - elasticity * logs)
        done = jnp.maximum(sales.period, 1.0)
        apart = jnp.abs(logs - (sales.periods * logs).sum() / done)
        far = (apart >= spread * done**-0.25) | (sales.period == 0)
        return jnp.where(far | ~far.any(), profit, -1.0)

    return price_agent(spec, rule, market)
