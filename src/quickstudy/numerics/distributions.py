"""Distributions over actions as plain trees, so that `vmap` and `scan` leave no stale batch shape.

Each offers `sample(key)`, `mode()`, `log_probability(action)` and `entropy()`, natural logarithms throughout.
"""

import dataclasses
import math
from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.protocol.records import record
from quickstudy.protocol.spaces import ActionSpace, flat_size

_FORBIDDEN = -1e9
"""Logit of a forbidden action. It is finite, so that entropy and gradients are."""
_LOG_TWO_PI = math.log(2 * math.pi)


@record
class Categorical:
    """A choice among n actions; `logits` `[n]` need not be normalised, action 0 is numbered `start` in the space."""

    logits: Float[Array, "*time n"]
    start: int = dataclasses.field(default=0, metadata={"static": True})

    @classmethod
    def from_parameters(cls, parameters: Float[Array, "*time n"], space: gymnasium.spaces.Discrete) -> Self:
        """From n numbers of a network."""
        return cls(logits=jax.nn.log_softmax(parameters), start=int(space.start))

    def sample(self, key: PRNGKeyArray) -> Array:
        """One action, int32 `[]`."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32) + self.start

    def mode(self) -> Array:
        """The likeliest action; the first of equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32) + self.start

    def only(self, allowed: Bool[Array, "*time n"]) -> Self:
        """The choice among the allowed actions; among all where none is."""
        return dataclasses.replace(self, logits=jax.nn.log_softmax(jnp.where(allowed, self.logits, _FORBIDDEN)))

    def log_probability(self, action: Array) -> Array:
        """Log-probability of an action."""
        # A masked sum, not a gather: its gradient needs no scatter.
        chosen = jax.nn.one_hot(action - self.start, self.logits.shape[-1])
        return (chosen * self.logits).sum(-1)

    def entropy(self) -> Array:
        """−Σ p log p, in nats."""
        return -(jnp.exp(self.logits) * self.logits).sum(-1)


@record
class TruncatedNormal:
    """Independent normals cut to a box: `mean` within the bounds, `deviation` > 0 before the cut, action units.

    Samples lie in the action space, so the recorded action and its density agree. Those of a clipped normal do not.
    """

    mean: Float[Array, "*time n"]
    deviation: Float[Array, "*time n"]
    low: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    high: tuple[float, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def from_parameters(cls, parameters: Float[Array, "*time m"], space: gymnasium.spaces.Box) -> Self:
        """From 2n numbers of a network: n for the mean, n for the deviation (half the half-width at zero)."""
        low, high = tuple(space.low.tolist()), tuple(space.high.tolist())
        centre, half = (
            _beside(parameters, (space.low + space.high) / 2),
            _beside(parameters, (space.high - space.low) / 2),
        )
        location, scale = jnp.split(parameters, 2, axis=-1)
        # softplus(-0.433) = 0.5: the deviation starts near half the half-width, and never falls below a hundredth of it.
        deviation = half * (0.01 + jax.nn.softplus(scale - 0.433))
        return cls(mean=centre + half * jnp.tanh(location), deviation=deviation, low=low, high=high)

    def _cut(self) -> tuple[Array, Array, Array]:
        """Both bounds in deviations, and the logarithm of the mass between them."""
        alpha = (_beside(self.mean, self.low) - self.mean) / self.deviation
        beta = (_beside(self.mean, self.high) - self.mean) / self.deviation
        # The mean lies within the bounds, so the mass is never small enough for the difference to cancel.
        return alpha, beta, jnp.log(ndtr(beta) - ndtr(alpha))

    def sample(self, key: PRNGKeyArray) -> Array:
        """One action, float32 `[n]`."""
        alpha, beta, _ = self._cut()
        uniform = jax.random.uniform(key, self.mean.shape, minval=1e-6, maxval=1.0 - 1e-6)
        quantile = ndtr(alpha) + uniform * (ndtr(beta) - ndtr(alpha))
        return jnp.clip(
            self.mean + self.deviation * ndtri(quantile),
            _beside(self.mean, self.low),
            _beside(self.mean, self.high),
        )

    def mode(self) -> Array:
        """The mean before the cut, which is the likeliest action."""
        return self.mean

    def log_probability(self, action: Array) -> Array:
        """Log-density of an action, summed over its n numbers."""
        _, _, log_mass = self._cut()
        z = (action - self.mean) / self.deviation
        return (-0.5 * z**2 - jnp.log(self.deviation) - 0.5 * _LOG_TWO_PI - log_mass).sum(-1)

    def entropy(self) -> Array:
        """Differential entropy in nats, summed over the n numbers."""
        alpha, beta, log_mass = self._cut()
        density_alpha, density_beta = (jnp.exp(-0.5 * (z**2 + _LOG_TWO_PI) - log_mass) for z in (alpha, beta))
        lost = (alpha * density_alpha - beta * density_beta) / 2
        return (0.5 * (1 + _LOG_TWO_PI) + jnp.log(self.deviation) + log_mass + lost).sum(-1)


Policy = Categorical | TruncatedNormal


def policy_parameters(space: ActionSpace) -> int:
    """Number of network outputs that parametrise a policy over this action space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    return 2 * flat_size(space)


def policy_over(parameters: Float[Array, "*time m"], space: ActionSpace) -> Policy:
    """The policy over an action space that these numbers of a network stand for."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return Categorical.from_parameters(parameters, space)
    return TruncatedNormal.from_parameters(parameters, space)


def _beside(values: Array, constants: object) -> Array:
    """Constants `[n]` as an array that broadcasts against values `[..., n]` without promoting ranks."""
    return jnp.asarray(constants, jnp.float32).reshape((1,) * (values.ndim - 1) + (-1,))
