"""Energy-based task inference: a belief of any shape, learned by telling what was from what might have been; experimental.

The belief over the task's embedding z, after steps x_1 ... x_n in any order, is known but for its scale:

    p(z | x_1 ... x_n) ∝ N(z; 0, 1) exp(−Σ_t e(x_t, z))
    −e(x, z) = −½ λ(x) · (z − μ(x))²  +  h(x) · tanh(D z + d)                λ, μ, h: networks of the step

Energies are linear in numbers of the step, so their sum is a sum of these numbers: memory has one size however long a life is,
and order does not matter. The first part alone is PEARL's product of normal distributions (Rakelly et al. 2019). The second is
a network of z whose last layer is what was lived; it says what a normal distribution cannot: that the goal is not here, that
it is here or there. The belief is held by particles, which begin as draws from the normal part and are moved by a few Langevin
steps, each with a weight (`numerics.particle_belief`). Their noise is the same each time, so the belief is a function of the
memory, and is found anew from it for every decision. The policy reads a weighted mean of features of particle and observation,
beside the belief's mean and deviation and how much was lived.

Energies are learned from contrasts, with no decoder (InfoNCE, van den Oord et al. 2018). The belief after a part of a lifetime
must tell the outcome of a later step from outcomes of other lifetimes, which are other tasks, at the same slot:

    max  E_t E_{s ≥ t} log [ ℓ(x_s) / (ℓ(x_s) + Σ_j ℓ(x_s with the outcome of lifetime j)) ]
    ℓ(x) = E_{z ~ p_t} exp(b(x) − e(x, z))                    p_t: the belief before step t      b: a network of the step

once with the reward exchanged, and once with the successor (the change of it, for Box observations). Why so:

- To ask which lifetime a whole step comes from is answered by what the policy does there, or by whatever tells tasks apart and
  pays nothing. With the same observation and action on both sides only the task's own answer tells, and −e is, but for what
  depends on one of x and z alone, the logarithm of how likely that answer is.
- Reward and successor one by one: exchanged together, the successor gives the wrong ones away wherever its law is
  the same on all tasks, and nothing is learned about rewards.
- The part that gives the belief is the life up to t. Given that, an action says nothing more about the task, so the agent does
  not learn to take its own actions for evidence, as it would from steps that are picked out (Ortega et al. 2021).
- What an observation at a reset tells is not contrasted, but learned still: it moves the belief that outcomes are told from.

The policy is trained as RL²'s is, and moves the energy only if `policy_moves_energy` is set. Nobody has published this agent.

Experimental: it has not been seen to beat PEARL. On drifting control (`quickstudy bench run drifting-control-energy`, a million
steps, 3 seeds) it earned -18.8 [-23.7, -15.0], one seed at -15.8; PEARL -16.5 [-16.8, -16.1] after 60,000 steps.
"""

import dataclasses
import functools
from typing import Literal, cast

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.algorithms.lifetime_ppo import LifetimesConfig, Params, drawn, drawn_along, trained_on_lifetimes
from quickstudy.networks.encoders import statistics_for
from quickstudy.networks.layers import Dense, Perceptron
from quickstudy.networks.normalisation import see
from quickstudy.numerics.beliefs.particles import FeatureDensity, ParticleBelief, even_noise, hidden_features
from quickstudy.numerics.distributions import policy_over, policy_parameters
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import shift_right
from quickstudy.protocol.spaces import encode, flat_size

