"""What an inner policy-gradient step ascends, and how it depends on where it starts."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

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
    """J_in of whole episodes, one after another: a sum over steps, whose gradient is the same for all estimators.

        maml, e-maml    Σ_t A_t log π(a_t)
        lvc             Σ_t A_t π(a_t) / β(a_t)
        dice            Σ_t A_t (□(a_0 … a_t) − □(a_0 … a_{t−1}))        □(a) = exp(log π(a) − ⊥log π(a))

    Args:
      log_probability: under the policy that takes the step; the one that chose the actions, or, for lvc, one close to it.
      behaviour_log_probability: log β when the actions were chosen; a constant, of which lvc alone makes use.
      advantage: any unit; a constant.
      valid: steps that happened.
      horizon: slots of one episode.
      estimator: see above.
    Source: Finn et al. 2017; Rothfuss et al. 2019, eq. 11; Foerster et al. 2018 with the advantages of Farquhar et al. 2019.
    """
    constant = jax.lax.stop_gradient
    log_probability = jnp.where(valid, log_probability, 0.0)
    if estimator in ("maml", "e-maml"):
        each = log_probability
    elif estimator == "lvc":
        each = jnp.exp(log_probability - jnp.where(valid, behaviour_log_probability, 0.0))
    else:
        so_far = jnp.cumsum(log_probability.reshape(-1, horizon), axis=1).reshape(-1)
        before = so_far - log_probability
        each = jnp.exp(so_far - constant(so_far)) - jnp.exp(before - constant(before))
    return jnp.where(valid, each * advantage, 0.0).sum()
