"""One forecaster at a time: always the same, or the one that was best so far."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.forecast_view import action_of, check_forecast_spec, view_of
from quickstudy.baselines.models.forecasters import NAMES
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan


def single_forecaster_agent(spec: Spec, *, name: str) -> Agent:
    """An agent that always takes one forecaster, and never resets.

    Args:
      spec: of tasks that are forecast by weights.
      name: one of `forecasters.NAMES`.
    Raises:
      SpecError: other observations or actions.
    """
    check_forecast_spec(spec)
    weights = jax.nn.one_hot(NAMES.index(name), len(NAMES))

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del observation, key
        return Decision(action=action_of(weights), extras={})

    return memoryless_agent(spec, choose)


def best_single_agent(spec: Spec) -> Agent:
    """An agent that takes the forecaster with the smallest sum of absolute errors so far; the first of equals.

    Before it knows an error, it takes the one with the smallest mean error in the observation. The latter counts like the last
    ten values.

    Args:
      spec: of tasks that are forecast by weights.
    Raises:
      SpecError: other observations or actions.
    """
    check_forecast_spec(spec)

    def begin(params: tuple, key: PRNGKeyArray) -> Array:
        del params, key
        return jnp.full(len(NAMES), -1.0)

    def known(memory: Array, observation: Array) -> Array:
        return jnp.where(memory[0] < 0, 10 * view_of(observation).sizes, memory)

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        return Decision(action=action_of(jax.nn.one_hot(jnp.argmin(known(memory, observation)), len(NAMES))), extras={})

    def take_in(memory: Array, step: Transition) -> tuple[Array, None]:
        errors = jnp.abs(view_of(step.outcome.observation).errors)
        return jnp.where(step.valid, known(memory, step.observation) + errors, memory), None

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


AGENTS: Mapping[str, Callable[[Spec], Agent]] = {name: partial(single_forecaster_agent, name=name) for name in NAMES}
"""Makers of an agent for each forecaster, by its name."""

naive_agent = AGENTS["naive"]
seasonal_naive_agent = AGENTS["seasonal naive"]
mean_agent = AGENTS["mean"]
ses_agent = AGENTS["SES"]
holt_agent = AGENTS["Holt"]
ar_agent = AGENTS["AR"]
ets_agent = AGENTS["ETS"]
theta_agent = AGENTS["Theta"]
