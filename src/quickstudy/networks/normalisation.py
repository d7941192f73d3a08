"""Running sizes of rewards, values and observations, so that tasks in any unit train alike.

They are written in meta-training only, once an update, and do not change within a lifetime. The values of a batch are first
clipped to the range of most of them (`numerics/bulk.py`), so that a glitch does not set the scale.
"""

import dataclasses
from typing import Any, Literal, Self

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quickstudy.numerics.bulk import bulk, cut_to_bulk
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.spaces import Space, encode, flattened

ObservationScale = Literal["seen", "bounds"]
"""What the numbers of a Box are measured by: by what was seen in meta-training, whatever the bounds are; or by the bounds where
there are any, as agents of earlier versions do."""

_MEMORY = 0.99
_LEAST_DEVIATION = 1e-4


@record
class Statistics:
    """Running sizes, exponentially averaged over updates; `weight` `[]` is the part of the average that is data so far.

    `reward`, `value`: mean squares, reward units squared. `reward_mean`, and `change`, the mean square of the difference of a
    reward to the one before it: None where they are not used. `observation`, `observation_square`: means `[size]`; None where
    observations are of a known size. `origin` `[size]`: what these means are taken from, the median of the first batch, so that
    small changes of a large number are not lost by rounding; None for zero. `scaled_by` is no array and never changes.
    """

    weight: Float[Array, ""]
    reward: Float[Array, ""]
    value: Float[Array, ""]
    observation: Float[Array, " size"] | None
    observation_square: Float[Array, " size"] | None
    reward_mean: Float[Array, ""] | None = None
    change: Float[Array, ""] | None = None
    origin: Float[Array, " size"] | None = None
    scaled_by: ObservationScale = dataclasses.field(default="bounds", metadata={"static": True})

    def scale(self, mean_square: Array) -> Array:
        """Root mean square; 1 before there is data."""
        return jnp.where(self.weight > 0, jnp.sqrt(mean_square / jnp.maximum(self.weight, 1e-8)) + 1e-6, 1.0)

    def whiten_reward(self, reward: Float[Array, "*time"]) -> Float[Array, "*time"]:
        """Rewards brought to mean 0 and deviation 1, as far as they are known."""
        assert self.reward_mean is not None
        mean = self.reward_mean / jnp.maximum(self.weight, 1e-8)
        # Where all rewards are equal, the variance that rounding leaves is no useful unit.
        variance = jnp.maximum(self.reward - mean * self.reward_mean, 1e-6 * self.reward)
        return (reward - mean) / self.scale(variance)

    def reward_in_changes(self, reward: Float[Array, "*time"]) -> Float[Array, "*time"]:
        """Rewards in units of their change from step to step. Where they do not change, the unit is not the rounding error."""
        assert self.change is not None
        return reward / jnp.maximum(self.scale(self.change), 1e-3 * self.scale(self.reward))

    def whiten(
        self, observation: Float[Array, "*time size"], least: Float[np.ndarray, " size"] | float = _LEAST_DEVIATION
    ) -> Float[Array, "*time size"]:
        """Observations brought to mean 0 and deviation 1, as far as they are known, and cut to ±10.

        They are returned unchanged where no sizes of observations are kept.

        Args:
          observation: flat.
          least: the deviation that a number has at least, so that rounding errors are not taken for a signal.
        """
        if self.observation is None or self.observation_square is None:
            return observation
        weight, axes = jnp.maximum(self.weight, 1e-8), (1,) * (observation.ndim - 1) + (-1,)
        mean = self.observation / weight
        variance = jnp.maximum(self.observation_square / weight - mean**2, jnp.square(jnp.asarray(least, jnp.float32)))
        deviation = jnp.where(self.weight > 0, jnp.sqrt(variance), 1.0)
        if self.origin is None:
            return jnp.clip((observation - mean.reshape(axes)) / deviation.reshape(axes), -10, 10)
        # Two subtractions in a row would be merged by the compiler where statistics are constants, as in an Actor. Then a small
        # mean would be rounded to the precision of a large origin.
        centred = (observation - self.origin.reshape(axes)) / deviation.reshape(axes)
        return jnp.clip(centred - (mean / deviation).reshape(axes), -10, 10)

    @classmethod
    def of_nothing(cls, size: int | None, *, changes: bool = False, scaled_by: ObservationScale = "seen") -> Self:
        """Before there is data.

        Args:
          size: numbers in an observation; None if no sizes of observations are kept.
          changes: whether how rewards change is read, too.
          scaled_by: what observations are measured by.
        """
        zero, zeros = jnp.zeros(()), None if size is None else jnp.zeros(size)
        known: dict = {"reward_mean": zero, "change": zero} if changes else {}
        if scaled_by == "seen":
            known["origin"] = zeros
        return cls(
            weight=zero, reward=zero, value=zero, observation=zeros, observation_square=zeros, scaled_by=scaled_by, **known
        )

    def of_batch(
        self,
        reward: Float[Array, "T lifetimes"],
        value: Float[Array, "T lifetimes"],
        observation: Float[Array, "T lifetimes size"] | None,
        valid: Bool[Array, "T lifetimes"],
        *,
        change: Float[Array, ""] | None = None,
        axis: str | None = None,
    ) -> Self:
        """Those of the steps that happened in one batch, at full weight, about the same origin.

        Args:
          reward: reward units.
          value: reward units.
          observation: flat, as `observed` gives it.
          valid: steps that happened.
          change: a mean square already.
          axis: that devices which share the batch are mapped over.
        """
        average = lambda tree: tree if axis is None else jax.lax.pmean(tree, axis)  # noqa: E731
        steps = valid.reshape(-1)
        usual = lambda x: usual_rewards(x.reshape(-1), steps).reshape(x.shape)  # noqa: E731
        means: dict[str, Any] = {"observation": None, "observation_square": None}
        origin = self.origin
        if observation is not None:
            rows = observation.reshape(-1, observation.shape[-1])
            if origin is not None:
                origin = jnp.where(self.weight > 0, origin, average(bulk(rows, steps)[0]))
                rows = rows - origin[None]
            rows = jnp.where(steps[:, None], cut_to_bulk(rows, steps), 0.0)
            count = jnp.maximum(valid.sum(), 1).astype(jnp.float32)
            means = {"observation": rows.sum(0) / count, "observation_square": (rows**2).sum(0) / count}
        fresh = dataclasses.replace(
            self,
            weight=jnp.ones(()),
            reward=masked_mean(jnp.square(usual(reward)), valid),
            value=masked_mean(jnp.square(usual(value)), valid),
            reward_mean=None if change is None else masked_mean(usual(reward), valid),
            change=change,
            **means,
        )
        return dataclasses.replace(average(fresh), origin=origin)

    def after(self, fresh: Self) -> Self:
        """Averaged with the sizes of another batch; each update keeps 99 % of the old weight."""
        averaged = jax.tree.map(lambda old, new: _MEMORY * old + (1 - _MEMORY) * new, self, fresh)
        return dataclasses.replace(averaged, origin=fresh.origin)


