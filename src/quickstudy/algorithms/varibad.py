"""VariBAD: act on a belief about the task, and on how certain the belief is (Zintgraf et al. 2020).

A recurrent encoder turns experience into a belief, a normal distribution over an embedding m of the task. It is trained to
predict: m, drawn from the belief after any number of steps, must explain the rewards (and the successors) of the whole
lifetime, past and future, while a penalty keeps the changes of beliefs small,

    max  E_t E_{m ~ q_t} Σ_s [ log p(r_s | o_s, a_s, o'_s, m) + log p(o'_s | o_s, a_s, m) ]  −  w Σ_t KL(q_t ‖ q_{t−1})

    s: all steps of the lifetime      t: some of them, drawn anew for every gradient step      q_{−1}: the standard normal

and the policy, which reads the observation and the belief's mean and log variance, is trained as RL²'s is. So VariBAD is RL²
whose memory learns what to keep from prediction, and not from reward alone. The belief can be inspected.

Changed from the paper: the encoder learns from the lifetimes of the present update, not from older ones too; both losses are
steps of one optimiser, which moves the encoder by the prediction loss alone unless `policy_moves_encoder` is set; the
decoders' likelihoods are normal, with rewards in units of their running size and a deviation of `reward_deviation` of it.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from quickstudy.algorithms.drawing import drawn, drawn_along
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, Params, lifetime_ppo
from quickstudy.networks.actor_critic import ActorCritic
from quickstudy.networks.layers import Dense
from quickstudy.networks.memory_network import MemoryNetworkConfig, first_statistics
from quickstudy.networks.normalisation import see
from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.settings import check_above_zero, check_at_least
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeliefConfig:
    """Settings of the belief, and of the prediction that it learns from."""

    embedding_size: int = 5
    """Size of the task embedding."""
    decodes: Literal["rewards", "observations", "both"] = "rewards"
    """What must be predicted (Zintgraf et al. 2020, section 3.2: rewards where tasks differ in them alone)."""
    decoder_size: int = 64
    """Width of the decoders' hidden layers."""
    decoded_beliefs: int = 8
    """Beliefs of each lifetime that a gradient step decodes. Each of them predicts all steps of the lifetime."""
    divergence_from: Literal["previous", "prior"] = "previous"
    """What a belief is kept close to: the previous belief, or the standard normal (section 3.3 and appendix of the paper)."""
    divergence_weight: float = 0.01
    """Weight w of the divergence."""
    reward_deviation: float = 0.5
    """Standard deviation of the decoder's normal distribution over rewards, in units of their running size."""
    evidence_weight: float = 1.0
    """Weight of the prediction loss per step; the policy loss has weight 1."""
    policy_moves_encoder: bool = False
    """Let the gradient of the policy's loss pass into the encoder."""

    def __post_init__(self) -> None:
        check_above_zero(self, "embedding_size", "decoder_size", "decoded_beliefs", "reward_deviation", "evidence_weight")
        check_at_least(self, 0, "divergence_weight")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariBADConfig:
    """Settings of VariBAD."""

    network: MemoryNetworkConfig = MemoryNetworkConfig()
    belief: BeliefConfig = BeliefConfig()
    ppo: LifetimePPOConfig = LifetimePPOConfig()


class Decoder(eqx.Module):
    """Predicts numbers of a step from an embedding: two layers; the first has one share for the embedding, one for the step."""

    from_embedding: Dense
    from_step: Dense
    inner: Dense
    out: Dense

    def __init__(self, embedding: int, step: int, hidden: int, outputs: int, *, key: PRNGKeyArray):
        """The prediction starts close to zero."""
        keys = jax.random.split(key, 4)
        self.from_embedding = Dense(embedding, hidden, gain=1.0, key=keys[0])
        self.from_step = Dense(step, hidden, gain=1.0, key=keys[1])
        self.inner = Dense(hidden, hidden, gain=2.0**0.5, key=keys[2])
        self.out = Dense(hidden, outputs, gain=0.1, key=keys[3])

    def __call__(
        self, embedding: Float[Array, "moments lifetimes size"], step: Float[Array, "T lifetimes numbers"]
    ) -> Float[Array, "moments T lifetimes outputs"]:
        """Every step, predicted from the embedding of every decoded slot."""
        hidden = jax.nn.relu(self.from_embedding(embedding)[:, None] + self.from_step(step)[None])
        return self.out(jax.nn.relu(self.inner(hidden)))


class BeliefNetwork(eqx.Module):
    """The trained weights: an actor-critic whose heads read the belief, the belief's own head, and the decoders."""

    actor_critic: ActorCritic
    belief: Dense
    rewards: Decoder
    observations: Decoder

    def __init__(self, spec: Spec, config: VariBADConfig, *, key: PRNGKeyArray):
        """The belief starts close to the standard normal."""
        keys = jax.random.split(jax.random.fold_in(key, 1), 4)
        size, width = config.belief.embedding_size, config.belief.decoder_size
        observation, action = flat_size(spec.observation_space), flat_size(spec.action_space)
        self.actor_critic = ActorCritic(spec, config.network, memory_size=2 * size, key=key)
        self.belief = Dense(self.actor_critic.core.size(spec), 2 * size, gain=0.1, key=keys[0])
        self.rewards = Decoder(size, 2 * observation + action, width, 1, key=keys[2])
        self.observations = Decoder(size, observation + action, width, observation, key=keys[3])


