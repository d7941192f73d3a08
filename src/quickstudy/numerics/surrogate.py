"""Policy objectives."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def clipped_surrogate(
    log_probability: Float[Array, "*shape"],
    behaviour_log_probability: Float[Array, "*shape"],
    advantage: Float[Array, "*shape"],
    *,
    clip: float,
) -> Float[Array, "*shape"]:
    """The clipped surrogate of every step; to be maximised.

        min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)        ρ = exp(log π(a) − log β(a))

    Args:
      log_probability: of the recorded action under the optimised policy.
      behaviour_log_probability: of the same action when it was chosen; a constant.
      advantage: any unit; a constant.
      clip: ε > 0.
    Source: Schulman et al. 2017, eq. 7. Changed: nothing.
    """
    ratio = jnp.exp(log_probability - behaviour_log_probability)
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def masked_mean(values: Float[Array, "*shape"], valid: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """Mean over the steps that happened; 0 if none did."""
    return jnp.where(valid, values, 0.0).sum() / jnp.maximum(valid.sum(), 1).astype(values.dtype)
