"""Traders that filter hidden regimes (`models.regimes`), with learned or given parameters."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.models.market_view import MarketView, positions_of, view_of
from quickstudy.baselines.models.regimes import (
    REGIMES,
    Regimes,
    Sums,
    expected_return,
    first_sums,
    growth,
    joint_after,
    learned,
    summed,
    transitions,
    typical,
)
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

PATIENCE = 15.0
"""Bars over which the cost of a trade is spread when it is compared with the growth of one bar."""


@record
class FilterMemory:
    """`belief` `[3]`: about the regime of the newest bar. `sums`: from which parameters are learned. `begun` `[]`: whether the
    first observation has been read."""

    belief: Float[Array, " regimes"]
    sums: Sums
    begun: Array


def estimated_filter_agent(spec: Spec, *, prior_bars: float = 120.0, kept: float = 0.995) -> Agent:
    """An agent that learns drift, volatility and transitions of three regimes while it filters them.

    It begins with typical parameters, which have the weight of `prior_bars` bars.

    Args:
      spec: of trading tasks.
      prior_bars: weight of the typical parameters, above 0.
      kept: factor of older bars in the sums.
    Raises:
      SpecError: other observations or actions.
    Source: Mongillo & Denève 2008. Changed: see `models.regimes`.
    """
    return _filter_agent(spec, prior_bars=prior_bars, kept=kept, privileged=False)


def informed_filter_agent(spec: Spec) -> Agent:
    """An agent that reads the parameters of the regimes from the observation. It is a bound, not a method.

    Args:
      spec: of trading tasks with `shows_truth`; elsewhere its parameters are the typical ones.
    Raises:
      SpecError: other observations or actions.
    """
    return _filter_agent(spec, prior_bars=1.0, kept=1.0, privileged=True)


def _filter_agent(spec: Spec, *, prior_bars: float, kept: float, privileged: bool) -> Agent:
    positions = positions_of(spec)
    steps_between = jnp.abs(jnp.asarray(positions)[:, None] - jnp.asarray(positions)[None, :])

    def parameters(sums: Sums, view: MarketView) -> Regimes:
        return privileged_regimes(view) if privileged else learned(sums)

    def after(memory: FilterMemory, view: MarketView, values: Float[Array, " bars"]) -> FilterMemory:
        def bar(memory: FilterMemory, value: Array) -> tuple[FilterMemory, None]:
            joint = joint_after(memory.belief, parameters(memory.sums, view), value)
            sums = memory.sums if privileged else summed(memory.sums, joint, value, kept=kept)
            return FilterMemory(belief=joint.sum(0), sums=sums, begun=jnp.asarray(True)), None

        return scan(bar, memory, values)[0]

    def known(memory: FilterMemory, view: MarketView) -> FilterMemory:
        return where(memory.begun, memory, after(memory, view, view.returns))

    def begin(params: tuple, key: PRNGKeyArray) -> FilterMemory:
        del params, key
        belief = jnp.full(len(REGIMES), 1 / len(REGIMES))
        return FilterMemory(belief=belief, sums=first_sums(typical(), bars=prior_bars), begun=jnp.asarray(False))

    def act(params: tuple, memory: FilterMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        view = view_of(observation)
        memory = known(memory, view)
        mean, variance = expected_return(memory.belief, parameters(memory.sums, view))
        held = jnp.argmin(jnp.abs(jnp.asarray(positions) - view.position))
        worth = growth(positions, mean, variance) - view.cost * steps_between[held] / PATIENCE
        return Decision(action=jnp.argmax(worth).astype(jnp.int32), extras={"regimes": memory.belief})

    def take_in(memory: FilterMemory, step: Transition) -> tuple[FilterMemory, None]:
        following = view_of(step.outcome.observation)
        newest = after(known(memory, view_of(step.observation)), following, following.returns[-1:])
        return where(step.valid, newest, memory), None

    def adapt(params: tuple, memory: FilterMemory, experience: Transition, key: PRNGKeyArray) -> FilterMemory:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def privileged_regimes(view: MarketView) -> Regimes:
    """The parameters that an observation shows, or the typical ones. A volatility of 0 means that there is no such regime."""
    drift, volatility, holding = jnp.split(view.truth, 3)
    present = (volatility > 0).astype(jnp.float32)
    shown = Regimes(
        drift=drift / 100,
        volatility=jnp.where(volatility > 0, volatility / 100, 1.0),
        change=transitions(jnp.maximum(100 * holding, 1.0), present),
    )
    return where(present.sum() > 1, shown, typical())
