"""RL²: a recurrent network whose hidden state learns the task at hand (Duan et al. 2016; Wang et al. 2016).

The agent's memory is the hidden state of a recurrent core. After each step the core takes in the whole transition

    h_{t+1} = core(h_t, [observation_t, action_t, reward_t, successor_t, boundary_t])        h_0 = 0

and the head decides from memory and the present observation: π(a | h_t, observation_t). Nothing resets h within a lifetime,
so what is learned in one episode is there in the next. Meta-training maximises the return of the lifetime, discounted across
the ends of episodes, by a clipped surrogate (Schulman et al. 2017) with generalised advantages (Schulman et al. 2016);
gradients flow through the whole lifetime.

Changed from the papers:

- The transition enters the core at once, with its true successor, rather than in halves at two steps. At every decision the
  agent has read all that RL² reads, and the last observation of an episode as well; each decision costs one core step,
  in training, in a loop and in service.
- Clipped surrogate rather than TRPO.
- Where actions are continuous, core and heads read the last reward around its mean and its change (`comparing.py`).
- With a `teacher`, the policy first follows what the teacher would have done in the lifetimes that the policy itself lives
  (Ross et al. 2011), and reinforcement takes over as the weight of imitation falls.
- Rewards and values are scaled by their running size, unbounded observations by their running mean and deviation, so that
  tasks in any unit train alike. The statistics are part of the parameters and stand still while lifetimes are lived.

To expect: `quickstudy demo`, two and a half minutes of training on two cores, gave a return of 77.95 [77.43, 78.46] on 4,000
held-out bandits of five arms and 100 pulls (on the same ones: Gittins index 79.03, Thompson sampling 75.41). What longer
training gives, and on other tasks, is in docs/results.md.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.algorithms.lifetime_ppo import LifetimesConfig, Params, drawn, drawn_along, trained_on_lifetimes
from quickstudy.networks.encoders import Encoder, Flat, encoder_for, statistics_for
from quickstudy.networks.layers import Dense
from quickstudy.networks.normalisation import Statistics
from quickstudy.networks.recurrent import Core, recurrent_core
from quickstudy.networks.reward_change import RewardChangeCore
from quickstudy.numerics.distributions import policy_over, policy_parameters
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import shift_right
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class RL2Config(LifetimesConfig):
    """Settings of RL²."""

    cell: Literal["gru", "lstm", "linear"] = "gru"
    """The recurrent core; `linear` learns sooner where much is to be counted (Markov decision processes, many arms)."""
    reward_change: bool | None = None
    """Core and heads also read by how much the reward is above that of the step before. If not given, where actions are
    continuous, for there rewards are mostly dense."""
    image_channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the three convolutions, where observations are images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.image_channels or min(self.image_channels) < 1:
            raise UsageError(f"image_channels must name channels, each above zero; came {self.image_channels}.")


class Network(eqx.Module):
    """The trained weights: an encoder, a recurrent core, one shared layer on memory and observation, two heads."""

    encoder: Encoder
    core: Core | RewardChangeCore
    shared: Dense
    policy: Dense
    value: Dense

    def __init__(self, spec: Spec, config: RL2Config, *, key: PRNGKeyArray):
        """The policy starts close to uniform, the value at zero."""
        keys = jax.random.split(key, 4)
        size, channels = config.hidden_size, config.image_channels
        self.encoder = encoder_for(spec, size=size, image_channels=channels, key=jax.random.fold_in(key, 2))
        observation, action = self.encoder.size, flat_size(spec.action_space)
        compares = reads_changes(spec, config)
        inputs = 2 * observation + action + 2 + compares
        core = recurrent_core(config.cell, inputs, config.hidden_size, key=keys[0])
        self.core = RewardChangeCore(core=core) if compares else core
        self.shared = Dense(memory_size(spec, config) + observation, config.hidden_size, gain=2.0**0.5, key=keys[1])
        self.policy = Dense(config.hidden_size, policy_parameters(spec.action_space), gain=0.01, key=keys[2])
        self.value = Dense(config.hidden_size, 1, gain=0.1, key=keys[3])


def reads_changes(spec: Spec, config: RL2Config) -> bool:
    """Whether the core is told how the reward has changed: as it was set, or as suits the actions."""
    if config.reward_change is not None:
        return config.reward_change
    return not isinstance(spec.action_space, gymnasium.spaces.Discrete)


def memory_size(spec: Spec, config: RL2Config) -> int:
    """How many numbers the heads read of the memory: the core's, and the last reward and its change where they are compared."""
    return config.hidden_size + 2 * reads_changes(spec, config)