_IMPOSSIBLE = -1e9
_ROUNDING = 1e-5
_FIRST_PRECISION = -3.0
"""Before softplus: at the start a step tells a twentieth of what the prior does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyConfig(LifetimesConfig):
    """Settings of energy-based task inference: those of the outer loop, and of the belief."""

    embedding_size: int = 5
    """Numbers in the task embedding."""
    ridges: int = 24
    """Hidden units of the energy as a function of the embedding."""
    particles: int = 16
    """That hold the belief."""
    refinements: int = 3
    """Langevin steps of every particle, for each decision."""
    witness_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the network that reads a step."""
    contrasts: Literal["rewards", "observations", "both"] = "both"
    """What is to be told from that of other lifetimes: the reward of a step, its successor, or each of them."""
    moments: int = 8
    """Moments of each lifetime whose beliefs are put to the test, for every gradient step."""
    foretold: int = 3
    """Steps after each of them."""
    negatives: int = 4
    """Other lifetimes whose outcomes are shown beside the true one; fewer where a minibatch has no more."""
    evidence_weight: float = 1.0
    """Weight of the contrastive loss, per step, beside the policy's."""
    policy_moves_energy: bool = False
    """Let the gradient of the policy's loss pass into the energy, through particles and weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "ridges", "particles", "refinements", "moments", "foretold", "negatives"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more; came {getattr(self, name)}.")
        if self.evidence_weight < 0:
            raise UsageError(f"evidence_weight must be zero or above; came {self.evidence_weight}.")
        if not self.witness_sizes or min(self.witness_sizes) < 1:
            raise UsageError(f"witness_sizes must name one width or more, each above zero; came {self.witness_sizes}.")


@record
class Evidence:
    """What steps say, and may be added up: memory is the sum over all that was lived.

    `precision` λ and `weighted` λ μ `[*time, size]`, `heights` h `[*time, ridges]`; `steps` and `episodes` `[*time]` count.
    """

    precision: Float[Array, "*time size"]
    weighted: Float[Array, "*time size"]
    heights: Float[Array, "*time ridges"]
    steps: Float[Array, "*time"]
    episodes: Float[Array, "*time"]


@record
class Step:
    """What is read of a step, each `[*time, numbers]`: rewards in units of their running size; `boundary` ends an episode."""

    observation: Float[Array, "*time numbers"]
    action: Float[Array, "*time numbers"]
    reward: Float[Array, "*time 1"]
    successor: Float[Array, "*time numbers"]
    boundary: Float[Array, "*time 1"]


class EnergyNetwork(eqx.Module):
    """The trained weights: what a step says (λ, μ, h and b), how ridges lie, how policy and value read the particles."""

    witness: Perceptron
    directions: Float[Array, "ridges size"]
    offsets: Float[Array, " ridges"]
    from_particle: Dense
    from_observation: Dense
    shared: Dense
    policy: Dense
    value: Dense

    def __init__(self, spec: Spec, config: EnergyConfig, *, key: PRNGKeyArray):
        """The belief starts close to the prior, the policy close to uniform, the value at zero."""
        keys = jax.random.split(key, 8)
        seen, done = flat_size(spec.observation_space), flat_size(spec.action_space)
        size, ridges, hidden = config.embedding_size, config.ridges, config.hidden_size
        said = 2 * size + ridges + 1
        self.witness = Perceptron(2 * seen + done + 2, config.witness_sizes, said, gain=0.1, key=keys[0])
        self.directions = 1.5 * size**-0.5 * jax.random.normal(keys[1], (ridges, size))
        self.offsets = jax.random.uniform(keys[2], (ridges,), minval=-2.0, maxval=2.0)
        self.from_particle = Dense(size, hidden, gain=1.0, key=keys[3])
        self.from_observation = Dense(seen, hidden, gain=1.0, key=keys[4])
        self.shared = Dense(hidden + 2 * size + 2 + seen, hidden, gain=2.0**0.5, key=keys[5])
        self.policy = Dense(hidden, policy_parameters(spec.action_space), gain=0.01, key=keys[6])
        self.value = Dense(hidden, 1, gain=0.1, key=keys[7])

    def says(self, step: Step) -> tuple[Array, Array, Array, Array]:
        """λ, λ μ `[*time, size]`, h `[*time, ridges]` and b `[*time]` of steps."""
        size, ridges = self.directions.shape[1], self.offsets.size
        said = self.witness(step.observation, step.action, step.reward, step.successor, step.boundary)
        precision, mean, heights, base = jnp.split(said, (size, 2 * size, 2 * size + ridges), axis=-1)
        precision = jax.nn.softplus(precision + _FIRST_PRECISION)
        return precision, precision * mean, heights, base[..., 0]


def energy(spec: Spec, config: EnergyConfig = EnergyConfig()) -> MetaAlgorithm:
    """Energy-based task inference for tasks of this spec.

    Args:
      spec: Discrete or Box observations, Discrete or bounded Box actions.
      config: its settings.
    """

    def recall(params: Params, lifetimes: Transition, spec: Spec) -> tuple[Evidence, dict[str, PyTree]]:
        return _recall(params, lifetimes, spec, config)

    def besides(params: Params, extras: dict, lifetimes: Transition, key: PRNGKeyArray) -> dict[str, Array]:
        return contrastive_loss(params, extras["evidence"], lifetimes, key, spec=spec, config=config)

    return trained_on_lifetimes("energy", spec, config, energy_agent(spec, config), recall, besides=besides)


def energy_agent(spec: Spec, config: EnergyConfig) -> Agent:
    """The agent alone: memory is the sum of what steps say."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=EnergyNetwork(spec, config, key=key), statistics=statistics_for(spec.observation_space))

    def begin(params: Params, key: PRNGKeyArray) -> Evidence:
        del params, key
        return _nothing(config)

    def act(params: Params, memory: Evidence, observation: Array, key: PRNGKeyArray) -> Decision:
        return drawn(_decide(params, memory, observation, spec, config), key)

    def adapt(params: Params, memory: Evidence, experience: Transition, key: PRNGKeyArray) -> Evidence:
        del key
        witnessed = _witnessed(params, experience, spec)
        return jax.tree.map(lambda old, new: old + new.sum(0), memory, witnessed)

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Evidence, Decision]:
        memory, extras = _recall(params, lifetime, spec, config)
        del extras["evidence"]
        return memory, drawn_along(extras, key, spec)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, exchangeable=True, unroll=unroll)


