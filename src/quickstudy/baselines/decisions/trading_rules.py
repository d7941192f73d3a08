"""Trading rules without a model of regimes: cash, buy and hold, volatility target, momentum, half Kelly."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.market_view import MarketView, nearest_level, positions_of, view_of
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec

Rule = Callable[[MarketView], Array]
"""`(what is seen) -> target position []`."""


def cash_agent(spec: Spec) -> Agent:
    """An agent that never holds anything.

    Args:
      spec: of trading tasks.
    Raises:
      SpecError: other observations or actions.
    """
    return _agent_of_rule(spec, lambda view: jnp.zeros(()))


def buy_and_hold_agent(spec: Spec) -> Agent:
    """An agent that always holds 1.

    Args:
      spec: of trading tasks.
    Raises:
      SpecError: other observations or actions.
    """
    return _agent_of_rule(spec, lambda view: jnp.ones(()))


def volatility_target_agent(spec: Spec, *, target: float = 0.008, band: float = 0.25) -> Agent:
    """An agent that holds target over fast volatility, at most 1; it trades if the change is large enough.

    Args:
      spec: of trading tasks.
      target: volatility of a bar.
      band: distance of the target position up to which it does not trade.
    Raises:
      SpecError: other observations or actions.
    Source: Moreira & Muir 2017 (volatility-managed portfolios). Changed: volatility rather than variance, and the band.
    """

    def rule(view: MarketView) -> Array:
        wanted = jnp.minimum(target / view.fast, 1.0)
        return jnp.where(jnp.abs(wanted - view.position) > band, wanted, view.position)

    return _agent_of_rule(spec, rule)


def momentum_agent(spec: Spec, *, enter: float = 0.75, leave: float = 0.0) -> Agent:
    """An agent that follows the slow trend: 1 above `enter` standard errors, -1 below minus that.

    Between, it keeps what it has. It leaves a position for none if the trend is beyond `leave` on the other side of zero. So
    there is a band without trades.

    Args:
      spec: of trading tasks.
      enter: standard errors of the slow trend.
      leave: the same, at most `enter`.
    Raises:
      SpecError: other observations or actions.
    Source: Moskowitz, Ooi & Pedersen 2012 (time-series momentum). Changed: an exponential average, and the band.
    """

    def rule(view: MarketView) -> Array:
        trend = view.trend[1]
        side = jnp.sign(trend) * (jnp.abs(trend) > enter).astype(jnp.float32)
        against = trend * jnp.sign(view.position) < -leave
        return jnp.where(side != 0, side, jnp.where(against, 0.0, view.position))

    return _agent_of_rule(spec, rule)


def half_kelly_agent(spec: Spec, *, band: float = 0.4) -> Agent:
    """An agent that holds half of the growth-optimal position μ / σ² for the slow averages, within -1 and 1.

    Args:
      spec: of trading tasks.
      band: distance of the target position up to which it does not trade.
    Raises:
      SpecError: other observations or actions.
    Source: Thorp 2006. Changed: the band.
    """
    standard_error = (1 / 79) ** 0.5  # of the slow average, in volatilities: a / (2 - a) with a = 1 / 40

    def rule(view: MarketView) -> Array:
        kelly = view.trend[1] * standard_error / view.slow
        wanted = jnp.clip(0.5 * kelly, -1.0, 1.0)
        return jnp.where(jnp.abs(wanted - view.position) > band, wanted, view.position)

    return _agent_of_rule(spec, rule)


def _agent_of_rule(spec: Spec, rule: Rule) -> Agent:
    """An agent without memory: all that the rule reads is in the observation."""
    positions = positions_of(spec)

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del key
        return Decision(action=nearest_level(positions, rule(view_of(observation))), extras={})

    return memoryless_agent(spec, choose)