def statistics_of(spec: Spec, config: RL2Config) -> Statistics:
    """Running statistics before there is data, of what is read of these tasks."""
    return statistics_for(spec.observation_space, changes=reads_changes(spec, config))


def rl2(spec: Spec, config: RL2Config = RL2Config()) -> MetaAlgorithm:
    """RL² for tasks of this spec.

    Args:
      spec: any observations, Discrete or bounded Box actions.
      config: its settings.
    """
    return trained_on_lifetimes("rl2", spec, config, rl2_agent(spec, config), recall)


def rl2_agent(spec: Spec, config: RL2Config) -> Agent:
    """The agent alone: memory is the hidden state of the core."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=Network(spec, config, key=key), statistics=statistics_of(spec, config))

    def begin(params: Params, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.core.initial()

    def act(params: Params, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        return drawn(decide(params, memory, look(params, observation, spec), spec), key)

    def adapt(params: Params, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.core.run(memory, take_in(params, experience, spec), experience.valid)[0]

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[PyTree, Decision]:
        memory, extras = recall(params, lifetime, spec)
        return memory, drawn_along(extras, key, spec)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, unroll=unroll)


def look(params: Params, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
    """An observation, or many, through the encoder."""
    return params.network.encoder(params.statistics, observation, spec)


def take_in(
    params: Params, lived: Transition, spec: Spec, *, seen: Array | None = None, following: Array | None = None
) -> Float[Array, "T *lifetimes inputs"]:
    """What the core reads of each step; `seen` and `following` if observations and successors were encoded before."""
    statistics, reward = params.statistics, lived.outcome.reward[..., None]
    seen = look(params, lived.observation, spec) if seen is None else seen
    following = look(params, lived.outcome.observation, spec) if following is None else following
    done = encode(lived.decision.action, spec.action_space)
    boundary = lived.boundary[..., None].astype(jnp.float32)
    if statistics.change is None:
        parts = [seen, done, reward / statistics.scale(statistics.reward), following, boundary]
    else:  # the order that `Comparing` wants
        parts = [seen, done, following, statistics.whiten_reward(reward), statistics.reward_in_changes(reward), boundary]
    return jnp.concatenate(parts, axis=-1)


def features(params: Params, memory: PyTree, seen: Array) -> Float[Array, "*time hidden"]:
    """What the heads read, from memory and what `look` made of the observation."""
    network = params.network
    return jax.nn.relu(network.shared(network.core.output(memory), seen))


def decide(params: Params, memory: PyTree, seen: Array, spec: Spec) -> dict[str, PyTree]:
    """Policy and value from memory and what is seen, one of each or many."""
    network, statistics = params.network, params.statistics
    shared = features(params, memory, seen)
    value = network.value(shared)[..., 0] * statistics.scale(statistics.value)
    return {"policy": policy_over(network.policy(shared), spec.action_space), "value": value}


def look_along(params: Params, lifetimes: Transition, spec: Spec) -> tuple[Array, Array]:
    """What is seen at every step of lifetimes `[T, ...]`, and after it.

    Where an encoder is trained, every observation is encoded once: what follows a step is seen at the next, but for the
    first of an episode.
    """
    following = look(params, lifetimes.outcome.observation, spec)
    if isinstance(params.network.encoder, Flat):
        return look(params, lifetimes.observation, spec), following
    first = look(params, lifetimes.observation[:: spec.horizon], spec)
    episodes = following.reshape(spec.episodes, spec.horizon, *following.shape[1:])
    return jnp.concatenate([first[:, None], episodes[:, :-1]], axis=1).reshape(following.shape), following


def recall(params: Params, lifetimes: Transition, spec: Spec) -> tuple[PyTree, dict[str, PyTree]]:
    """The memory at the end, and policy and value at every step, of one lifetime `[T]` or of many `[T, lifetimes]`."""
    begun = params.network.core.initial(*lifetimes.valid.shape[1:])
    seen, following = look_along(params, lifetimes, spec)
    read = take_in(params, lifetimes, spec, seen=seen, following=following)
    memory, after = params.network.core.run(begun, read, lifetimes.valid)
    return memory, decide(params, shift_right(begun, after), seen, spec)