def usual_rewards(rewards: Float[Array, " steps"], valid: Bool[Array, " steps"]) -> Float[Array, " steps"]:
    """Rewards, or what is in their units, without what is absurdly large: a rare reward is often large on purpose."""
    return cut_to_bulk(rewards, valid, reach=1000.0)


def see(statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
    """An observation, or many, as networks read it: ids one-hot, the numbers of a Box whitened."""
    space = spec.observation_space
    if not isinstance(space, gymnasium.spaces.Box):
        return encode(observation, space)
    if statistics.scaled_by == "seen":
        return statistics.whiten(flattened(observation, space), least_deviation(space))
    flat = encode(observation, space)
    return flat if space.is_bounded() else statistics.whiten(flat)


def least_deviation(space: gymnasium.spaces.Box) -> Float[np.ndarray, " size"]:
    """The deviation that each number of a Box has at least: 1e-4, or less where the bounds say that it is small."""
    half = space.high.astype(np.float64).ravel() / 2 - space.low.astype(np.float64).ravel() / 2
    return np.clip(half, 1e-12, 1.0) * _LEAST_DEVIATION


def observed(observation: Array, space: Space, statistics: Statistics) -> Float[Array, "*time size"] | None:
    """What running statistics are kept of: the flat observation; None where none are kept."""
    if statistics.observation is None:
        return None
    return flattened(observation, space) if statistics.scaled_by == "seen" else encode(observation, space)
