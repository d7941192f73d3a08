"""What all networks with a memory begin with: an encoder and a core.

    seen = encoder(observation)      read = core.read(state, seen)

`actor_critic.py` and `action_scores.py` decide from `read` and `seen`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.networks.associative import Associative, AssociativeConfig
from quickstudy.networks.attention import Attention, AttentionConfig
from quickstudy.networks.core import Core, CoreInputs
from quickstudy.networks.encoders import Encoder, Flat, encoder_for, statistics_for
from quickstudy.networks.normalisation import ObservationScale, Statistics
from quickstudy.networks.recurrent import GRU, LSTM, Linear
from quickstudy.networks.reward_change import RewardChangeCore
from quickstudy.protocol.action_spaces import is_choice
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.settings import check_above_zero, check_at_least, check_sizes
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryNetworkConfig:
    """Architecture of a network with a memory."""

    cell: Literal["gru", "lstm", "linear", "associative", "attention"] | None = None
    """The core that holds the memory. `associative` is a table that is addressed by the observation.
    If not given: `associative` in `rl2` where observations and actions are Discrete, else `gru`."""
    hidden_size: int = 64
    """Size of the hidden state, and of the layer that actor and critic share."""
    input_layer: int = 0
    """Units of a layer before the `linear` core, if it is the one; 0 for none.
    It helps if products must be counted, such as action times context times reward."""
    associative: AssociativeConfig = AssociativeConfig()
    attention: AttentionConfig = AttentionConfig()
    scores_alike: bool | None = None
    """Score all Discrete actions with one small network. If not given: only if the core stores each action separately."""
    score_size: int = 32
    """Units of the layers that score an action."""
    names_actions: bool | None = None
    """The network that scores actions also reads the index of the action. Its weights then fit one number of actions only.
    If not given: only if an episode has more than one step."""
    reward_change: bool | None = None
    """The core and the heads also read the change of the reward since the previous step.
    If not given: only if actions are numbers, not choices among ids, because rewards are mostly dense there."""
    image_channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the three convolutions, where observations are images."""
    reads_allowed: bool = True
    """The network reads which actions are allowed, if the tasks define that. Forbidden actions are never chosen either way.
    Turn it off if the allowed actions change at every step and do not depend on the task: then learning is faster."""
    observation_scale: ObservationScale = "seen"
    """`seen`: a Box observation is whitened by what meta-training has seen; `bounds`: by its bounds, as in earlier versions."""

    def __post_init__(self) -> None:
        check_above_zero(self, "hidden_size", "score_size")
        check_at_least(self, 0, "input_layer")
        check_sizes(self, "image_channels")

    def reads_changes(self, spec: Spec) -> bool:
        """Whether the change of the reward is read: as it was set, or as suits the actions."""
        if self.reward_change is not None:
            return self.reward_change
        return not is_choice(spec.action_space)


class MemoryNetwork(eqx.Module):
    """An encoder and a core, which every network here begins with."""

    encoder: Encoder
    core: Core

    def __init__(self, spec: Spec, config: MemoryNetworkConfig, *, key_encoder: PRNGKeyArray, key_core: PRNGKeyArray):
        """The encoder and the core that the configuration names."""
        self.encoder = encoder_for(
            spec,
            size=config.hidden_size,
            image_channels=config.image_channels,
            allowed=config.reads_allowed,
            key=key_encoder,
        )
        changes = config.reads_changes(spec)
        core = core_for(spec, config, seen=self.encoder.size, rewards=1 + changes, key=key_core)
        self.core = RewardChangeCore(core=core) if changes else core

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
        state, read = self.core.run(self.core.initial(spec, *lifetimes.valid.shape[1:]), inputs, seen, lifetimes.valid)
        return state, read, seen

    def inputs(self, statistics: Statistics, experience: Transition, seen: Array, following: Array, spec: Spec) -> CoreInputs:
        """What the core takes in of each step: observation, action, reward, successor, end of an episode.

        Args:
          statistics: running sizes.
          experience: `[T, *lifetimes]`.
          seen: encoded observations.
          following: encoded successors.
          spec: of the tasks.
        """
        reward = experience.outcome.reward[..., None]
        if statistics.change is None:
            rewards = reward / statistics.scale(statistics.reward)
        else:
            rewards = jnp.concatenate([statistics.whiten_reward(reward), statistics.reward_in_changes(reward)], axis=-1)
        return CoreInputs(
            observation=seen,
            action=encode(experience.decision.action, spec.action_space),
            successor=following,
            reward=rewards,
            boundary=experience.boundary[..., None].astype(jnp.float32),
        )


def core_for(spec: Spec, config: MemoryNetworkConfig, *, seen: int, rewards: int, key: PRNGKeyArray) -> Core:
    """The core that a configuration names.

    Args:
      spec: of the tasks.
      config: the architecture.
      seen: numbers in an encoded observation.
      rewards: numbers that a reward is read as.
      key: of the first weights.
    """
    if config.cell == "associative":
        return Associative(spec, config.associative, seen=seen, rewards=rewards, key=key)
    inputs, size = 2 * seen + flat_size(spec.action_space) + rewards + 1, config.hidden_size
    if config.cell == "attention":
        return Attention(spec, config.attention, inputs=inputs, seen=seen, rewards=rewards, size=size, key=key)
    linear = functools.partial(Linear, layer=config.input_layer)
    recurrent: dict[str, Callable[..., Core]] = {"gru": GRU, "lstm": LSTM, "linear": linear}
    return recurrent[config.cell or "gru"](inputs, size, key=key)


def first_statistics(spec: Spec, config: MemoryNetworkConfig) -> Statistics:
    """Running statistics before there is data, of what this network reads."""
    changes = config.reads_changes(spec)
    return statistics_for(spec.observation_space, changes=changes, scaled_by=config.observation_scale)
