"""Steering on a plane with actuators that rotate and scale commands by unknown amounts, which are estimated from the moves.

With moves and actions as complex numbers, move = z action. With Σ over all steps, and a weak prior β at z = 1,

    z = (β + Σ conj(action) move) / (β + Σ |action|²)
"""

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, record

_BELIEF = 1e-6


@record
class Steering:
    """Sums over steps.

    `commanded` `[]`: Σ |action|². `along`, `across` `[]`: real and imaginary part of Σ conj(action) move.
    """

    commanded: Float[Array, ""]
    along: Float[Array, ""]
    across: Float[Array, ""]


def no_steering() -> Steering:
    """Before the first step: the prior that actions equal moves."""
    return Steering(commanded=jnp.float32(0.0), along=jnp.float32(0.0), across=jnp.float32(0.0))


def steered(steering: Steering, action: Float[Array, "2"], move: Float[Array, "2"]) -> Steering:
    """The sums after one more step."""
    return Steering(
        commanded=steering.commanded + jnp.square(action).sum(),
        along=steering.along + (action * move).sum(),
        across=steering.across + action[0] * move[1] - action[1] * move[0],
    )


def steer(steering: Steering, move: Float[Array, "2"]) -> Float[Array, "2"]:
    """The action that causes this move, by the present estimate."""
    commanded = _BELIEF + steering.commanded
    real, imaginary = (_BELIEF + steering.along) / commanded, steering.across / commanded
    rotated_back = jnp.stack([real * move[0] + imaginary * move[1], real * move[1] - imaginary * move[0]])
    return rotated_back / jnp.maximum(jnp.square(real) + jnp.square(imaginary), 1e-8)


def bounds_of_moves(spec: Spec, *, agent: str) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Bounds of the actions `[2]` of tasks on a plane.

    Raises:
      SpecError: observations or actions that are not two numbers.
    """
    for name in ("observation_space", "action_space"):
        space = getattr(spec, name)
        if not (isinstance(space, gymnasium.spaces.Box) and space.shape == (2,)):
            raise SpecError(f"{agent} needs an {name} that is a Box of shape (2,), for tasks on a plane; came {space!r}.")
    space = spec.action_space
    return jnp.asarray(space.low), jnp.asarray(space.high)  # type: ignore[union-attr]
