"""An agent that sets weights for forecasters, over the values of one series as they come in.

    state = begun(history)                      mean and scale of the history, and the forecasters run on it
    state = after(state, value)                 decide, then take in the value that followed
    said = ahead(state, steps)                  the decision for the next value, on forecasts of several steps

The agent decides on weights for the next value. `ahead` takes the same weights, after the same reset, for all steps. The agent
was trained on the next value only, so these weights need not be the best for later values.

All of it is in arrays of NumPy and of JAX. A state can be copied and stored.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from quickstudy.baselines.models import forecast_view, forecasters
from quickstudy.baselines.models.forecasters import Forecasters
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome
from quickstudy.rollout import session as sessions
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.session import Session


class SeriesState(NamedTuple):
    """One series: its unit, and after its newest value the session of the agent, the forecasters, and the number of values.

    `session`, `known`: leaves of NumPy. `known` is a `Forecasters`. `step`: values since the first one of the history.
    """

    mean: float
    scale: float
    session: Session
    known: Forecasters
    step: int


class ForecastPrograms:
    """The compiled functions of one agent.

    Args:
      agent: one that weighs forecasters, for the spec of `forecasting`.
      params: parameters of the agent, of one training seed.
      seed: seed of the agent's random numbers; each series begins with the same ones.
    Raises:
      SpecError: the agent was made for other tasks.
    """

    def __init__(self, agent: Agent, params: PyTree, *, seed: int = 0):
        forecast_view.check_forecast_spec(agent.spec)
        shown = agent.spec.observation_space.shape
        others = forecast_view.forecast_spec(window=0, steps=1).observation_space.shape
        self.steps, self._window = agent.spec.lifetime_steps, shown[0] - others[0]  # type: ignore[index]
        self._agent, self._params, self._seed = with_nonfinite_guard(agent), params, seed
        self._begin = jax.jit(functools.partial(sessions.begin, self._agent))
        self._history = jax.jit(forecasters.after_padded_history)
        self._after = jax.jit(self._advanced)
        self._ahead: Callable[..., Any] = jax.jit(self._said, static_argnums=3)

    def begun(self, history: Float[np.ndarray, " history"], *, period: int) -> SeriesState:
        """The state after a history of at least one value, at the beginning of a lifetime.

        Args:
          history: in the unit of the series; the newest 104 are used. Where all are equal, or where there is one only, the
            unit is 1.
          period: steps of a season, at most 52; 1 if there is none.
        """
        padded, first = forecasters.padded_history(np.asarray(history, np.float64))
        newest = padded[first:]
        changes = np.abs(np.diff(newest))
        scale = float(changes.mean()) if changes.sum() > 0 else 1.0
        relative = (padded - newest.mean()) / scale
        known = self._history(relative.astype(np.float32), np.int32(period), np.int32(first))
        session = self._begin(self._params, jax.random.key(self._seed))
        return _on_host(SeriesState(float(newest.mean()), scale, session, known, len(newest)))

    def after(self, state: SeriesState, value: float) -> SeriesState:
        """The state after the next value, in the unit of the series."""
        came = np.float32((value - state.mean) / state.scale)
        session, known = self._after(self._params, state.session, state.known, np.int32(state.step), came)
        return _on_host(state._replace(session=session, known=known, step=state.step + 1))

    def ahead(self, state: SeriesState, steps: int) -> tuple[np.ndarray, np.ndarray, float]:
        """What the agent forecasts, without a change of the state.

        Args:
          state: after the newest value.
          steps: number of values to forecast.
        Returns:
          Forecasts `[steps]` in the unit of the series, their weights `[9]`, and the strength of the reset before them.
        """
        # Programs for few different numbers of steps; whoever asks for three gets the first three of four.
        compiled = 1 << max(0, steps - 1).bit_length()
        said, weights, strength = self._ahead(self._params, (state.session, state.known), np.int32(state.step), compiled)
        return state.mean + state.scale * np.asarray(said, np.float64)[:steps], np.asarray(weights), float(strength)

    def _seen(self, known: Forecasters, step: Array) -> Array:
        return forecast_view.observation_of(known, step=step, change=jnp.zeros(()), window=self._window)

    def _decided(self, params: PyTree, session: Session, known: Forecasters, step: Array) -> Session:
        return sessions.decide(self._agent, params, session, self._seen(known, step))

    def _advanced(
        self, params: PyTree, session: Session, known: Forecasters, step: Array, value: Array
    ) -> tuple[Session, Forecasters]:
        session, no = self._decided(params, session, known, step), jnp.asarray(False)
        known, reward = forecast_view.forecast_step(known, session.decision.action, value)
        outcome = Outcome(observation=self._seen(known, step + 1), reward=reward, terminated=no, truncated=no)
        return sessions.observe(self._agent, params, session, outcome), known

    def _said(self, params: PyTree, at: tuple[Session, Forecasters], step: Array, steps: int) -> tuple[Array, Array, Array]:
        session, known = at
        weights, strength = forecast_view.decided(self._decided(params, session, known, step).decision.action)
        return forecasters.forecasts_ahead(forecasters.reset(known, strength), steps) @ weights, weights, strength


def _on_host(state: SeriesState) -> SeriesState:
    return state._replace(session=jax.device_get(state.session), known=jax.device_get(state.known))
