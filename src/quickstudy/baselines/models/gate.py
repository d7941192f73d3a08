"""The gate of an A/B test: a process that says when a treatment may be shipped, whatever the agent does.

For one treatment, look t brings m_t conversions in treatment and control together, of which x_t in the treatment. If both
convert alike, x_t has mean w_t m_t given m_t, where w_t is the treatment's part of the users of the two, and a variance of at
most dv_t = m_t w_t (1 - w_t). So the sum of x_t - w_t m_t is a random walk with known variances: a Brownian motion that is seen
at its information times. Base rate, weekdays and trends that both arms share cancel.

Let u be the probability, given what was seen, that this motion will touch its boundary within the information R that the rest
of the test is planned to bring. By the reflection principle, at the distance D from the boundary,

    u = 2 Φ(-D / √R)    and so    D = √R Φ⁻¹(1 - u / 2)

u starts at the level α, and u / α is the e-process. While the treatment is not better it is a supermartingale that starts at 1.
It reaches 1 / α exactly when the motion touches the boundary. So the probability that it ever does is at most α (Ville 1939),
under any rule of stopping and any allocation that looks at the past only. R may be planned anew at every look: the boundary is
then moved so that u stays as it is, which is the conditional error principle (Müller and Schäfer 2001).

Source: ours, from the references above. It rests on the normal distribution of sums of conversions. With fewer than about ten
conversions a look, it does so only approximately.
"""

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from quickstudy.protocol.records import record

LEVEL = 0.05
"""Largest probability that a treatment which is not better is ever shipped."""

_LEAST = 1e-30


@record
class Gate:
    """`chance` `[treatments]`: u, which is 1 once the gate agrees. `information` `[treatments]`: variance so far."""

    chance: Float[Array, " treatments"]
    information: Float[Array, " treatments"]


def closed_gate(treatments: int, *, level: float = LEVEL) -> Gate:
    """The gate before the first look; several treatments share the level equally (Bonferroni)."""
    return Gate(chance=jnp.full(treatments, level / treatments), information=jnp.zeros(treatments))


def after_look(
    gate: Gate,
    users: Float[Array, " arms"],
    conversions: Float[Array, " arms"],
    *,
    look: Float[Array, ""],
    looks: int,
) -> Gate:
    """The gate after one more look.

    Args:
      gate: before it.
      users, conversions: of this look alone; arm 0 is the control.
      look: its number, from 1.
      looks: that the test has.
    """
    part = users[1:] / jnp.maximum(users[1:] + users[0], 1.0)
    both = conversions[1:] + conversions[0]
    added, moved = both * part * (1 - part), conversions[1:] - part * both
    information = gate.information + added
    later = information / look * jnp.maximum(looks - look, 0.0)
    planned = added + later
    distance = _distance(gate.chance) * jnp.sqrt(planned) - moved
    chance = jnp.where(later > 0, 2 * ndtr(-distance / jnp.sqrt(jnp.maximum(later, _LEAST))), 0.0)
    touched = (gate.chance >= 1) | ((distance <= 0) & (planned > 0))
    # Without any conversion nothing was learned.
    chance = jnp.where(planned > 0, jnp.clip(chance, _LEAST, 1.0), gate.chance)
    return Gate(chance=jnp.where(touched, 1.0, chance), information=information)


def agrees(gate: Gate) -> Array:
    """Whether each treatment `[treatments]` may be shipped; once it may, it may for good."""
    return gate.chance >= 1


def distances(gate: Gate) -> Float[Array, " treatments"]:
    """Distance from the boundary in standard deviations of what the rest of the test is planned to bring; 0 where it agrees."""
    return _distance(gate.chance)


def evidence(gate: Gate, *, level: float = LEVEL) -> Float[Array, " treatments"]:
    """The e-process of each treatment: 1 at the start, treatments / level where the gate agrees."""
    return gate.chance * gate.chance.shape[0] / level


def _distance(chance: Array) -> Array:
    return -ndtri(jnp.clip(chance, _LEAST, 1.0) / 2)