def belief_of(params: Params, memory: Evidence, config: EnergyConfig) -> ParticleBelief:
    """The belief over the task, from one memory or many."""
    network = _network(params)
    density = FeatureDensity.from_evidence(
        memory.precision, memory.weighted, memory.heights, directions=network.directions, offsets=network.offsets
    )
    return density.refined(even_noise(config.refinements + 1, config.particles, config.embedding_size))


def contrastive_loss(
    params: Params, evidence: Evidence, lifetimes: Transition, key: PRNGKeyArray, *, spec: Spec, config: EnergyConfig
) -> dict[str, Array]:
    """How badly beliefs tell outcomes from those of other lifetimes, in nats per step and with its weight.

    An outcome that equals the true one is not shown beside it, and a step with which nothing is shown does not count: where
    hardly any step is paid, hardly any two rewards differ, and those that do would be lost in the mean.

    Args:
      params: of the agent.
      evidence: before every step `[T, lifetimes]`.
      lifetimes: `[T, lifetimes]`.
      key: draws the moments, and the steps after them.
    """
    length, count = lifetimes.valid.shape
    key_moment, key_step = jax.random.split(key)
    moments = jax.random.randint(key_moment, (config.moments, 1), 0, length)
    steps = moments + jax.random.randint(key_step, (config.moments, config.foretold), 0, length - moments)
    belief = belief_of(params, jax.tree.map(lambda leaf: leaf[moments[:, 0]], evidence), config)
    happened = jax.tree.map(lambda leaf: leaf[steps], read_steps(params, lifetimes, spec))
    valid = lifetimes.valid[steps]
    exchanges = {"reward_contrast": _with_reward, "observation_contrast": _with_successor}
    for name, left_out in (("reward_contrast", "observations"), ("observation_contrast", "rewards")):
        if config.contrasts == left_out:
            del exchanges[name]
    losses = {}
    for name, exchange in exchanges.items():
        candidates = [exchange(happened, other, spec) for other in range(1, 1 + min(config.negatives, count - 1))]
        apart = [_differ(happened, candidate) & jnp.roll(valid, 1 + n, axis=2) for n, candidate in enumerate(candidates)]
        scores = _likelihood(params, belief, jax.tree.map(lambda *leaves: jnp.stack(leaves), happened, *candidates))
        possible = jnp.stack([jnp.ones_like(valid), *apart])
        told = jax.nn.log_softmax(jnp.where(possible, scores, _IMPOSSIBLE), axis=0)[0]
        losses[name] = config.evidence_weight * -masked_mean(told, valid & possible[1:].any(0))
    return losses


def read_steps(params: Params, lived: Transition, spec: Spec) -> Step:
    """What is read of steps."""
    reward = lived.outcome.reward / params.statistics.scale(params.statistics.reward)
    return Step(
        observation=see(params.statistics, lived.observation, spec),
        action=encode(lived.decision.action, spec.action_space),
        reward=reward[..., None],
        successor=see(params.statistics, lived.outcome.observation, spec),
        boundary=lived.boundary[..., None].astype(jnp.float32),
    )


def _with_reward(step: Step, other: int, spec: Spec) -> Step:
    """Steps `[moments, foretold, lifetimes]` as they are, with the rewards of lifetimes that stand so far apart."""
    del spec
    return dataclasses.replace(step, reward=jnp.roll(step.reward, other, axis=2))


