"""VariBAD: act on what is known of the task, and on how surely it is known (Zintgraf et al. 2020).

A recurrent encoder turns what was lived into a belief, a normal distribution over an embedding m of the task. It is trained to
foretell: m, drawn from the belief after any number of steps, must explain the rewards (and the successors) of the whole
lifetime, past and future, while beliefs move no farther than they must,

    max  E_t E_{m ~ q_t} Σ_s [ log p(r_s | o_s, a_s, o'_s, m) + log p(o'_s | o_s, a_s, m) ]  −  w Σ_t KL(q_t ‖ q_{t−1})

    s: all steps of the lifetime      t: some of them, drawn anew for every gradient step      q_{−1}: the standard normal

and the policy, which reads the observation and the belief's mean and log variance, is trained as RL²'s is. So this is RL² with
a memory that is told by prediction, not by reward alone, what to keep; and what it keeps can be looked into.

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
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.algorithms.lifetime_ppo import Params, drawn, drawn_along, trained_on_lifetimes
from quickstudy.algorithms.rl2 import Network, RL2Config, look, memory_size, statistics_of, take_in
from quickstudy.networks.layers import Dense
from quickstudy.networks.normalisation import see
from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.numerics.distributions import policy_over
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariBADConfig(RL2Config):
    """Settings of VariBAD: those of RL², and of its belief."""

    embedding_size: int = 5
    """Numbers in the task embedding."""
    decodes: Literal["rewards", "observations", "both"] = "rewards"
    """What must be foretold (Zintgraf et al. 2020, section 3.2: rewards where tasks differ in them alone)."""
    decoder_size: int = 64
    """Width of the decoders' hidden layers."""
    decoded_beliefs: int = 8
    """Moments of each lifetime whose beliefs are decoded, for every gradient step; all steps are foretold from each."""
    divergence_from: Literal["previous", "prior"] = "previous"
    """What a belief is kept close to: the one before it, or the standard normal (section 3.3 and appendix of the paper)."""
    divergence_weight: float = 0.01
    """Weight w of the divergence."""
    reward_deviation: float = 0.5
    """Deviation of the decoder's normal distribution over rewards, in units of their running size."""
    evidence_weight: float = 1.0
    """Weight of the prediction loss, per step, beside the policy's."""
    policy_moves_encoder: bool = False
    """Let the gradient of the policy's loss pass into the encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "decoder_size", "decoded_beliefs", "reward_deviation", "evidence_weight"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        if self.divergence_weight < 0:
            raise UsageError(f"divergence_weight must be zero or above; came {self.divergence_weight}.")


class Decoder(eqx.Module):
    """Foretells numbers of a step from an embedding: two layers; the first is shared out over embedding and step."""

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
        """Every step foretold from the embedding of every moment."""
        hidden = jax.nn.relu(self.from_embedding(embedding)[:, None] + self.from_step(step)[None])
        return self.out(jax.nn.relu(self.inner(hidden)))


class BeliefNetwork(Network):
    """The trained weights of RL², where the heads read the belief, with the belief's head and the decoders."""

    belief: Dense
    rewards: Decoder
    observations: Decoder

    def __init__(self, spec: Spec, config: VariBADConfig, *, key: PRNGKeyArray):
        """The belief starts close to the standard normal."""
        super().__init__(spec, config, key=key)
        keys = jax.random.split(jax.random.fold_in(key, 1), 4)
        size, seen, done = config.embedding_size, flat_size(spec.observation_space), flat_size(spec.action_space)
        self.belief = Dense(memory_size(spec, config), 2 * size, gain=0.1, key=keys[0])
        self.shared = Dense(2 * size + self.encoder.size, config.hidden_size, gain=2.0**0.5, key=keys[1])
        self.rewards = Decoder(size, 2 * seen + done, config.decoder_size, 1, key=keys[2])
        self.observations = Decoder(size, seen + done, config.decoder_size, seen, key=keys[3])


def varibad(spec: Spec, config: VariBADConfig = VariBADConfig()) -> MetaAlgorithm:
    """VariBAD for tasks of this spec.

    Args:
      spec: any observations, Discrete or bounded Box actions; the decoders read and foretell them flat.
      config: its settings.
    """

    def recall(params: Params, lifetimes: Transition, spec: Spec) -> tuple[PyTree, dict[str, PyTree]]:
        return _recall(params, lifetimes, spec, config)

    def besides(params: Params, extras: dict, lifetimes: Transition, key: PRNGKeyArray) -> dict[str, Array]:
        return prediction_loss(params, extras["after"], lifetimes, key, spec=spec, config=config)

    return trained_on_lifetimes("varibad", spec, config, varibad_agent(spec, config), recall, besides=besides)


