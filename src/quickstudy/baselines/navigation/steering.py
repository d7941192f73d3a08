"""Steering on a plane by actuators that turn and scale what they are told, which is found out on the way.

Moves and actions as complex numbers: move = z action. With Σ over what was done, and a trace of belief in z = 1,

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
    """Sums over steps: `told` `[]`: Σ |action|²; `along`, `across` `[]`: real and imaginary part of Σ conj(action) move."""

    told: Float[Array, ""]
    along: Float[Array, ""]
    across: Float[Array, ""]


def no_steering() -> Steering:
    """Nothing was done yet: actions are believed to be moves."""
    return Steering(told=jnp.float32(0.0), along=jnp.float32(0.0), across=jnp.float32(0.0))


def steered(steering: Steering, action: Float[Array, "2"], move: Float[Array, "2"]) -> Steering:
    """After one more step."""
    return Steering(
        told=steering.told + jnp.square(action).sum(),
        along=steering.along + (action * move).sum(),
        across=steering.across + action[0] * move[1] - action[1] * move[0],
    )


def steer(steering: Steering, move: Float[Array, "2"]) -> Float[Array, "2"]:
    """The action that makes this move."""
    told = _BELIEF + steering.told
    real, imaginary = (_BELIEF + steering.along) / told, steering.across / told
    turned_back = jnp.stack([real * move[0] + imaginary * move[1], real * move[1] - imaginary * move[0]])
    return turned_back / jnp.maximum(jnp.square(real) + jnp.square(imaginary), 1e-8)


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
