"""Forecasts by an expert that is told when a regime begins: the mean of the present regime. It is a bound, not a method."""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.models.forecast_view import action_of, check_forecast_spec, view_of, weights_for
from quickstudy.baselines.models.level_shifts import SIZE
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan


def known_changes_agent(spec: Spec, *, size: float = SIZE) -> Agent:
    """An agent that reads from the observation that the next value begins a new regime.

    With n values of the regime whose sum is S, it forecasts S / (n + 1 / τ²), the mean of the Gaussian belief about the level.

    Args:
      spec: of tasks that are forecast by weights, with `shows_changes`; elsewhere it never sees a change.
      size: τ, standard deviation of levels in standard deviations of the noise.
    Raises:
      SpecError: other observations or actions.
    """
    check_forecast_spec(spec)

    def begin(params: tuple, key: PRNGKeyArray) -> Array:
        del params, key
        return jnp.float32([0.0, -1.0])  # sum and number of values; -1 before the first observation

    def known(memory: Array, observation: Array) -> Array:
        view = view_of(observation)
        # Nobody says when the first regime began: the recent values that SES keeps are taken for it.
        first = jnp.stack([5 * view.values[-5:].mean(), jnp.float32(5.0)])
        return jnp.where(view.change > 0.5, jnp.zeros(2), jnp.where(memory[1] < 0, first, memory))

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        total, values = known(memory, observation)
        forecast = total / (values + 1 / size**2)
        return Decision(action=action_of(weights_for(forecast, view_of(observation).forecasts)), extras={"forecast": forecast})

    def take_in(memory: Array, step: Transition) -> tuple[Array, None]:
        newest = jnp.stack([view_of(step.outcome.observation).values[-1], jnp.ones(())])
        return jnp.where(step.valid, known(memory, step.observation) + newest, memory), None

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)
