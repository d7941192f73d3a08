"""The objective of an inner policy-gradient step, with estimators that differ in their second derivatives."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.protocol.sequences import chunks, flatten_chunks

Estimator = Literal["maml", "e-maml", "lvc", "dice"]


def inner_objective(
    log_probability: Float[Array, " steps"],
    behaviour_log_probability: Float[Array, " steps"],
    advantage: Float[Array, " steps"],
    valid: Bool[Array, " steps"],
    *,
    horizon: int,
    estimator: Estimator,
) -> Float[Array, ""]:
    """J_in of consecutive whole episodes: a sum over steps whose gradient is the same for all estimators.

        maml, e-maml    Σ_t A_t log π(a_t)
        lvc             Σ_t A_t π(a_t) / β(a_t)
        dice            Σ_t A_t (□(a_0 … a_t) − □(a_0 … a_{t−1}))        □(a) = exp(log π(a) − ⊥log π(a))

    Args:
      log_probability: `[steps]`, under the policy that takes the gradient step. It chose the actions, or for lvc it is close to
        the policy that did.
      behaviour_log_probability: `[steps]`, log β when the actions were chosen; a constant, used by lvc only.
      advantage: `[steps]`, any unit; a constant.
      valid: `[steps]`; steps that happened.
      horizon: slots of one episode; it divides the steps.
      estimator: one of the names above.
    Returns:
      `[]`, in units of the advantage; to be maximised.
    Source: Finn et al. 2017; Rothfuss et al. 2019, eq. 11; Foerster et al. 2018 with the advantages of Farquhar et al. 2019.
    """
    constant = jax.lax.stop_gradient
    log_probability = jnp.where(valid, log_probability, 0.0)
    if estimator in ("maml", "e-maml"):
        each = log_probability
    elif estimator == "lvc":
        each = jnp.exp(log_probability - jnp.where(valid, behaviour_log_probability, 0.0))
    else:
        so_far = flatten_chunks(jnp.cumsum(chunks(log_probability, length=horizon), axis=1))
        before = so_far - log_probability
        each = jnp.exp(so_far - constant(so_far)) - jnp.exp(before - constant(before))
    return jnp.where(valid, each * advantage, 0.0).sum()