def varibad_agent(spec: Spec, config: VariBADConfig) -> Agent:
    """The agent alone: memory is the encoder's hidden state, and the belief is read off it."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=BeliefNetwork(spec, config, key=key), statistics=statistics_of(spec, config))

    def begin(params: Params, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.core.initial()

    def act(params: Params, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        return drawn(_decide(params, belief_of(params, memory), observation, spec, config), key)

    def adapt(params: Params, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.core.run(memory, take_in(params, experience, spec), experience.valid)[0]

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[PyTree, Decision]:
        memory, extras = _recall(params, lifetime, spec, config)
        del extras["after"]
        return memory, drawn_along(extras, key, spec)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, unroll=unroll)


def belief_of(params: Params, memory: PyTree) -> LatentBelief:
    """The belief over the task, from one memory or many."""
    assert isinstance(params.network, BeliefNetwork)
    return LatentBelief.from_parameters(params.network.belief(params.network.core.output(memory)))


def prediction_loss(
    params: Params, beliefs: LatentBelief, lifetimes: Transition, key: PRNGKeyArray, *, spec: Spec, config: VariBADConfig
) -> dict[str, Array]:
    """What the decoders get wrong, and how far beliefs move, each in nats per step and with its weight.

    Args:
      params: of the agent.
      beliefs: before the first step and after each `[T + 1, lifetimes]`.
      lifetimes: `[T, lifetimes]`.
      key: draws the moments and the embeddings.
    """
    network, valid = params.network, lifetimes.valid
    assert isinstance(network, BeliefNetwork)
    key_moment, key_embedding = jax.random.split(key)
    moments = jax.random.randint(key_moment, (config.decoded_beliefs,), 0, len(valid) + 1)
    embedding = jax.tree.map(lambda leaf: leaf[moments], beliefs).sample(key_embedding)
    seen, following = (
        see(params.statistics, lifetimes.observation, spec),
        see(params.statistics, lifetimes.outcome.observation, spec),
    )
    done = encode(lifetimes.decision.action, spec.action_space)
    lived = jnp.maximum(valid.sum(), 1).astype(jnp.float32)
    per_step = lambda wrong: jnp.where(valid[None], wrong, 0.0).sum() / (lived * config.decoded_beliefs)  # noqa: E731
    parts = {}
    if config.decodes != "observations":
        reward = lifetimes.outcome.reward / params.statistics.scale(params.statistics.reward)
        foretold = network.rewards(embedding, jnp.concatenate([seen, done, following], -1))[..., 0]
        parts["reward_loss"] = per_step(0.5 * jnp.square((foretold - reward[None]) / config.reward_deviation))
    if config.decodes != "rewards":
        foretold = network.observations(embedding, jnp.concatenate([seen, done], -1))
        parts["observation_loss"] = per_step(_surprisal(foretold, following, spec))
    before = jax.tree.map(lambda leaf: leaf[:-1], beliefs)
    reference = before if config.divergence_from == "previous" else LatentBelief.standard(before)
    moved = jnp.where(valid, jax.tree.map(lambda leaf: leaf[1:], beliefs).divergence(reference), 0.0).sum()
    first = jax.tree.map(lambda leaf: leaf[0], beliefs)
    moved += first.divergence(LatentBelief.standard(first)).sum()
    parts["divergence"] = config.divergence_weight * moved / lived
    return {name: config.evidence_weight * part for name, part in parts.items()}


def _surprisal(foretold: Float[Array, "*shape size"], came: Float[Array, "*time size"], spec: Spec) -> Float[Array, "*shape"]:
    """Nats: of a categorical distribution over Discrete observations, of a unit normal one (but for a constant) over others."""
    if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
        return -(jax.nn.log_softmax(foretold) * came[None]).sum(-1)
    return 0.5 * jnp.square(foretold - came[None]).sum(-1)


def _decide(params: Params, belief: LatentBelief, observation: Array, spec: Spec, config: VariBADConfig) -> dict[str, PyTree]:
    """Policy, value and belief, at one moment or many."""
    network, statistics = params.network, params.statistics
    read = belief if config.policy_moves_encoder else jax.lax.stop_gradient(belief)
    shared = jax.nn.relu(network.shared(read.mean, read.log_variance, look(params, observation, spec)))
    value = network.value(shared)[..., 0] * statistics.scale(statistics.value)
    return {"policy": policy_over(network.policy(shared), spec.action_space), "value": value, "belief": belief}


def _recall(params: Params, lifetimes: Transition, spec: Spec, config: VariBADConfig) -> tuple[PyTree, dict[str, PyTree]]:
    """The memory at the end; policy, value and belief at every step of one lifetime `[T]` or of many `[T, lifetimes]`.

    `after` holds the beliefs before the first step and after each, `[T + 1, ...]`.
    """
    begun = params.network.core.initial(*lifetimes.valid.shape[1:])
    memory, after = params.network.core.run(begun, take_in(params, lifetimes, spec), lifetimes.valid)
    states = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), begun, after)
    beliefs = belief_of(params, states)
    now = jax.tree.map(lambda leaf: leaf[:-1], beliefs)
    return memory, _decide(params, now, lifetimes.observation, spec, config) | {"after": beliefs}
