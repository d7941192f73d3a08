"""Distributions over actions as plain trees, so that `vmap` and `scan` leave no stale batch shape.

Each offers `sample(key)`, `mode()`, `log_probability(action)` and `entropy()`, natural logarithms throughout. `certain()` is
the policy that does not draw.
"""

import dataclasses
import math
from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.numerics.independent_choices import SHARPER, Categoricals, Joint, choice_counts
from quickstudy.protocol.action_spaces import whole_numbers
from quickstudy.protocol.records import record
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, Composite, flat_size, parts_of

_FORBIDDEN = -1e9
"""Logit of a forbidden action. It is finite, so that entropy and gradients are."""
_LEAST_APART = 0.01 * SHARPER
"""Difference of logits above which a choice among allowed actions was made certain."""
_NARROW = 1e-4
"""Deviation of a number that is certain, as a part of the width of its bounds."""
_LOG_TWO_PI = math.log(2 * math.pi)


@record
class Categorical:
    """A choice among n actions; `logits` `[n]` are log-probabilities, and action 0 is numbered `start` in the space."""

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

    def certain(self) -> Self:
        """The choice that takes the likeliest action, or the likeliest of the others if that one is forbidden later."""
        return dataclasses.replace(self, logits=jax.nn.log_softmax(SHARPER * self.logits))

    def is_certain(self) -> Bool[Array, "*time"]:
        """Whether `certain` has made this choice: its logits are then farther apart than those of any network.

        It is not told of a choice whose actions were equally likely within a hundredth of a nat.
        """
        apart = self.logits.max(-1, keepdims=True) - self.logits
        return ((apart > _LEAST_APART) & (apart < -_FORBIDDEN / 2)).any(-1)

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

    Samples lie in the action space, so the recorded action and its density agree. Those of a clipped normal do not. A number
    whose bounds are equal is constant, and has no part in densities and entropies.

    Args:
      mean, deviation: `[n]`.
      low, high: bounds of each number.
      shape: of one action, which holds n numbers; `(n,)` if not given.
      whole: the type of an action of whole numbers, as in `int32`: what is drawn is rounded to them. Bounds are then half a
        number beyond the smallest and the largest. They must be so far apart that the density at a whole number is its
        probability.
    """

    mean: Float[Array, "*time n"]
    deviation: Float[Array, "*time n"]
    low: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    high: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    shape: tuple[int, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    whole: str | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def from_parameters(cls, parameters: Float[Array, "*time m"], space: gymnasium.spaces.Box) -> Self:
        """From 2n numbers of a network: n for the mean, n for the deviation (half the half-width at zero)."""
        low, high, whole = space.low.ravel(), space.high.ravel(), None
        if whole_numbers(space):
            still, whole = low == high, np.dtype(jax.dtypes.canonicalize_dtype(space.dtype)).name
            low, high = (bound.astype(np.float64) + np.where(still, 0, by) for bound, by in ((low, -0.5), (high, 0.5)))
        width = np.where(low == high, 2, high - low)  # any positive one where a number cannot move
        centre, half = (_beside(parameters, (low + high) / 2), _beside(parameters, width / 2))
        location, scale = jnp.split(parameters, 2, axis=-1)
        # softplus(-0.433) = 0.5: the deviation starts near half the half-width, and never falls below a hundredth of it.
        deviation = half * (0.01 + jax.nn.softplus(scale - 0.433))
        mean = _where_free(low, high, centre + half * jnp.tanh(location), centre)
        shape = None if len(space.shape) == 1 else tuple(space.shape)
        return cls(mean=mean, deviation=deviation, low=tuple(low.tolist()), high=tuple(high.tolist()), shape=shape, whole=whole)

    def _cut(self) -> tuple[Array, Array, Array]:
        """Both bounds in deviations, and the logarithm of the mass between them."""
        room = np.where(np.equal(self.low, self.high), 1.0, 0.0)  # for a number that cannot move, so that all is finite
        alpha = (_beside(self.mean, np.asarray(self.low) - room) - self.mean) / self.deviation
        beta = (_beside(self.mean, np.asarray(self.high) + room) - self.mean) / self.deviation
        # The mean lies within the bounds, so the mass is never small enough for the difference to cancel.
        return alpha, beta, jnp.log(ndtr(beta) - ndtr(alpha))

    def _action(self, numbers: Float[Array, "*time n"]) -> Array:
        """Numbers within the bounds as actions."""
        if self.whole is not None:
            smallest, largest = _beside(numbers, np.ceil(self.low)), _beside(numbers, np.floor(self.high))
            numbers = jnp.clip(jnp.round(numbers), smallest, largest).astype(self.whole)
        return numbers if self.shape is None else numbers.reshape(*numbers.shape[:-1], *self.shape)

    def sample(self, key: PRNGKeyArray) -> Array:
        """One action, in the shape of the space; float32, or whole numbers of its type."""
        alpha, beta, _ = self._cut()
        uniform = jax.random.uniform(key, self.mean.shape, minval=1e-6, maxval=1.0 - 1e-6)
        quantile = ndtr(alpha) + uniform * (ndtr(beta) - ndtr(alpha))
        drawn = jnp.clip(
            self.mean + self.deviation * ndtri(quantile),
            _beside(self.mean, self.low),
            _beside(self.mean, self.high),
        )
        return self._action(drawn)

    def mode(self) -> Array:
        """The mean before the cut, which is the likeliest action."""
        return self._action(self.mean)

    def certain(self) -> Self:
        """The distribution that takes the mean of this one, with a deviation of a ten-thousandth of the width of the bounds."""
        alpha, beta, log_mass = self._cut()
        below, above = (jnp.exp(-0.5 * (z**2 + _LOG_TWO_PI) - log_mass) for z in (alpha, beta))
        mean = self.mean + self.deviation * (below - above)
        low, high = (_beside(mean, bound) for bound in (self.low, self.high))
        return dataclasses.replace(
            self,
            mean=_where_free(self.low, self.high, jnp.clip(mean, low, high), self.mean),
            deviation=_where_free(self.low, self.high, jnp.broadcast_to(_NARROW * (high - low), mean.shape), self.deviation),
        )

    def log_probability(self, action: Array) -> Array:
        """Log-density of an action, summed over its n numbers."""
        _, _, log_mass = self._cut()
        numbers = action if self.shape is None else action.reshape(self.mean.shape)
        z = (numbers.astype(jnp.float32) - self.mean) / self.deviation
        return self._total(-0.5 * z**2 - jnp.log(self.deviation) - 0.5 * _LOG_TWO_PI - log_mass)

    def entropy(self) -> Array:
        """Differential entropy in nats, summed over the n numbers."""
        alpha, beta, log_mass = self._cut()
        density_alpha, density_beta = (jnp.exp(-0.5 * (z**2 + _LOG_TWO_PI) - log_mass) for z in (alpha, beta))
        lost = (alpha * density_alpha - beta * density_beta) / 2
        return self._total(0.5 * (1 + _LOG_TWO_PI) + jnp.log(self.deviation) + log_mass + lost)

    def _total(self, each: Float[Array, "*time n"]) -> Float[Array, "*time"]:
        """The sum over the numbers that can move."""
        return _where_free(self.low, self.high, each, jnp.zeros_like(each)).sum(-1)


Policy = Categorical | Categoricals | TruncatedNormal | Joint


def policy_parameters(space: ActionSpace) -> int:
    """Number of network outputs that parametrise a policy over this action space."""
    if isinstance(space, COMPOSITE):
        return sum(policy_parameters(part) for part in parts_of(space))
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if _chooses_ids(space):
        return sum(choice_counts(space))
    return 2 * flat_size(space)


def deviation_parameters(space: ActionSpace) -> int:
    """How many of these outputs, the last ones, give standard deviations, which may be the same at every observation."""
    if isinstance(space, COMPOSITE):
        return sum(deviation_parameters(part) for part in parts_of(space))
    return 0 if isinstance(space, gymnasium.spaces.Discrete) or _chooses_ids(space) else flat_size(space)


def policy_over(parameters: Float[Array, "*time m"], space: ActionSpace) -> Policy:
    """The policy over an action space that these outputs of a network parametrise."""
    if isinstance(space, COMPOSITE):
        return _joint_policy(parameters, space)
    if isinstance(space, gymnasium.spaces.Discrete):
        return Categorical.from_parameters(parameters, space)
    if _chooses_ids(space):
        return Categoricals.from_parameters(parameters, space)
    if whole_numbers(space) == "ordered":
        return Categoricals.around_means(parameters, space)  # type: ignore[arg-type]
    return TruncatedNormal.from_parameters(parameters, space)  # type: ignore[arg-type]


def _chooses_ids(space: ActionSpace) -> bool:
    return not isinstance(space, gymnasium.spaces.Box) or whole_numbers(space) == "ids"


def _joint_policy(parameters: Float[Array, "*time m"], space: Composite) -> Joint:
    """The numbers of all parts come first, then the deviations of all parts, so that deviations stand at the end here too."""
    parts = parts_of(space)
    deviations = [deviation_parameters(part) for part in parts]
    others = [policy_parameters(part) - count for part, count in zip(parts, deviations, strict=True)]
    cuts = np.cumsum([*others, *deviations])[:-1].tolist()
    pieces = jnp.split(parameters, cuts, axis=-1)
    joined = [jnp.concatenate([pieces[i], pieces[i + len(parts)]], axis=-1) for i in range(len(parts))]
    return Joint.of([policy_over(numbers, part) for numbers, part in zip(joined, parts, strict=True)], space)


def _where_free(low: object, high: object, free: Float[Array, "*time n"], still: Array) -> Float[Array, "*time n"]:
    """One array where bounds leave room, the other where they are equal."""
    moves = np.asarray(low) != np.asarray(high)
    return free if moves.all() else jnp.where(_beside(free, moves) > 0, free, still)


def _beside(values: Array, constants: object) -> Array:
    """Constants `[n]` as an array that broadcasts against values `[..., n]` without promoting ranks."""
    return jnp.asarray(constants, jnp.float32).reshape((1,) * (values.ndim - 1) + (-1,))
