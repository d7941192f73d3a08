"""A rod that turns about its end, driven by a torque that is too weak to lift it at once.

With the angle θ from upright, the angular velocity ω and the torque signal u, one step of `SECONDS` does

    ω' = ω + (a sin θ + b u) SECONDS        a = 3g/2l        b = 3k/ml²

where m is the mass, l the length, g gravity and k the torque for each unit of the signal. `swing_up` is the controller that
knows a and b. Tasks take their reference return from it, and classical agents use it with the a and b that they believe in.
Full torque in the direction of motion adds energy, and full torque against it takes energy away: E = ω²/2 + a (cos θ − 1) is
the energy above that of standing upright, and it changes at the rate b u ω. Near the top a linear feedback takes over,
u = −k₁ θ − k₂ ω, which is optimal for the linearised pendulum and the cost θ² + q ω² + r u²:

    k₁ = (a + √(a² + b²/r)) / b        k₂ = √((2 k₁ r / b + q) / r)

The feedback takes over where it asks for at most `_PATIENCE` times the largest torque.

Source: Gymnasium's Pendulum-v1 (physics); Åström and Furuta 2000 (control of the energy); the gains solve the algebraic
Riccati equation in closed form. Changed: the torque is proportional to the missing energy where that is less than 1 rad²/s².
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

SECONDS = 0.05
"""Duration of one step."""
LARGEST_SPEED = 8.0
"""Largest angular velocity, in radians per second; larger ones are clipped."""
LARGEST_TORQUE = 2.0
"""Largest torque signal; larger ones are clipped."""

_SPEED_COST, _TORQUE_COST, _PATIENCE = 0.1, 0.1, 6.0


def coefficients(mass: Array | float, length: Array | float, gravity: Array | float, strength: Array | float) -> tuple:
    """a in 1/s² and b in 1/s² for each unit of the torque signal.

    Args:
      mass: of the rod, kg.
      length: of the rod, m.
      gravity: m/s².
      strength: torque for each unit of the signal, N m.
    """
    return 1.5 * gravity / length, 3.0 * strength / (mass * length**2)


def swing_up(observation: Float[Array, "3"], a: Array, b: Array) -> Float[Array, "1"]:
    """The torque signal `[1]` that swings up, and then balances, a pendulum of the coefficients a and b.

    Args:
      observation: `[3]`, cos θ, sin θ and ω in radians per second.
      a: `[]`, 1/s².
      b: `[]`, 1/s² for each unit of the torque signal; it may be negative.
    """
    angle, speed = jnp.arctan2(observation[1], observation[0]), observation[2]
    root = jnp.sqrt(a**2 + b**2 / _TORQUE_COST)
    gain_angle = (a + root) / b
    gain_speed = jnp.sign(b) * jnp.sqrt((2 * gain_angle * _TORQUE_COST / b + _SPEED_COST) / _TORQUE_COST)
    catch = -(gain_angle * angle + gain_speed * speed)
    energy = 0.5 * speed**2 + a * (observation[0] - 1.0)
    # At rest both directions are equally good.
    onward = jnp.where(speed * b >= 0, 1.0, -1.0)
    swing = -LARGEST_TORQUE * jnp.clip(energy, -1.0, 1.0) * onward
    signal = jnp.where(jnp.abs(catch) <= _PATIENCE * LARGEST_TORQUE, catch, swing)
    return jnp.clip(signal, -LARGEST_TORQUE, LARGEST_TORQUE)[None]
