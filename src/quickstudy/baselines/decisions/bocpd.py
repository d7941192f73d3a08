"""Bayesian online change-point detection (BOCPD) as weights of forecasters: it mixes those around its own forecast."""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.models.forecast_view import action_of, check_forecast_spec, view_of, weights_for
from quickstudy.baselines.models.level_shifts import HAZARD, SIZE, RunLengths, begin, expected_level, noise_of, take_in
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where


@record
class BOCPDMemory:
    """`belief`: about the level; `begun` `[]`: whether the first observation has been read."""

    belief: RunLengths
    begun: Array


def bocpd_agent(spec: Spec, *, hazard: float = HAZARD, size: float = SIZE) -> Agent:
    """An agent that forecasts the expected level, under the assumption of independent noise around a level with shifts.

    Its forecast is expressed as a mixture of the two forecasters that lie next to it. Where all forecasters lie on one side of
    it, it takes the nearest. The belief begins with the values that the first observation shows.

    Args:
      spec: of tasks that are forecast by weights.
      hazard: probability of a shift at each step.
      size: standard deviation of levels, in standard deviations of the noise. The noise follows from both, as values are in
        units of their mean absolute change.
    Raises:
      SpecError: other observations or actions.
    Source: Adams & MacKay 2007. Changed: see `models.level_shifts`.
    """
    check_forecast_spec(spec)
    noise = noise_of(hazard, size)

    def after(belief: RunLengths, values: Array) -> RunLengths:
        def step(belief: RunLengths, value: Array) -> tuple[RunLengths, None]:
            return take_in(belief, value, noise=noise, hazard=hazard, size=size), None

        return scan(step, belief, values)[0]

    def belief_at(memory: BOCPDMemory, observation: Array) -> RunLengths:
        first = after(begin(noise, size), view_of(observation).values)
        return where(memory.begun, memory.belief, first)

    def act(params: tuple, memory: BOCPDMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        level = expected_level(belief_at(memory, observation))
        return Decision(action=action_of(weights_for(level, view_of(observation).forecasts)), extras={"forecast": level})

    def take_in_step(memory: BOCPDMemory, step: Transition) -> tuple[BOCPDMemory, None]:
        newest = view_of(step.outcome.observation).values[-1:]
        belief = after(belief_at(memory, step.observation), newest)
        return where(step.valid, BOCPDMemory(belief=belief, begun=jnp.asarray(True)), memory), None

    def adapt(params: tuple, memory: BOCPDMemory, experience: Transition, key: PRNGKeyArray) -> BOCPDMemory:
        del params, key
        return scan(take_in_step, memory, experience)[0]

    def start(params: tuple, key: PRNGKeyArray) -> BOCPDMemory:
        del params, key
        return BOCPDMemory(belief=begin(noise, size), begun=jnp.asarray(False))

    return Agent(spec=spec, init=lambda key: (), begin=start, act=act, adapt=adapt)
