"""Gaussian beliefs about a hidden vector after linear observations of it with Gaussian noise.

    prior        v ~ N(μ, Σ)
    observed     y = H v + noise,  noise ~ N(0, R)

    S = H Σ Hᵀ + R      G = Σ Hᵀ S⁻¹      μ' = μ + G (y - H μ)      Σ' = (I - G H) Σ (I - G H)ᵀ + G R Gᵀ

This is exact in any order of observations. All functions are for one unbatched belief about n numbers, in the precision of
their arguments.

Sources: Bishop 2006, section 2.3.3; the covariance in the form of Joseph, which stays symmetric and positive under rounding.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.numerics.linear_algebra import cholesky, solve, solve_lower
from quickstudy.protocol.records import record


@record
class GaussianBelief:
    """`mean` `[n]`; `covariance` `[n, n]`, symmetric and positive; in the unit of the vector, and its square."""

    mean: Float[Array, " n"]
    covariance: Float[Array, "n n"]

    @property
    def deviation(self) -> Float[Array, " n"]:
        """Marginal standard deviation of each number."""
        return jnp.sqrt(jnp.diagonal(self.covariance))

    def sample(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        """One sample `[n]`; the covariance must be positive."""
        return self.mean + cholesky(self.covariance) @ jax.random.normal(key, self.mean.shape, self.mean.dtype)


def isotropic(size: int, deviation: float) -> GaussianBelief:
    """A prior of independent numbers with mean 0: `size` of them, each with this standard deviation."""
    return GaussianBelief(mean=jnp.zeros(size), covariance=deviation**2 * jnp.eye(size))


def independent(one: GaussianBelief, other: GaussianBelief) -> GaussianBelief:
    """The belief about the concatenation of two independent vectors."""
    between = jnp.zeros((one.mean.size, other.mean.size), one.mean.dtype)
    covariance = jnp.block([[one.covariance, between], [between.T, other.covariance]])
    return GaussianBelief(mean=jnp.concatenate([one.mean, other.mean]), covariance=covariance)


def marginal(belief: GaussianBelief, numbers: slice) -> GaussianBelief:
    """The marginal belief about some of the numbers."""
    return GaussianBelief(mean=belief.mean[numbers], covariance=belief.covariance[numbers, numbers])


def condition(
    belief: GaussianBelief, observed: Float[Array, " k"], *, matrix: Float[Array, "k n"], noise: Float[Array, "k k"]
) -> GaussianBelief:
    """The belief after a linear observation, y = H v + noise.

    Args:
      belief: before it.
      observed: y.
      matrix: H.
      noise: covariance R of the noise; it may be 0 where H Σ Hᵀ is positive.
    """
    projected = matrix @ belief.covariance
    gain = solve(projected @ matrix.T + noise, projected).T
    left = jnp.eye(belief.mean.size, dtype=belief.mean.dtype) - gain @ matrix
    return GaussianBelief(
        mean=belief.mean + gain @ (observed - matrix @ belief.mean),
        covariance=left @ belief.covariance @ left.T + gain @ noise @ gain.T,
    )


def moved(
    belief: GaussianBelief, *, matrix: Float[Array, "k n"], offset: Float[Array, " k"], noise: Float[Array, "k k"]
) -> GaussianBelief:
    """The belief about F v + offset + noise, with the covariance of the noise."""
    return GaussianBelief(mean=matrix @ belief.mean + offset, covariance=matrix @ belief.covariance @ matrix.T + noise)


def squared_distance(belief: GaussianBelief, value: Float[Array, " n"]) -> Float[Array, ""]:
    """(v - μ)ᵀ Σ⁻¹ (v - μ): the squared distance of a value from the mean, in standard deviations."""
    return jnp.square(_whitened(belief, value - belief.mean)).sum()


def divergence(belief: GaussianBelief, reference: GaussianBelief) -> Float[Array, ""]:
    """Kullback and Leibler's KL(belief || reference), in nats: the information of the belief relative to the reference.

    KL = 1/2 (tr(Σᵣ⁻¹ Σ) + (μ - μᵣ)ᵀ Σᵣ⁻¹ (μ - μᵣ) - n + ln |Σᵣ| - ln |Σ|)
    """
    spread = jnp.square(_whitened(reference, cholesky(belief.covariance))).sum()
    apart = squared_distance(reference, belief.mean)
    return 0.5 * (spread + apart - belief.mean.size + _log_determinant(reference) - _log_determinant(belief))


def credibility(belief: GaussianBelief, value: Float[Array, " n"]) -> Float[Array, ""]:
    """Mass, in [0, 1), of the smallest region of the belief with the value on its edge: a quantile of chi-square.

    For a correct belief it is uniform over hidden vectors: the region of mass c covers the truth, credibility <= c, with
    frequency c.
    """
    return gammainc(jnp.asarray(belief.mean.size / 2, belief.mean.dtype), squared_distance(belief, value) / 2)


def _whitened(belief: GaussianBelief, vectors: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
    """L⁻¹ v with Σ = L Lᵀ."""
    return solve_lower(cholesky(belief.covariance), vectors)


def _log_determinant(belief: GaussianBelief) -> Float[Array, ""]:
    """ln |Σ|."""
    return 2 * jnp.log(jnp.diagonal(cholesky(belief.covariance))).sum()
