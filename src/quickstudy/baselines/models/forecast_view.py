"""What an agent that weighs forecasters sees and does, as flat numbers.

Observation, in units of the mean absolute change, in this order:

    newest value              1        relative to the mean of the history
    values before it          window   relative to the newest
    forecasts                 9        of each forecaster for the next value, relative to the newest value
    last errors               9        value minus forecast
    recent absolute errors    9        their running mean
    values since a reset      1        ln(1 + n) / 4
    calendar                  5        sine and cosine of the next value's place in its season; one-hot period of 7, 12 or 52
    change                    1        1 where the next value begins a new regime and tasks show it; else 0

Action `[10]` within 0 and 1: nine scores and the reset. Weights are the fourth powers of the scores, divided by their sum: an
agent whose scores are never quite at the ends of their range can still give a forecaster nearly the whole weight. A reset of up
to 1/2 is none; from there its strength grows linearly to 1.
"""

from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.baselines.models.forecasters import NAMES, PERIODS, Forecasters, forecasts, reset, take_in
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

WINDOW = 16
"""Values before the newest that are shown, unless settings give another number."""

_COUNT = len(NAMES)
_POWER = 4
"""Of a score, as a weight."""
_OTHERS = 1 + 3 * _COUNT + 1 + 2 + len(PERIODS) + 1


class View(NamedTuple):
    """The parts of an observation, see the head of this file. `values` `[window + 1]`: in order of time, the newest last."""

    values: Float[Array, "*time values"]
    forecasts: Float[Array, "*time forecasters"]
    errors: Float[Array, "*time forecasters"]
    sizes: Float[Array, "*time forecasters"]
    change: Float[Array, "*time"]


def forecast_spec(*, window: int, steps: int) -> Spec:
    """Spaces and lengths of a lifetime that forecasts so many values, one step each."""
    return Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (window + _OTHERS,)),
        action_space=gymnasium.spaces.Box(0.0, 1.0, (_COUNT + 1,)),
        horizon=steps,
        episodes=1,
    )


def check_forecast_spec(spec: Spec) -> None:
    """Raises SpecError unless tasks have these observations and actions."""
    seen, done = spec.observation_space, spec.action_space
    boxes = isinstance(seen, gymnasium.spaces.Box) and isinstance(done, gymnasium.spaces.Box)
    if not boxes or len(seen.shape or ()) != 1 or (seen.shape or (0,))[0] < 1 + _OTHERS or done.shape != (_COUNT + 1,):
        raise SpecError(
            f"weighing forecasters needs the spaces of the tasks `forecasting`: Boxes of at least {1 + _OTHERS} and of "
            f"{_COUNT + 1} numbers; came {seen} and {done}. Make the agent from the spec of such tasks."
        )


def observation_of(
    state: Forecasters, *, step: Int[Array, ""], change: Float[Array, ""], window: int
) -> Float[Array, " observation"]:
    """What is seen before the next value.

    Args:
      state: after the newest value.
      step: `[]`, number of the next value, counted from a first value at the beginning of its season.
      change: `[]`, 1 where the next value begins a new regime and this is shown, else 0.
      window: values before the newest that are shown.
    """
    newest, period = state.recent[0], state.period.astype(jnp.float32)
    turn = 2 * jnp.pi * jnp.mod(step, state.period).astype(jnp.float32) / period
    return jnp.concatenate(
        [
            newest[None],
            state.recent[1 : window + 1] - newest,
            forecasts(state) - newest,
            state.error,
            state.size,
            jnp.log1p(state.count)[None] / 4,
            jnp.stack([jnp.sin(turn), jnp.cos(turn)]),
            (state.period == jnp.asarray(PERIODS)).astype(jnp.float32),
            change[None],
        ]
    )


def view_of(observation: Float[Array, "*time observation"]) -> View:
    """The parts of an observation, or of many."""
    window = observation.shape[-1] - _OTHERS
    ends = np.cumsum([1, window, _COUNT, _COUNT, _COUNT]).tolist()
    newest, before, said, errors, sizes, _ = jnp.split(observation, ends, axis=-1)
    values = jnp.concatenate([(before + newest)[..., ::-1], newest], axis=-1)
    return View(values=values, forecasts=said + newest, errors=errors, sizes=sizes, change=observation[..., -1])


def decided(action: Float[Array, " action"]) -> tuple[Float[Array, " forecasters"], Float[Array, ""]]:
    """Weights, which sum to 1, and the strength of the reset. If all scores are zero, the weights are equal."""
    positive = jnp.clip(action[:-1], 0.0, 1.0) ** _POWER + 1e-6
    return positive / positive.sum(), jnp.clip(2 * action[-1] - 1, 0.0, 1.0)


def forecast_step(
    state: Forecasters, action: Float[Array, " action"], value: Float[Array, ""]
) -> tuple[Forecasters, Float[Array, ""]]:
    """One decision and the value that follows it.

    Args:
      state: after the newest value.
      action: `[10]`, the decision for the next value.
      value: `[]`, the next value, in units of the mean absolute change.
    Returns:
      The forecasters after the reset and the value; and the reward `[]`, minus the absolute error of the weighted forecast.
    """
    weights, strength = decided(action)
    state = reset(state, strength)
    return take_in(state, value), -jnp.abs(value - weights @ forecasts(state))


def action_of(weights: Float[Array, " forecasters"]) -> Float[Array, " action"]:
    """The action of these weights, which are not negative and not all zero, without a reset. The largest has the score 1."""
    return jnp.append((weights / weights.max()) ** (1 / _POWER), 0.0)


def weights_for(target: Float[Array, ""], said: Float[Array, " forecasters"]) -> Float[Array, " forecasters"]:
    """Weights of two forecasters whose mixture is a given forecast; of the nearest one if it lies outside all of them.

    Args:
      target: `[]`, the forecast.
      said: those of the forecasters.
    """
    below = jnp.where(said <= target, said, -jnp.inf)
    above = jnp.where(said >= target, said, jnp.inf)
    low, high = jnp.argmax(below), jnp.argmin(above)
    low, high = jnp.where(below[low] == -jnp.inf, high, low), jnp.where(above[high] == jnp.inf, low, high)
    gap = said[high] - said[low]
    share = jnp.where(gap > 1e-6, (target - said[low]) / jnp.maximum(gap, 1e-6), 0.0)
    return (1 - share) * jax.nn.one_hot(low, said.size) + share * jax.nn.one_hot(high, said.size)
