"""Fixed share: exponential weights over forecasters, of which a share is redistributed uniformly at each step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.models.forecast_view import action_of, check_forecast_spec, view_of
from quickstudy.baselines.models.forecasters import NAMES
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan


def fixed_share_agent(spec: Spec, *, rate: float = 0.5, share: float = 0.05) -> Agent:
    """An agent that weights forecasters by their errors, and forgets.

        v_i = w_i exp(-η |error_i|) / Σ_j w_j exp(-η |error_j|)        w_i' = (1 - α) v_i + α / K

    Args:
      spec: of tasks that are forecast by weights.
      rate: η, per unit of the mean absolute change.
      share: α, of the weights that is redistributed at each step.
    Raises:
      SpecError: other observations or actions.
    Source: Herbster & Warmuth 1998, with uniform shares. Changed: errors are absolute, as in the reward.
    """
    check_forecast_spec(spec)

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, observation, key
        return Decision(action=action_of(memory), extras={})

    def take_in(weights: Array, step: Transition) -> tuple[Array, None]:
        errors = jnp.abs(view_of(step.outcome.observation).errors)
        posterior = jax.nn.softmax(jnp.log(weights) - rate * errors)
        return jnp.where(step.valid, (1 - share) * posterior + share / len(NAMES), weights), None

    def begin(params: tuple, key: PRNGKeyArray) -> Array:
        del params, key
        return jnp.full(len(NAMES), 1 / len(NAMES))

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)
