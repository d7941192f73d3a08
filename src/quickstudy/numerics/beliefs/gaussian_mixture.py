"""Beliefs that are mixtures of normal distributions, after linear observations with Gaussian noise.

    prior        v ~ Σ_k w_k N(μ_k, s_k² I)
    observed     y_i = x_i · v + noise,  noise ~ N(0, σ²)        P = Σ x xᵀ / σ²,  η = Σ x y / σ²

    P_k = P + I / s_k²      η_k = η + μ_k / s_k²      m_k = P_k⁻¹ η_k
    log w_k' = log w_k + (η_k · m_k - |μ_k|² / s_k²) / 2 - log |P_k| / 2 - n log s_k + constant

The posterior is a mixture again, with means m_k and covariances P_k⁻¹. This is exact, in any order of the observations.

Source: Bishop 2006, sections 2.3.3 and 3.5 (the evidence of one component). Changed: nothing.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.numerics.linear_algebra import cholesky, solve
from quickstudy.protocol.records import record


@record
class GaussianMixtureBelief:
    """`probability` `[k]` of the components, which sum to one; `means` `[k, n]` and `covariances` `[k, n, n]` of each."""

    probability: Float[Array, " k"]
    means: Float[Array, "k n"]
    covariances: Float[Array, "k n n"]

    @property
    def mean(self) -> Float[Array, " n"]:
        """Mean of the mixture."""
        return self.probability @ self.means

    @property
    def deviation(self) -> Float[Array, " n"]:
        """Standard deviation of each number, within and between components."""
        within = jnp.diagonal(self.covariances, axis1=1, axis2=2)
        return jnp.sqrt(self.probability @ (within + jnp.square(self.means - self.mean[None])))

    def sample(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        """A component by its probability, and then a sample of it."""
        key_component, key_normal = jax.random.split(key)
        chosen = jax.random.categorical(key_component, jnp.log(self.probability))
        normal = jax.random.normal(key_normal, self.means.shape[1:])
        return self.means[chosen] + cholesky(self.covariances[chosen]) @ normal


def mixture_posterior(
    means: Float[Array, "k n"],
    deviations: Float[Array, " k"],
    weights: Float[Array, " k"],
    *,
    precision: Float[Array, "n n"],
    weighted: Float[Array, " n"],
) -> GaussianMixtureBelief:
    """The posterior of a mixture of isotropic normal distributions.

    Args:
      means: `[k, n]`, μ_k.
      deviations: `[k]`, s_k, above 0, in the unit of the means.
      weights: `[k]`, prior probabilities, which sum to one.
      precision: `[n, n]`, Σ x xᵀ / σ² of the observations.
      weighted: `[n]`, Σ x y / σ².
    """

    def component(mean: Array, deviation: Array, weight: Array) -> tuple[Array, Array, Array]:
        whole = precision + jnp.eye(len(mean)) / deviation**2
        shifted = weighted + mean / deviation**2
        covariance = solve(whole, jnp.eye(len(mean)))
        posterior = covariance @ shifted
        fit = (shifted @ posterior - mean @ mean / deviation**2) / 2
        log_root = jnp.log(jnp.diagonal(cholesky(whole))).sum()
        return jnp.log(weight) + fit - log_root - len(mean) * jnp.log(deviation), posterior, covariance

    evidence, posteriors, covariances = jax.vmap(component)(means, deviations, weights)
    return GaussianMixtureBelief(probability=jax.nn.softmax(evidence), means=posteriors, covariances=covariances)