def varibad(spec: Spec, config: VariBADConfig = VariBADConfig()) -> MetaAlgorithm:
    """VariBAD for tasks of this spec.

    Args:
      spec: any observations, any actions; the decoders read and predict them flat.
      config: its settings.
    """
    agent = varibad_agent(spec, config)

    def auxiliary_loss(
        params: Params, memory: PyTree, decisions: Decision, lifetimes: Transition, key: PRNGKeyArray
    ) -> dict[str, Array]:
        beliefs = beliefs_along(params, memory, decisions, lifetimes, spec)
        return prediction_loss(params, beliefs, lifetimes, key, spec=spec, config=config.belief)

    return lifetime_ppo("varibad", spec, config, agent, ppo=config.ppo, auxiliary_loss=auxiliary_loss)


def varibad_agent(spec: Spec, config: VariBADConfig) -> Agent:
    """The agent alone: memory is the encoder's hidden state, and the belief is read off it."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=BeliefNetwork(spec, config, key=key), statistics=first_statistics(spec, config.network))

    def begin(params: Params, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.actor_critic.core.initial(spec)

    def decide(params: Params, read: Array, seen: Array) -> dict[str, PyTree]:
        """Policy, value and belief, at one step or many."""
        network, belief = params.network.actor_critic, belief_of(params, read)
        used = belief if config.belief.policy_moves_encoder else jax.lax.stop_gradient(belief)
        features = network.features(used.mean, used.log_variance, seen)
        return network.heads(features, params.statistics, spec) | {"belief": belief}

    def act(params: Params, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        network = params.network.actor_critic
        seen = network.encoder(params.statistics, observation, spec)
        return drawn(decide(params, network.core.read(memory, seen), seen), key)

    def adapt(params: Params, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.actor_critic.take_in(params.statistics, memory, experience, spec)

    def unroll(params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[PyTree, Decision]:
        memory, read, seen = params.network.actor_critic.run(params.statistics, lifetimes, spec)
        return memory, drawn_along(decide(params, read, seen), key, spec)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt).with_fast_unroll(unroll)


def belief_of(params: Params, read: Float[Array, "*time read"]) -> LatentBelief:
    """The belief over the task, from what was read of the memory, once or many times."""
    return LatentBelief.from_parameters(params.network.belief(read))


def beliefs_along(params: Params, memory: PyTree, decisions: Decision, lifetimes: Transition, spec: Spec) -> LatentBelief:
    """The beliefs before the first step of lifetimes and after each `[T + 1, lifetimes]`.

    Args:
      params: of the agent.
      memory: after the last step, as `unroll` gives it.
      decisions: at every step, as `unroll` gives them.
      lifetimes: `[T, lifetimes]`.
      spec: of the tasks.
    """
    network = params.network.actor_critic
    after_last = network.encoder(params.statistics, lifetimes.outcome.observation[-1], spec)
    last = belief_of(params, network.core.read(memory, after_last))
    return jax.tree.map(lambda every, end: jnp.concatenate([every, end[None]]), decisions.extras["belief"], last)


def prediction_loss(
    params: Params, beliefs: LatentBelief, lifetimes: Transition, key: PRNGKeyArray, *, spec: Spec, config: BeliefConfig
) -> dict[str, Array]:
    """The losses of the decoders and the divergence of the beliefs, each in nats per step and multiplied by its weight.

    Args:
      params: of the agent.
      beliefs: before the first step and after each `[T + 1, lifetimes]`.
      lifetimes: `[T, lifetimes]`.
      key: draws the moments and the embeddings.
    """
    network, valid = params.network, lifetimes.valid
    key_moment, key_embedding = jax.random.split(key)
    moments = jax.random.randint(key_moment, (config.decoded_beliefs,), 0, len(valid) + 1)
    embedding = jax.tree.map(lambda leaf: leaf[moments], beliefs).sample(key_embedding)
    seen, following = (
        see(params.statistics, lifetimes.observation, spec),
        see(params.statistics, lifetimes.outcome.observation, spec),
    )
    done = encode(lifetimes.decision.action, spec.action_space)
    steps = jnp.maximum(valid.sum(), 1).astype(jnp.float32)
    per_step = lambda wrong: jnp.where(valid[None], wrong, 0.0).sum() / (steps * config.decoded_beliefs)  # noqa: E731
    parts = {}
    if config.decodes != "observations":
        reward = lifetimes.outcome.reward / params.statistics.scale(params.statistics.reward)
        predicted = network.rewards(embedding, jnp.concatenate([seen, done, following], -1))[..., 0]
        parts["reward_loss"] = per_step(0.5 * jnp.square((predicted - reward[None]) / config.reward_deviation))
    if config.decodes != "rewards":
        predicted = network.observations(embedding, jnp.concatenate([seen, done], -1))
        parts["observation_loss"] = per_step(_surprisal(predicted, following, spec))
    before = jax.tree.map(lambda leaf: leaf[:-1], beliefs)
    reference = before if config.divergence_from == "previous" else LatentBelief.standard(before)
    moved = jnp.where(valid, jax.tree.map(lambda leaf: leaf[1:], beliefs).divergence(reference), 0.0).sum()
    first = jax.tree.map(lambda leaf: leaf[0], beliefs)
    moved += first.divergence(LatentBelief.standard(first)).sum()
    parts["divergence"] = config.divergence_weight * moved / steps
    return {name: config.evidence_weight * part for name, part in parts.items()}


def _surprisal(predicted: Float[Array, "*shape size"], came: Float[Array, "*time size"], spec: Spec) -> Float[Array, "*shape"]:
    """Nats: of a categorical distribution over Discrete observations, of a unit normal one (up to a constant) over others."""
    if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
        return -(jax.nn.log_softmax(predicted) * came[None]).sum(-1)
    return 0.5 * jnp.square(predicted - came[None]).sum(-1)
