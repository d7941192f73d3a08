"""A value baseline that is fitted to every batch of episodes in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.numerics.linear_algebra import solve


def linear_baseline(
    observation: Float[Array, "episodes horizon size"],
    returns: Float[Array, "episodes horizon"],
    valid: Bool[Array, "episodes horizon"],
    *,
    ridge: float = 1e-3,
) -> Float[Array, "episodes horizon"]:
    """Expected return to go, as a linear function of the observation, its square, and the time up to its cube.

    Args:
      observation: `[episodes, horizon, size]`, scaled to around one.
      returns: `[episodes, horizon]` to go, reward units.
      valid: `[episodes, horizon]`; steps that happened; the fit ignores the others.
      ridge: added to the diagonal, per step that happened.
    Returns:
      The fitted values `[episodes, horizon]`, reward units.
    Source: Duan et al. 2016 (Benchmarking Deep RL), section "Linear feature baseline". Changed: time in units of the horizon.
    """
    episodes, horizon = valid.shape
    time = jnp.broadcast_to(jnp.arange(horizon, dtype=jnp.float32) / horizon, (episodes, horizon))[..., None]
    powers = jnp.concatenate([jnp.ones_like(time), time, time**2, time**3], axis=-1)
    features = jnp.concatenate(
        [jnp.clip(observation, -10.0, 10.0), jnp.square(jnp.clip(observation, -10.0, 10.0)), powers], axis=-1
    )
    rows = jnp.where(valid[..., None], features, 0.0).reshape(episodes * horizon, -1)
    gram = rows.T @ rows + ridge * jnp.maximum(valid.sum(), 1).astype(jnp.float32) * jnp.eye(rows.shape[1])
    weights = solve(gram, rows.T @ jnp.where(valid, returns, 0.0).reshape(-1))
    return (features.reshape(episodes * horizon, -1) @ weights).reshape(episodes, horizon)
