"""Beliefs represented by weighted particles, and how to draw particles from a density that is known up to its scale."""

from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.protocol.records import record

LARGEST_CURVATURE = 4 / 3**1.5
"""Largest second derivative of tanh."""


@record
class ParticleBelief:
    """A belief over a task embedding: `particles` `[*time, count, size]` and `log_weights` `[*time, count]` in nats.

    Weights need not sum to one.
    """

    particles: Float[Array, "*time count size"]
    log_weights: Float[Array, "*time count"]

    @property
    def weights(self) -> Float[Array, "*time count"]:
        """Weights that sum to one."""
        return jax.nn.softmax(self.log_weights, axis=-1)

    @property
    def mean(self) -> Float[Array, "*time size"]:
        """Weighted mean of each coordinate."""
        return self.average(self.particles)

    @property
    def deviation(self) -> Float[Array, "*time size"]:
        """Standard deviation of each coordinate; slightly above zero, where the square root has no derivative."""
        variance = self.average(jnp.square(self.particles - self.mean[..., None, :]))
        return jnp.sqrt(variance + 1e-8)

    def average(self, values: Float[Array, "*time count numbers"]) -> Float[Array, "*time numbers"]:
        """Weighted mean of values that belong to each particle."""
        return (self.weights[..., None] * values).sum(-2)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*time size"]:
        """One particle of each belief, with the probability of its weight."""
        chosen: Int[Array, "*time"] = jax.random.categorical(key, self.log_weights)
        return jnp.take_along_axis(self.particles, chosen[..., None, None], axis=-2)[..., 0, :]


@record
class FeatureDensity:
    """A normal density times the exponential of hidden features, known up to its scale.

        p(z) ∝ N(z; mean, 1 / precision) · exp(Σ_j heights_j tanh(directions_j · z + offsets_j))

    `mean`, `precision` `[*time, size]`, with independent coordinates; `heights` `[*time, features]`, in nats; `directions`
    `[features, size]` and `offsets` `[features]` are the same at all times. The log density is a network with one hidden
    layer, so with enough features it can have any shape, also several modes. A product of such densities adds their heights,
    their precisions, and their precisions times means.
    """

    mean: Float[Array, "*time size"]
    precision: Float[Array, "*time size"]
    heights: Float[Array, "*time features"]
    directions: Float[Array, "features size"]
    offsets: Float[Array, " features"]

    def curvature(self) -> Float[Array, "*time size"]:
        """A diagonal matrix that bounds the second derivative of the features' sum everywhere (Gershgorin's circles)."""
        size = jnp.abs(self.directions)
        return LARGEST_CURVATURE * jnp.abs(self.heights) @ (size * size.sum(-1, keepdims=True))

    def refined(self, noise: Float[Array, "moves count size"], *, rate: float = 0.5) -> ParticleBelief:
        """Weighted particles, drawn from the normal part and moved by Langevin steps while the features are faded in.

            log w ← log w + (β' − β) Σ_j heights_j features_j(z)
            z ← z + (1 − √(1 − rate)) D ∇log p_β'(z) + √(rate D) noise

        β rises evenly from 0 to 1. D = 1 / (precision + β' curvature) is so small that without noise no move decreases p_β',
        for any heights. Without features every move preserves the normal distribution exactly, and the weights are equal.

        Args:
          noise: standard normal numbers; the first of `moves` places the particles, so there are `moves - 1` refinements.
            Given the noise, particles are a smooth function of the density.
          rate: of a step, above 0 and at most 1; at 1 the new place does not depend on the old one.
        Source: annealed importance sampling (Neal 2001) with preconditioned Langevin moves. Changed: there is no
          acceptance step, so the weights have an error where a move does not preserve p_β. There is no error where p_β is
          normal with variance D.
        """
        shape, (moves, _, _) = (*self.mean.shape[:-1], *noise.shape[1:]), noise.shape
        noise = jnp.broadcast_to(noise.reshape(moves, *(1,) * (len(shape) - 2), *shape[-2:]), (moves, *shape))
        mean, precision, heights = self.mean[..., None, :], self.precision[..., None, :], self.heights[..., None, :]
        curvature = self.curvature()[..., None, :]
        z, log_weights = mean + noise[0] / jnp.sqrt(precision), jnp.zeros(shape[:-1])
        for move in range(1, moves):
            share = move / (moves - 1)
            features = hidden_features(z, self.directions, self.offsets)
            log_weights += (heights * features).sum(-1) / (moves - 1)
            slope = precision * (mean - z) + share * ((heights * (1 - jnp.square(features))) @ self.directions)
            reach = 1 / (precision + share * curvature)
            z = z + (1 - (1 - rate) ** 0.5) * reach * slope + jnp.sqrt(rate * reach) * noise[move]
        return ParticleBelief(particles=z, log_weights=log_weights)

    @classmethod
    def from_evidence(
        cls,
        precision: Float[Array, "*time size"],
        weighted: Float[Array, "*time size"],
        heights: Float[Array, "*time features"],
        *,
        directions: Float[Array, "features size"],
        offsets: Float[Array, " features"],
    ) -> Self:
        """The standard normal times other densities, from the sums of their precisions, precisions times means, and heights."""
        total = 1 + precision
        return cls(mean=weighted / total, precision=total, heights=heights, directions=directions, offsets=offsets)


def hidden_features(
    z: Float[Array, "*time size"], directions: Float[Array, "features size"], offsets: Float[Array, " features"]
) -> Float[Array, "*time features"]:
    """tanh(directions · z + offsets)."""
    projected = z @ directions.T
    return jnp.tanh(projected + offsets.reshape((1,) * (projected.ndim - 1) + (-1,)))


def even_noise(moves: int, count: int, size: int, *, seed: int = 0) -> Float[Array, "moves count size"]:
    """Fixed standard normal numbers with mean 0 and standard deviation 1 over the particles of every move."""
    drawn = np.random.default_rng(seed).standard_normal((moves, count, size))
    spread = drawn.std(axis=1, keepdims=True)
    return jnp.asarray((drawn - drawn.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0), jnp.float32)