def _with_successor(step: Step, other: int, spec: Spec) -> Step:
    """Steps `[moments, foretold, lifetimes]` as they are, that lead where steps of lifetimes so far apart lead.

    For Box observations by as much: another place would be known for a wrong one without knowing the task.
    """
    box = isinstance(spec.observation_space, gymnasium.spaces.Box)
    start = step.observation if box else jnp.zeros_like(step.observation)
    successor = start + jnp.roll(step.successor - start, other, axis=2)
    return dataclasses.replace(step, successor=successor, boundary=jnp.roll(step.boundary, other, axis=2))


def _differ(one: Step, other: Step) -> Bool[Array, "*time"]:
    """Whether steps differ by more than rounding."""
    gaps = jax.tree.map(lambda a, b: (jnp.abs(a - b) > _ROUNDING).any(-1), one, other)
    return functools.reduce(jnp.logical_or, jax.tree.leaves(gaps))


def _likelihood(params: Params, belief: ParticleBelief, step: Step) -> Float[Array, "shown moments foretold lifetimes"]:
    """log ℓ of steps `[shown, moments, foretold, lifetimes]` under the beliefs `[moments, lifetimes]`, but for a constant."""
    network = _network(params)
    precision, weighted, heights, base = network.says(step)
    ridges = hidden_features(belief.particles, network.directions, network.offsets)
    known = jnp.concatenate([-0.5 * jnp.square(belief.particles), belief.particles, ridges], axis=-1)
    negative_energy = jnp.einsum("cmsnf,mnkf->cmsnk", jnp.concatenate([precision, weighted, heights], axis=-1), known)
    log_weights = jax.nn.log_softmax(belief.log_weights, axis=-1)[None, :, None]
    return base + jax.nn.logsumexp(negative_energy + log_weights, axis=-1)


def _network(params: Params) -> EnergyNetwork:
    """The weights, by the type that they have here."""
    return cast(EnergyNetwork, params.network)


def _nothing(config: EnergyConfig, *lifetimes: int) -> Evidence:
    """Before anything was lived."""
    embedding, count = jnp.zeros((*lifetimes, config.embedding_size)), jnp.zeros(lifetimes)
    heights = jnp.zeros((*lifetimes, config.ridges))
    return Evidence(precision=embedding, weighted=embedding, heights=heights, steps=count, episodes=count)


def _witnessed(params: Params, lived: Transition, spec: Spec) -> Evidence:
    """What each step says; nothing where it did not happen."""
    precision, weighted, heights, _ = _network(params).says(read_steps(params, lived, spec))
    precision, weighted, heights = (jnp.where(lived.valid[..., None], x, 0.0) for x in (precision, weighted, heights))
    steps, episodes = lived.valid.astype(jnp.float32), (lived.boundary & lived.valid).astype(jnp.float32)
    return Evidence(precision=precision, weighted=weighted, heights=heights, steps=steps, episodes=episodes)


def _decide(params: Params, memory: Evidence, observation: Array, spec: Spec, config: EnergyConfig) -> dict[str, PyTree]:
    """Policy, value and belief, at one moment or many."""
    network, statistics = _network(params), params.statistics
    belief, seen = belief_of(params, memory, config), see(statistics, observation, spec)
    read = belief if config.policy_moves_energy else jax.lax.stop_gradient(belief)
    each = jax.nn.relu(network.from_particle(read.particles) + network.from_observation(seen)[..., None, :])
    clock = jnp.stack([memory.steps / spec.lifetime_steps, memory.episodes / spec.episodes], axis=-1)
    shared = jax.nn.relu(network.shared(read.average(each), read.mean, jnp.log(read.deviation + 0.01), clock, seen))
    value = network.value(shared)[..., 0] * statistics.scale(statistics.value)
    return {"policy": policy_over(network.policy(shared), spec.action_space), "value": value, "belief": belief}


def _recall(params: Params, lifetimes: Transition, spec: Spec, config: EnergyConfig) -> tuple[Evidence, dict[str, PyTree]]:
    """The memory at the end; policy, value and belief at every step of one lifetime `[T]` or of many `[T, lifetimes]`.

    `evidence` is the memory before each step `[T, ...]`.
    """
    totals = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), _witnessed(params, lifetimes, spec))
    before = shift_right(_nothing(config, *lifetimes.valid.shape[1:]), totals)
    memory = jax.tree.map(lambda leaf: leaf[-1], totals)
    return memory, _decide(params, before, lifetimes.observation, spec, config) | {"evidence": before}
