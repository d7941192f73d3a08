"""Rotation of vectors in a plane."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def turned(vector: Float[Array, " n"], angle: Float[Array, ""]) -> Float[Array, " n"]:
    """A vector of two numbers or more, turned to the left by an angle in radians, in the plane of the first two."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return vector.at[:2].set(jnp.stack([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]]))
