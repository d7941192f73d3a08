"""Normal beliefs with independent coordinates, used by recognition models and for mean rewards."""

from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.records import record

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -10.0, 4.0


@record
class LatentBelief:
    """A normal distribution over a task embedding, or other numbers: `mean` and `log_variance`, each `[*time, size]`."""

    mean: Float[Array, "*time size"]
    log_variance: Float[Array, "*time size"]

    @property
    def deviation(self) -> Float[Array, "*time size"]:
        """Standard deviation of each coordinate."""
        return jnp.exp(0.5 * self.log_variance)

    @classmethod
    def from_parameters(cls, parameters: Float[Array, "*time numbers"]) -> Self:
        """From 2 k numbers of a network: k means, and k log variances, which are clipped to [-10, 4]."""
        mean, log_variance = jnp.split(parameters, 2, axis=-1)
        return cls(mean=mean, log_variance=jnp.clip(log_variance, LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE))

    @classmethod
    def from_evidence(cls, precision: Float[Array, "*time size"], weighted: Float[Array, "*time size"]) -> Self:
        """The product of the standard normal with other normals: from the sums of their precisions, and means times these."""
        total = 1.0 + precision
        return cls(mean=weighted / total, log_variance=-jnp.log(total))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*time size"]:
        """One embedding for each belief; differentiable in mean and variance."""
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape)

    def divergence(self, other: "LatentBelief") -> Float[Array, "*time"]:
        """KL(self || other) in nats.

        ½ Σ_j ( σ_j² / ς_j² + (μ_j − ν_j)² / ς_j² − 1 + log ς_j² − log σ_j² )
        """
        gap = self.log_variance - other.log_variance
        apart = jnp.square(self.mean - other.mean) * jnp.exp(-other.log_variance)
        return 0.5 * (jnp.exp(gap) + apart - 1 - gap).sum(-1)

    @classmethod
    def standard(cls, like: "LatentBelief") -> Self:
        """The standard normal distribution, with the same axes."""
        return cls(mean=jnp.zeros_like(like.mean), log_variance=jnp.zeros_like(like.log_variance))
