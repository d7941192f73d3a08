"""Numbers of an observation that are far out of scale are whitened; all others are read as they are declared.

Policies without memory read an observation by its bounds, or as it is where there are none. Their first weights, and rates of
inner steps, suit that. But bounds may be guesses, and numbers without bounds may be huge: a cue of ±1 under bounds of ±10,000
is invisible, and a position of 5,000 saturates every unit. So the first batch of meta-training decides, number by number:

    under bounds       whitened if the deviation is below 0.01, in units of half the distance of the bounds
    without bounds     whitened if the deviation or the size of the median is above 10
    else               read as before

Running statistics whiten as in networks with a memory (`normalisation.py`). Nothing here changes within a lifetime, and no
gradient reaches it.
"""

import dataclasses
from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.networks.normalisation import Statistics, least_deviation
from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.protocol.spaces import encode, flat_size, flattened

_LARGEST_IN_SCALE, _SMALLEST_IN_SCALE = 10.0, 0.01
_CUT = 1e6


@record
class Rescaling:
    """Running statistics of observations, and which numbers are whitened by them.

    `whitened` `[size]`: 1 where a number is whitened, 0 where it is read as it is declared.
    """

    statistics: Statistics
    whitened: Float[Array, " size"]

    @classmethod
    def of_nothing(cls, space: gymnasium.spaces.Box) -> Self:
        """Before there is data: every number is read as it is declared."""
        return cls(statistics=Statistics.of_nothing(flat_size(space)), whitened=jnp.zeros(flat_size(space)))

    def read(self, observation: Array, space: gymnasium.spaces.Box) -> Float[Array, "*time size"]:
        """An observation, or many, as policies read it."""
        known = jax.lax.stop_gradient(self)
        white = known.statistics.whiten(flattened(observation, space), least_deviation(space))
        declared = jnp.clip(encode(observation, space), -_CUT, _CUT)
        return jnp.where(known.whitened.reshape((1,) * (white.ndim - 1) + (-1,)) > 0, white, declared)

    def after(self, lifetimes: Transition, spec: Spec, *, axis: str | None = None) -> Self:
        """After another batch of lifetimes `[T, lifetimes]`; `axis`: that devices which share the batch are mapped over."""
        space, reward = spec.observation_space, lifetimes.outcome.reward
        assert isinstance(space, gymnasium.spaces.Box)
        seen = flattened(lifetimes.observation, space)
        fresh = self.statistics.of_batch(reward, reward, seen, lifetimes.valid, axis=axis)
        begins = self.statistics.weight == 0
        whitened = jnp.where(begins, _out_of_scale(fresh, space).astype(jnp.float32), self.whitened)
        return dataclasses.replace(self, statistics=self.statistics.after(fresh), whitened=whitened)


def _out_of_scale(batch: Statistics, space: gymnasium.spaces.Box) -> Array:
    """Which numbers of a batch are far too large or too small in the unit that they are declared in."""
    assert batch.observation is not None
    assert batch.observation_square is not None
    assert batch.origin is not None
    median = encode(batch.origin.reshape(space.shape), space)
    deviation = jnp.sqrt(jnp.maximum(batch.observation_square - jnp.square(batch.observation), 0.0))
    large = (jnp.abs(median) > _LARGEST_IN_SCALE) | (deviation > _LARGEST_IN_SCALE)
    if not space.is_bounded():
        return large
    half = jnp.asarray(space.high / 2 - space.low / 2, jnp.float32).reshape(-1)
    return (deviation > 0) & (deviation < _SMALLEST_IN_SCALE * half)
