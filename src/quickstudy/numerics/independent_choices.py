"""Distributions over actions that are made of several numbers or parts, each chosen independently of the others.

They are plain trees and offer what the distributions in `distributions.py` offer: `sample(key)`, `mode()`,
`log_probability(action)` and `entropy()`, natural logarithms throughout.
"""

import dataclasses
from typing import Any, Self

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.protocol.action_spaces import values_in
from quickstudy.protocol.records import record
from quickstudy.protocol.spaces import Composite, assembled

_IMPOSSIBLE = -1e9
"""Logit of a value that a choice does not have. It is finite, so that entropy and gradients are."""
SHARPER = 1e6
"""Factor of the logits of a choice that is certain. A forbidden action stays below all others."""


@record
class Categoricals:
    """Independent choices among ids, one for each number of an action.

        log π(a) = Σ_i log π_i(a_i)        entropy = Σ_i entropy_i

    Choices with fewer values than the largest have logits of `_IMPOSSIBLE` behind their own.

    Args:
      logits: `[choices, most]`, normalised along the last axis.
      start: the lowest value of each choice.
      shape: of one action, which holds `choices` numbers.
      kind: the type of an action's numbers, as in `int32`.
    """

    logits: Float[Array, "*time choices most"]
    start: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    kind: str = dataclasses.field(metadata={"static": True})

    @classmethod
    def from_parameters(cls, parameters: Float[Array, "*time n"], space: Any) -> Self:
        """From one number of a network for each value of each choice.

        Args:
          parameters: `choice_counts(space)` numbers for each choice, one choice after another.
          space: a MultiDiscrete, a MultiBinary, or a Box of whole numbers.
        """
        counts = choice_counts(space)
        most = max(counts)
        if min(counts) == most:
            padded = parameters.reshape(*parameters.shape[:-1], len(counts), most)
        else:
            each = jnp.split(parameters, np.cumsum(counts)[:-1].tolist(), axis=-1)
            leading = [(0, 0)] * (parameters.ndim - 1)
            fill = lambda x: jnp.pad(x, [*leading, (0, most - x.shape[-1])], constant_values=_IMPOSSIBLE)  # noqa: E731
            padded = jnp.stack([fill(x) for x in each], axis=-2)
        return cls._of(padded, space)

    @classmethod
    def around_means(cls, parameters: Float[Array, "*time m"], space: gymnasium.spaces.Box) -> Self:
        """Whole numbers whose probabilities follow a normal distribution, from 2n numbers of a network.

            π_i(k) ∝ exp(−(k − μ_i)² / 2 σ_i²)        k = low_i ... high_i

        The first n numbers give the means, the others the deviations, in the way of `TruncatedNormal`: the range of a number
        is as wide as it has values.
        """
        counts = np.asarray(values_in(space))
        beside = lambda numbers: jnp.asarray(numbers, jnp.float32).reshape((1,) * (parameters.ndim - 1) + (-1,))  # noqa: E731
        location, scale = jnp.split(parameters, 2, axis=-1)
        half = beside(counts / 2)
        # Counted from the lowest value.
        mean = beside((counts - 1) / 2) + half * jnp.tanh(location)
        deviation = half * (0.01 + jax.nn.softplus(scale - 0.433))
        values = np.arange(counts.max())
        units = (beside(values).reshape((1,) * parameters.ndim + (-1,)) - mean[..., None]) / deviation[..., None]
        exists = (values[None] < counts[:, None]).reshape((1,) * (parameters.ndim - 1) + (len(counts), -1))
        return cls._of(jnp.where(jnp.asarray(exists), -0.5 * units**2, _IMPOSSIBLE), space)

    @classmethod
    def _of(cls, logits: Float[Array, "*time choices most"], space: Any) -> Self:
        start = space.low if isinstance(space, gymnasium.spaces.Box) else getattr(space, "start", np.zeros(space.shape))
        return cls(
            logits=jax.nn.log_softmax(logits),
            start=tuple(int(x) for x in np.asarray(start).ravel()),
            shape=tuple(space.shape),
            kind=np.dtype(jax.dtypes.canonicalize_dtype(space.dtype)).name,
        )

    def _action(self, numbers: Array) -> Array:
        """Numbers `[*time, choices]`, counted from zero, as actions."""
        start = jnp.asarray(self.start, jnp.int32).reshape((1,) * (numbers.ndim - 1) + (-1,))
        return (numbers.astype(jnp.int32) + start).reshape(*numbers.shape[:-1], *self.shape).astype(self.kind)

    def sample(self, key: PRNGKeyArray) -> Array:
        """One action, in the shape and type of the space."""
        return self._action(jax.random.categorical(key, self.logits))

    def mode(self) -> Array:
        """The likeliest action; the first of equals."""
        return self._action(jnp.argmax(self.logits, axis=-1))

    def certain(self) -> Self:
        """The choices that take the likeliest action."""
        return dataclasses.replace(self, logits=jax.nn.log_softmax(SHARPER * self.logits))

    def log_probability(self, action: Array) -> Array:
        """Log-probability of an action, summed over its choices."""
        numbers = action.astype(jnp.int32).reshape(*self.logits.shape[:-1])
        numbers -= jnp.asarray(self.start, jnp.int32).reshape((1,) * (numbers.ndim - 1) + (-1,))
        # A masked sum, not a gather: its gradient needs no scatter.
        return (jax.nn.one_hot(numbers, self.logits.shape[-1]) * self.logits).sum((-2, -1))

    def entropy(self) -> Array:
        """−Σ p log p, in nats, summed over the choices."""
        return -(jnp.exp(self.logits) * self.logits).sum((-2, -1))


