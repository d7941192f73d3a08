"""One step of an optimiser."""

import jax
import optax
from jaxtyping import Array, PyTree


def descend(
    optimiser: optax.GradientTransformation, gradient: PyTree, state: PyTree, weights: PyTree, *, rate: float | Array
) -> tuple[PyTree, PyTree]:
    """Weights after a step down the gradient, and the optimiser's state after it.

    Args:
      optimiser: turns a gradient into a direction of size one, such as `optax.scale_by_adam()`.
      gradient: like the weights.
      state: of the optimiser.
      weights: to move.
      rate: size of the step.
    """
    with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers and multiplies by floats
        step, state = optimiser.update(gradient, state, weights)
    return jax.tree.map(lambda weight, move: weight - rate * move, weights, step), state


def clipped_adam(max_gradient_norm: float) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) on gradients with clipped norm; its directions have size one."""
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), optax.scale_by_adam(eps=1e-5))
