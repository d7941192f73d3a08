"""The network of agents that are trained on whole lifetimes: an encoder, a core, one shared layer, a policy and a value head.

seen = encoder(observation)      read = core.read(state, seen)      shared = relu(W [read, seen] + b)
policy = π(shared)               value = v(shared)
"""

import dataclasses
from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.networks.encoders import Encoder, Flat, encoder_for, statistics_for
from quickstudy.networks.layers import Dense
from quickstudy.networks.normalisation import Statistics
from quickstudy.networks.recurrent import Core, recurrent_core
from quickstudy.networks.reward_change import RewardChangeCore
from quickstudy.numerics.distributions import policy_over, policy_parameters
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.settings import check_above_zero
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorCriticConfig:
    """Architecture of a network with a recurrent core."""

    cell: Literal["gru", "lstm", "linear"] = "gru"
    """The recurrent core; `linear` learns sooner where much is to be counted (Markov decision processes, many arms)."""
    hidden_size: int = 64
    """Numbers in the hidden state, and units of the shared layer."""
    reward_change: bool | None = None
    """The core and the heads also read the change of the reward since the step before. If not given: where actions are
    continuous, since rewards are mostly dense there."""
    image_channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the three convolutions, where observations are images."""

    def __post_init__(self) -> None:
        check_above_zero(self, "hidden_size")
        if not self.image_channels or min(self.image_channels) < 1:
            raise UsageError(f"image_channels must name channels, each above zero; came {self.image_channels}.")

    def reads_changes(self, spec: Spec) -> bool:
        """Whether the change of the reward is read: as it was set, or as suits the actions."""
        if self.reward_change is not None:
            return self.reward_change
        return not isinstance(spec.action_space, gymnasium.spaces.Discrete)


class ActorCritic(eqx.Module):
    """The trained weights."""

    encoder: Encoder
    core: Core
    shared: Dense
    policy: Dense
    value: Dense

    def __init__(self, spec: Spec, config: ActorCriticConfig, *, memory_size: int | None = None, key: PRNGKeyArray):
        """The policy starts close to uniform, the value at zero.

        Args:
          spec: of the tasks.
          config: the architecture.
          memory_size: numbers about the past that the shared layer reads; those of the core if not given.
          key: of the first weights.
        """
        keys = jax.random.split(key, 4)
        size, channels = config.hidden_size, config.image_channels
        self.encoder = encoder_for(spec, size=size, image_channels=channels, key=jax.random.fold_in(key, 2))
        changes = config.reads_changes(spec)
        inputs = 2 * self.encoder.size + flat_size(spec.action_space) + 2 + changes
        core = recurrent_core(config.cell, inputs, size, key=keys[0])
        self.core = RewardChangeCore(core=core) if changes else core
        read = self.core.size if memory_size is None else memory_size
        self.shared = Dense(read + self.encoder.size, size, gain=2.0**0.5, key=keys[1])
        self.policy = Dense(size, policy_parameters(spec.action_space), gain=0.01, key=keys[2])
        self.value = Dense(size, 1, gain=0.1, key=keys[3])

    def features(self, *parts: Float[Array, "*time _"]) -> Float[Array, "*time hidden"]:
        """What the heads read: the shared layer on what was read of the memory and on the encoded observation."""
        return jax.nn.relu(self.shared(*parts))

    def heads(self, features: Float[Array, "*time hidden"], statistics: Statistics, spec: Spec) -> dict[str, PyTree]:
        """`policy`, a distribution over actions `[*time]`, and `value` `[*time]`, in reward units."""
        return {
            "policy": policy_over(self.policy(features), spec.action_space),
            "value": self.value(features)[..., 0] * statistics.scale(statistics.value),
        }

    def seen_along(
        self, statistics: Statistics, lifetimes: Transition, spec: Spec
    ) -> tuple[Float[Array, "T *lifetimes size"], Float[Array, "T *lifetimes size"]]:
        """The encoded observation before every step of whole lifetimes, and after it.

        Where an encoder is trained, every observation is encoded once: the successor of a step is the observation of the
        next, except at the first step of an episode.
        """
        following = self.encoder(statistics, lifetimes.outcome.observation, spec)
        if isinstance(self.encoder, Flat):
            return self.encoder(statistics, lifetimes.observation, spec), following
        first = self.encoder(statistics, lifetimes.observation[:: spec.horizon], spec)
        episodes = following.reshape(spec.episodes, spec.horizon, *following.shape[1:])
        return jnp.concatenate([first[:, None], episodes[:, :-1]], axis=1).reshape(following.shape), following

    def take_in(self, statistics: Statistics, state: PyTree, experience: Transition, spec: Spec) -> PyTree:
        """The core's state after the steps of experience `[T, *lifetimes]`."""
        observations = (experience.observation, experience.outcome.observation)
        seen, following = (self.encoder(statistics, observation, spec) for observation in observations)
        return self.core.take_in(state, self.inputs(statistics, experience, seen, following, spec), experience.valid)

    def run(
        self, statistics: Statistics, lifetimes: Transition, spec: Spec
    ) -> tuple[PyTree, Float[Array, "T *lifetimes read"], Float[Array, "T *lifetimes size"]]:
        """The core's state after whole lifetimes; what was read of it, and the encoded observation, at every step."""
        seen, following = self.seen_along(statistics, lifetimes, spec)
        inputs = self.inputs(statistics, lifetimes, seen, following, spec)
        state, read = self.core.run(self.core.initial(*lifetimes.valid.shape[1:]), inputs, seen, lifetimes.valid)
        return state, read, seen

    def inputs(
        self, statistics: Statistics, experience: Transition, seen: Array, following: Array, spec: Spec
    ) -> Float[Array, "T *lifetimes inputs"]:
        """What the core takes in of each step: observation, action, reward, successor, end of an episode.

        Args:
          statistics: running sizes.
          experience: `[T, *lifetimes]`.
          seen: encoded observations.
          following: encoded successors.
          spec: of the tasks.
        """
        reward, boundary = experience.outcome.reward[..., None], experience.boundary[..., None].astype(jnp.float32)
        action = encode(experience.decision.action, spec.action_space)
        if statistics.change is None:
            parts = [seen, action, reward / statistics.scale(statistics.reward), following, boundary]
        else:  # the order that `RewardChangeCore` needs
            rewards = [statistics.whiten_reward(reward), statistics.reward_in_changes(reward)]
            parts = [seen, action, following, *rewards, boundary]
        return jnp.concatenate(parts, axis=-1)


def first_statistics(spec: Spec, config: ActorCriticConfig) -> Statistics:
    """Running statistics before there is data, of what this network reads."""
    return statistics_for(spec.observation_space, changes=config.reads_changes(spec))
