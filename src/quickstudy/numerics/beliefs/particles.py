"""Beliefs that are particles with weights, and how they are drawn from a density that is known but for its scale."""

from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.protocol.records import record

MOST_BENDING = 4 / 3**1.5
"""Greatest second derivative of tanh."""


@record
class ParticleBelief:
    """A belief over a task embedding: `particles` `[*time, count, size]` and `log_weights` `[*time, count]` in nats.

    Weights need not sum to one.
    """

    particles: Float[Array, "*time count size"]
    log_weights: Float[Array, "*time count"]

    @property
    def weights(self) -> Float[Array, "*time count"]:
        """Summing to one."""
        return jax.nn.softmax(self.log_weights, axis=-1)

    @property
    def mean(self) -> Float[Array, "*time size"]:
        """Of each coordinate."""
        return self.average(self.particles)

    @property
    def deviation(self) -> Float[Array, "*time size"]:
        """Standard deviation of each coordinate; a little above zero, where a root would have no slope."""
        variance = self.average(jnp.square(self.particles - self.mean[..., None, :]))
        return jnp.sqrt(variance + 1e-8)

    def average(self, values: Float[Array, "*time count numbers"]) -> Float[Array, "*time numbers"]:
        """The weighted mean of what belongs to each particle."""
        return (self.weights[..., None] * values).sum(-2)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*time size"]:
        """One particle of each belief, as likely as its weight."""
        chosen: Int[Array, "*time"] = jax.random.categorical(key, self.log_weights)
        return jnp.take_along_axis(self.particles, chosen[..., None, None], axis=-2)[..., 0, :]


@record
class RidgeDensity:
    """A normal density times ridges, known but for its scale.

        p(z) ∝ N(z; mean, 1 / precision) · exp(Σ_j heights_j tanh(directions_j · z + offsets_j))

    `mean`, `precision` `[*time, size]`, with independent coordinates; `heights` `[*time, ridges]`, in nats; `directions`
    `[ridges, size]` and `offsets` `[ridges]` are the same at all times. A network with one hidden layer, read as a log
    density: with ridges enough it has any shape, several modes among them. As `heights`, precision and precision times mean
    add up, so does a product of such densities.
    """

    mean: Float[Array, "*time size"]
    precision: Float[Array, "*time size"]
    heights: Float[Array, "*time ridges"]
    directions: Float[Array, "ridges size"]
    offsets: Float[Array, " ridges"]

    def curvature(self) -> Float[Array, "*time size"]:
        """A diagonal matrix above the second derivative of the ridges' sum, anywhere (Gershgorin's circles)."""
        size = jnp.abs(self.directions)
        return MOST_BENDING * jnp.abs(self.heights) @ (size * size.sum(-1, keepdims=True))

    def refined(self, noise: Float[Array, "moves count size"], *, rate: float = 0.5) -> ParticleBelief:
        """Particles that were drawn from the normal part and moved by Langevin steps while the ridges rise, with weights.

            log w ← log w + (β' − β) log ridges(z)        z ← z + (1 − √(1 − rate)) D ∇log p_β'(z) + √(rate D) noise

        β rises evenly from 0 to 1, and D = 1 / (precision + β' curvature) is so short that without noise no move makes p_β'
        less, however high the ridges are. Where there are no ridges, every move keeps the normal distribution exactly, and
        weights are equal.

        Args:
          noise: standard normal numbers; the first of `moves` places the particles, so that there is one refinement less.
            Given the noise, particles are a smooth function of the density.
          rate: of a step, above 0 and at most 1, where particles forget where they were.
        Source: annealed importance sampling (Neal 2001) with preconditioned Langevin moves. Changed: moves are not put right
          by acceptance, so that the weights are off as far as a step does not keep p_β; the scale of the moves is such that
          there is no error where p_β is normal with variance D.
        """
        shape, (moves, _, _) = (*self.mean.shape[:-1], *noise.shape[1:]), noise.shape
        noise = jnp.broadcast_to(noise.reshape(moves, *(1,) * (len(shape) - 2), *shape[-2:]), (moves, *shape))
        mean, precision, heights = self.mean[..., None, :], self.precision[..., None, :], self.heights[..., None, :]
        curvature = self.curvature()[..., None, :]
        z, log_weights = mean + noise[0] / jnp.sqrt(precision), jnp.zeros(shape[:-1])
        for move in range(1, moves):
            share = move / (moves - 1)
            ridges = ridges_at(z, self.directions, self.offsets)
            log_weights += (heights * ridges).sum(-1) / (moves - 1)
            slope = precision * (mean - z) + share * ((heights * (1 - jnp.square(ridges))) @ self.directions)
            reach = 1 / (precision + share * curvature)
            z = z + (1 - (1 - rate) ** 0.5) * reach * slope + jnp.sqrt(rate * reach) * noise[move]
        return ParticleBelief(particles=z, log_weights=log_weights)

    @classmethod
    def from_evidence(
        cls,
        precision: Float[Array, "*time size"],
        weighted: Float[Array, "*time size"],
        heights: Float[Array, "*time ridges"],
        *,
        directions: Float[Array, "ridges size"],
        offsets: Float[Array, " ridges"],
    ) -> Self:
        """The standard normal times others: from the sums of their precisions, of means times these, and of heights."""
        total = 1 + precision
        return cls(mean=weighted / total, precision=total, heights=heights, directions=directions, offsets=offsets)


def ridges_at(
    z: Float[Array, "*time size"], directions: Float[Array, "ridges size"], offsets: Float[Array, " ridges"]
) -> Float[Array, "*time ridges"]:
    """tanh(directions · z + offsets)."""
    slanted = z @ directions.T
    return jnp.tanh(slanted + offsets.reshape((1,) * (slanted.ndim - 1) + (-1,)))


def even_noise(moves: int, count: int, size: int, *, seed: int = 0) -> Float[Array, "moves count size"]:
    """Standard normal numbers that are the same each time, of mean 0 and deviation 1 over the particles of every move."""
    drawn = np.random.default_rng(seed).standard_normal((moves, count, size))
    spread = drawn.std(axis=1, keepdims=True)
    return jnp.asarray((drawn - drawn.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0), jnp.float32)
