"""Exponential smoothing with several settings side by side: SES, the method of Holt, and ETS with a damped trend and a season.

    SES     l += max(α, 1/n) e                                  f = l
    Holt    l += b + α e, b += α β e                            f = l + b
    ETS     l += φ b + α e, b = φ b + α β e, s += γ e           f = l + φ b + s

e is the error of the setting's own last forecast, and n the number of values since the last reset. A setting is a row of
numbers: its level, its trend where it has one, and last its recent mean squared error. The setting of the smallest recent error
is the one that forecasts. So constants are fitted to the series as it comes in.

Source: Hyndman et al. 2008. Changed: smoothing constants come from a small grid; the gain of SES is at least 1/n, so that after
a reset the level is a mean.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

SES = np.array([0.05, 0.1, 0.2, 0.4, 0.7], np.float32)
"""α of each setting."""
HOLT = np.array([[0.2, 0.1], [0.5, 0.1], [0.2, 0.4], [0.5, 0.4]], np.float32)
"""Rows α, β."""
ETS = np.array([[0.2, 0.1, 0.0], [0.1, 0.1, 0.15], [0.4, 0.1, 0.15]], np.float32)
"""Rows α, β, γ; the first has no season."""
DAMPING = 0.9
"""φ."""
_KEPT_LOSS = 0.97


def begin(value: Float[Array, ""], *, settings: int, width: int) -> Float[Array, "settings width"]:
    """Rows after the first value `[]`."""
    return jnp.zeros((settings, width)).at[:, 0].set(value).at[:, -1].set(1.0)


def best(rows: Float[Array, "settings width"]) -> Float[Array, " settings"]:
    """One-hot: the setting with the smallest recent error."""
    loss = rows[:, -1]
    return jax.nn.one_hot(jnp.argmin(loss), loss.size)


def of_best(said: Float[Array, " settings"], rows: Float[Array, "settings width"]) -> Float[Array, ""]:
    """What the setting with the smallest recent error says."""
    return (said * best(rows)).sum()


def ses_after(ses: Float[Array, "settings 2"], value: Float[Array, ""], count: Float[Array, ""]) -> Float[Array, "settings 2"]:
    """SES after a value `[]`, the `count`-th since the last reset."""
    error = value - ses[:, 0]
    level = ses[:, 0] + jnp.maximum(SES, 1 / count) * error
    return jnp.stack([level, _loss_after(ses[:, -1], error)], axis=1)


def holt_after(holt: Float[Array, "settings 3"], value: Float[Array, ""]) -> Float[Array, "settings 3"]:
    """Holt's method after a value `[]`."""
    level, trend, loss = holt.T
    error = value - level - trend
    alpha, beta = HOLT.T
    return jnp.stack([level + trend + alpha * error, trend + alpha * beta * error, _loss_after(loss, error)], axis=1)


def ets_forecasts(ets: Float[Array, "settings 3"], season: Float[Array, "settings longest"]) -> Float[Array, " settings"]:
    """What each setting of ETS says about the next value; `season` has that of the next value first."""
    return ets[:, 0] + DAMPING * ets[:, 1] + season[:, 0]


def ets_after(
    ets: Float[Array, "settings 3"],
    season: Float[Array, "settings longest"],
    value: Float[Array, ""],
    *,
    seen: Float[Array, ""],
    period: Int[Array, ""],
) -> tuple[Float[Array, "settings 3"], Float[Array, "settings longest"]]:
    """ETS and its season after a value `[]`. In the first season the gain of the season is 1, then 1/2, until it reaches γ.

    Args:
      ets: a row for each setting.
      season: of each setting, that of the value first.
      value: `[]`.
      seen: `[]`, how many values came before it.
      period: `[]`, steps of a season.
    Returns:
      Both after the value; the season of the value that follows comes first.
    """
    level, trend, loss = ets.T
    error = value - ets_forecasts(ets, season)
    alpha, beta, gamma = ETS.T
    seasons = 1 + jnp.floor((seen - 1) / period.astype(jnp.float32))
    gain = jnp.where(gamma > 0, jnp.maximum(gamma, 1 / seasons), 0.0)
    newest = season[:, 0] + gain * error
    shifted = jnp.concatenate([season[:, 1:], jnp.zeros((len(ETS), 1))], axis=1)
    last = season_ago(period, season.shape[1])[None]
    season = (1 - last) * shifted + last * newest[:, None]
    level, trend = level + DAMPING * trend + alpha * error, DAMPING * trend + alpha * beta * error
    return jnp.stack([level, trend, _loss_after(loss, error)], axis=1), season


def last_season(
    season: Float[Array, "settings longest"], *, seen: Float[Array, ""], period: Int[Array, ""]
) -> Float[Array, " settings"]:
    """The season of the newest value, for each setting of ETS; 0 in the first season, when it is still whatever was new."""
    is_known = seen > period.astype(jnp.float32)
    return jnp.where(is_known, (season * season_ago(period, season.shape[1])[None]).sum(1), 0.0)


def season_ago(period: Int[Array, ""], longest: int) -> Float[Array, " longest"]:
    """One-hot: among values or seasons in their order, the place of the one that is one season before the next value."""
    return (jnp.arange(longest) == period - 1).astype(jnp.float32)


def _loss_after(loss: Float[Array, " settings"], error: Float[Array, " settings"]) -> Float[Array, " settings"]:
    return _KEPT_LOSS * loss + (1 - _KEPT_LOSS) * jnp.square(error)
