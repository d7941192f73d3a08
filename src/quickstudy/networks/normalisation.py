"""Running sizes of rewards, values and observations, so that tasks in any unit train alike."""

from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.spaces import encode

_MEMORY = 0.99


@record
class Statistics:
    """Running sizes, exponentially averaged over updates; `weight` `[]` is the part of the average that is data so far.

    `reward`, `value`: mean squares, reward units squared. `reward_mean`, and `change`, the mean square of the difference of a
    reward to the one before it: None where they are not used. `observation`, `observation_square`: means `[size]`; None where
    observations are of a known size.
    """

    weight: Float[Array, ""]
    reward: Float[Array, ""]
    value: Float[Array, ""]
    observation: Float[Array, " size"] | None
    observation_square: Float[Array, " size"] | None
    reward_mean: Float[Array, ""] | None = None
    change: Float[Array, ""] | None = None

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

    def whiten(self, observation: Float[Array, "*time size"]) -> Float[Array, "*time size"]:
        """Observations brought to mean 0 and deviation 1, as far as they are known, and cut to ±10.

        They are returned unchanged where no sizes of observations are kept.
        """
        if self.observation is None or self.observation_square is None:
            return observation
        weight = jnp.maximum(self.weight, 1e-8)
        mean = self.observation / weight
        variance = jnp.maximum(self.observation_square / weight - mean**2, 1e-8)
        deviation = jnp.where(self.weight > 0, jnp.sqrt(variance), 1.0)
        shape = (1,) * (observation.ndim - 1) + (-1,)
        return jnp.clip((observation - mean.reshape(shape)) / deviation.reshape(shape), -10, 10)

    @classmethod
    def of_nothing(cls, size: int | None, *, changes: bool = False) -> Self:
        """Before there is data; `size`: numbers in an observation, None if no sizes of observations are kept."""
        zero, zeros = jnp.zeros(()), None if size is None else jnp.zeros(size)
        known: dict = {"reward_mean": zero, "change": zero} if changes else {}
        return cls(weight=zero, reward=zero, value=zero, observation=zeros, observation_square=zeros, **known)

    @classmethod
    def of_batch(
        cls,
        reward: Float[Array, "T lifetimes"],
        value: Float[Array, "T lifetimes"],
        observation: Float[Array, "T lifetimes size"] | None,
        valid: Bool[Array, "T lifetimes"],
        *,
        change: Float[Array, ""] | None = None,
    ) -> Self:
        """Of the steps that happened in one batch, at full weight; `change` is a mean square already."""
        seen, count = valid[..., None], jnp.maximum(valid.sum(), 1).astype(jnp.float32)
        mean = lambda x: None if x is None else jnp.where(seen, x, 0.0).sum((0, 1)) / count  # noqa: E731
        return cls(
            weight=jnp.ones(()),
            reward=masked_mean(jnp.square(reward), valid),
            value=masked_mean(jnp.square(value), valid),
            observation=mean(observation),
            observation_square=mean(None if observation is None else observation**2),
            reward_mean=None if change is None else masked_mean(reward, valid),
            change=change,
        )

    def after(self, fresh: Self) -> Self:
        """Averaged with the sizes of another batch; each update keeps 99 % of the old weight."""
        return jax.tree.map(lambda old, new: _MEMORY * old + (1 - _MEMORY) * new, self, fresh)


def see(statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
    """An observation, or many, as networks read it: encoded, and whitened where the space has no bounds."""
    flat = encode(observation, spec.observation_space)
    if isinstance(spec.observation_space, gymnasium.spaces.Box) and not spec.observation_space.is_bounded():
        return statistics.whiten(flat)
    return flat