@record
class Joint:
    """Independent parts, each with a distribution of its own: a Tuple or Dict of actions.

    `parts`: a tuple or dict of distributions, built like the actions.
    """

    parts: Any

    @classmethod
    def of(cls, parts: list[Any], space: Composite) -> Self:
        """From the distributions of the parts, in the order of the space."""
        return cls(parts=assembled(parts, space))

    def _each(self, *others: Any) -> list[tuple]:
        """The distribution of every part, with what belongs to the part of other tuples or dicts."""
        names = list(self.parts) if isinstance(self.parts, dict) else range(len(self.parts))
        return [(self.parts[name], *(other[name] for other in others)) for name in names]

    def _built(self, parts: list[Any]) -> Any:
        return dict(zip(self.parts, parts, strict=True)) if isinstance(self.parts, dict) else tuple(parts)

    def sample(self, key: PRNGKeyArray) -> PyTree:
        """One action: a tuple or dict."""
        keys = jax.random.split(key, len(self.parts))
        return self._built([part.sample(key) for (part,), key in zip(self._each(), keys, strict=True)])

    def mode(self) -> PyTree:
        """The likeliest action of each part."""
        return self._built([part.mode() for (part,) in self._each()])

    def certain(self) -> Self:
        """Each part as it is certain."""
        return dataclasses.replace(self, parts=self._built([part.certain() for (part,) in self._each()]))

    def log_probability(self, action: PyTree) -> Array:
        """Log-probability of an action, or its density, summed over its parts."""
        logs = [part.log_probability(chosen) for part, chosen in self._each(action)]
        return sum(logs[1:], start=logs[0])

    def entropy(self) -> Array:
        """In nats, summed over the parts."""
        entropies = [part.entropy() for (part,) in self._each()]
        return sum(entropies[1:], start=entropies[0])


def choice_counts(space: Any) -> tuple[int, ...]:
    """How many values each choice has, of a MultiDiscrete, a MultiBinary or a Box of whole numbers."""
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return tuple(space.nvec.ravel().tolist())
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return (2,) * int(np.prod(space.shape))
    return values_in(space)
