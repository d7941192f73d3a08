"""Binomial and Poisson counts from one uniform number each, by the inverse distribution function.

For means up to 12, terms of the distribution are summed. Beyond, the quantile of a normal distribution is corrected for
skewness and kurtosis (Cornish and Fisher 1938) and rounded. The total variation distance from the distribution is at most
0.0005.

The samplers of `jax.random` are exact everywhere, take up to a minute to compile in a rollout and are several times slower.
Counts from one uniform number also rise with the mean, so that contenders with common random numbers differ little.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

_SMALL = 12.0
"""Means up to which the distribution function is summed term by term."""
_TERMS = 40
_UP_TO = np.triu(np.ones((_TERMS, _TERMS), np.float32))
"""Sums along an axis as a product, which compiles and runs faster than a loop."""


def binomial_quantile(
    uniform: Float[Array, "*shape"], trials: Float[Array, "*shape"], probability: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """The number of successes below which a part `uniform` of all draws lies: a draw, where `uniform` is one from U(0, 1).

    Args:
      uniform: in (0, 1).
      trials: whole numbers, 0 or more.
      probability: of a success, in (0, 1/2] for the accuracy above.
    """
    mean, odds = trials * probability, probability / (1 - probability)
    numbers = _numbers(mean)
    ratios = jnp.maximum(trials[..., None] - numbers, 1e-30) / (numbers + 1) * odds[..., None]
    few = _by_terms(uniform, trials * jnp.log1p(-probability), jnp.log(ratios))
    spread = probability * (1 - probability)
    many = _by_moments(uniform, mean, mean * (1 - probability), skewed=1 - 2 * probability, tailed=1 - 6 * spread)
    return jnp.clip(jnp.where(mean <= _SMALL, few, many), 0.0, trials)


def poisson_quantile(uniform: Float[Array, "*shape"], mean: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The count below which a part `uniform` of all draws lies: a draw, where `uniform` is one from U(0, 1).

    Args:
      uniform: in (0, 1).
      mean: 0 or more.
    """
    few = _by_terms(uniform, -mean, jnp.log(jnp.maximum(mean, 1e-30)[..., None] / (_numbers(mean) + 1)))
    one = jnp.ones_like(mean)
    return jnp.maximum(jnp.where(mean <= _SMALL, few, _by_moments(uniform, mean, mean, skewed=one, tailed=one)), 0.0)


def _numbers(like: Array) -> Float[np.ndarray, "*ones terms"]:
    """0, 1, 2, ... along a new last axis of an array's shape."""
    return np.arange(_TERMS, dtype=np.float32).reshape(*[1] * like.ndim, _TERMS)


def _by_terms(uniform: Array, log_first: Array, log_ratios: Float[Array, "*shape terms"]) -> Array:
    """How many values of the distribution function are below `uniform`, from ratios of each term to the one before."""
    log_terms = log_first[..., None] + jnp.concatenate([jnp.zeros_like(log_first)[..., None], log_ratios @ _UP_TO], axis=-1)
    below = jnp.exp(log_terms[..., :-1]) @ _UP_TO
    return (uniform[..., None] > below).astype(jnp.float32).sum(-1)


def _by_moments(uniform: Array, mean: Array, variance: Array, *, skewed: Array, tailed: Array) -> Array:
    """The corrected normal quantile, rounded; skewness and kurtosis are `skewed` / σ and `tailed` / σ²."""
    scale = jnp.sqrt(jnp.maximum(variance - 1 / 12, 1e-3))  # rounding adds a variance of 1/12
    skew, tails = skewed / scale, tailed / jnp.square(scale)
    z = ndtri(jnp.clip(uniform, 1e-7, 1 - 1e-7))
    z = z + skew * (z * z - 1) / 6 + tails * (z**3 - 3 * z) / 24 - jnp.square(skew) * (2 * z**3 - 5 * z) / 36
    return jnp.round(mean + scale * z)
