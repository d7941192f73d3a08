"""Energy-based task inference: a belief of any shape, learned by contrast, without a decoder; experimental.

The belief over the task's embedding z, after steps x_1 ... x_n in any order, is known up to its scale:

    p(z | x_1 ... x_n) ∝ N(z; 0, 1) exp(−Σ_t e(x_t, z))
    −e(x, z) = −½ λ(x) · (z − μ(x))²  +  h(x) · tanh(D z + d)                λ, μ, h: networks of the step

Energies are linear in numbers of the step, so their sum is a sum of these numbers: memory has one size however long a lifetime
is, and order does not matter. The first part alone is PEARL's product of normal distributions (Rakelly et al. 2019). The
second part is a network of z whose last layer is made from the steps. It can say what a normal distribution cannot: the goal is
not here, or the goal is here or there. The belief is held by particles. They begin as draws from the normal part and are
moved by a few Langevin steps, each with a weight (`numerics.beliefs.particles`). Their noise is the same each time, so the
belief is a function of the memory, and is found anew for every decision. The policy reads a weighted mean of features of
particle and observation, the belief's mean and deviation, and how many steps and episodes have passed.

Energies are learned from contrasts (InfoNCE, van den Oord et al. 2018). The belief after a part of a lifetime must tell
the outcome of a later step from outcomes of other lifetimes, which are other tasks, at the same slot:

    max  E_t E_{s ≥ t} log [ ℓ(x_s) / (ℓ(x_s) + Σ_j ℓ(x_s with the outcome of lifetime j)) ]
    ℓ(x) = E_{z ~ p_t} exp(b(x) − e(x, z))                    p_t: the belief before step t      b: a network of the step

once with the reward exchanged, and once with the successor (the change of it, for Box observations). The reasons:

- If whole steps were compared, the policy's own action would reveal the true step. So would anything else that differs between
  tasks and is of no use. With the same observation and action on both sides, only the answer of the task differs. Then −e is
  the logarithm of the likelihood of that answer, up to terms that depend on x alone or on z alone.
- Reward and successor are exchanged one at a time. If both were exchanged, the successor would reveal the wrong lifetimes
  wherever dynamics are the same on all tasks, and nothing would be learned about rewards.
- The belief rests on the lifetime up to t. Given that, an action carries no further information about the task. So the agent
  does not learn to take its own actions for evidence, as it would from steps picked at random (Ortega et al. 2021).
- Information in the first observation of an episode is not contrasted. It is learned still, since it moves the belief.

The policy is trained as RL²'s is, and moves the energy only if `policy_moves_energy` is set. This agent is unpublished.

Experimental: no experiment has shown it to beat PEARL. On drifting control (`quickstudy bench run drifting-control-energy`, a
million steps, 3 seeds) its return was -18.8 [-23.7, -15.0], one seed at -15.8; PEARL's was -16.5 [-16.8, -16.1] after 60,000
steps.
"""

import dataclasses
import functools
from typing import Literal, cast

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, PyTree

from quickstudy.algorithms.drawing import drawn, drawn_along
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, Params, lifetime_ppo
from quickstudy.networks.encoders import statistics_for
from quickstudy.networks.energy import EnergyNetwork, EnergyNetworkConfig, Evidence, Step, no_evidence
from quickstudy.networks.normalisation import see
from quickstudy.numerics.beliefs.particles import FeatureDensity, ParticleBelief, even_noise, hidden_features
from quickstudy.numerics.distributions import policy_over
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import shift_right
from quickstudy.protocol.settings import check_at_least
from quickstudy.protocol.spaces import encode

_IMPOSSIBLE = -1e9
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """Settings of the loss that the energy is learned from."""

    contrasts: Literal["rewards", "observations", "both"] = "both"
    """What is exchanged for that of another lifetime: the reward of a step, the next observation, or each of them."""
    moments: int = 8
    """Beliefs of each lifetime that a gradient step tests."""
    predicted: int = 3
    """Later steps that are tested for each belief."""
    negatives: int = 4
    """Negatives beside each true outcome; each comes from another lifetime, so a small minibatch has fewer."""
    evidence_weight: float = 1.0
    """Weight of the contrastive loss per step; the policy loss has weight 1."""
    policy_moves_energy: bool = False
    """Let the gradient of the policy loss train the energy, through particles and weights."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "moments", "predicted", "negatives")
        check_at_least(self, 0, "evidence_weight")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """Settings of energy-based task inference."""

    network: EnergyNetworkConfig = EnergyNetworkConfig()
    contrast: ContrastConfig = ContrastConfig()
    ppo: LifetimePPOConfig = LifetimePPOConfig()


def energy(spec: Spec, config: EnergyConfig = EnergyConfig()) -> MetaAlgorithm:
    """Energy-based task inference for tasks of this spec.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    """

    def auxiliary_loss(
        params: Params, memory: PyTree, decisions: Decision, lifetimes: Transition, key: PRNGKeyArray
    ) -> dict[str, Array]:
        del memory, decisions
        evidence, _ = evidence_along(params, lifetimes, spec, config.network)
        return contrastive_loss(params, evidence, lifetimes, key, spec=spec, config=config)

    agent = energy_agent(spec, config)
    return lifetime_ppo("energy", spec, config, agent, ppo=config.ppo, auxiliary_loss=auxiliary_loss)


def energy_agent(spec: Spec, config: EnergyConfig) -> Agent:
    """The agent alone: memory is the sum of the evidence of all steps."""

    def init(key: PRNGKeyArray) -> Params:
        statistics = statistics_for(spec.observation_space, scaled_by=config.network.observation_scale)
        return Params(network=EnergyNetwork(spec, config.network, key=key), statistics=statistics)

    def begin(params: Params, key: PRNGKeyArray) -> Evidence:
        del params, key
        return no_evidence(config.network)

    def act(params: Params, memory: Evidence, observation: Array, key: PRNGKeyArray) -> Decision:
        return drawn(_decide(params, memory, observation, spec, config), key)

    def adapt(params: Params, memory: Evidence, experience: Transition, key: PRNGKeyArray) -> Evidence:
        del key
        return jax.tree.map(lambda old, new: old + new.sum(0), memory, _evidence_of_steps(params, experience, spec))

    def unroll(params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[Evidence, Decision]:
        before, memory = evidence_along(params, lifetimes, spec, config.network)
        return memory, drawn_along(_decide(params, before, lifetimes.observation, spec, config), key, spec)

    agent = Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, exchangeable=True)
    return agent.with_fast_unroll(unroll)


def belief_of(params: Params, memory: Evidence, config: EnergyNetworkConfig) -> ParticleBelief:
    """The belief over the task, from one memory or many."""
    network = _network(params)
    density = FeatureDensity.from_evidence(
        memory.precision, memory.weighted, memory.heights, directions=network.directions, offsets=network.offsets
    )
    return density.refined(even_noise(config.refinements + 1, config.particles, config.embedding_size))


def contrastive_loss(
    params: Params, evidence: Evidence, lifetimes: Transition, key: PRNGKeyArray, *, spec: Spec, config: EnergyConfig
) -> dict[str, Array]:
    """The contrastive losses by name, in nats per step and multiplied by their weight.

    They are small where beliefs distinguish outcomes from those of other lifetimes.

    An outcome that equals the true one is left out. A step with no other outcome does not count. Where rewards are rare,
    hardly any two rewards differ, and those that do would be lost in the mean.

    Args:
      params: of the agent.
      evidence: before every step `[T, lifetimes]`.
      lifetimes: `[T, lifetimes]`.
      key: draws the tested slots, and the steps after them.
    """
    contrast, (length, count) = config.contrast, lifetimes.valid.shape
    key_moment, key_step = jax.random.split(key)
    moments = jax.random.randint(key_moment, (contrast.moments, 1), 0, length)
    steps = moments + jax.random.randint(key_step, (contrast.moments, contrast.predicted), 0, length - moments)
    belief = belief_of(params, jax.tree.map(lambda leaf: leaf[moments[:, 0]], evidence), config.network)
    happened = jax.tree.map(lambda leaf: leaf[steps], read_steps(params, lifetimes, spec))
    valid = lifetimes.valid[steps]
    exchanges = {"reward_contrast": _with_reward, "observation_contrast": _with_successor}
    for name, left_out in (("reward_contrast", "observations"), ("observation_contrast", "rewards")):
        if contrast.contrasts == left_out:
            del exchanges[name]
    losses = {}
    for name, exchange in exchanges.items():
        candidates = [exchange(happened, other, spec) for other in range(1, 1 + min(contrast.negatives, count - 1))]
        differ = [_differ(happened, candidate) & jnp.roll(valid, 1 + n, axis=2) for n, candidate in enumerate(candidates)]
        scores = _likelihood(params, belief, jax.tree.map(lambda *leaves: jnp.stack(leaves), happened, *candidates))
        possible = jnp.stack([jnp.ones_like(valid), *differ])
        recognised = jax.nn.log_softmax(jnp.where(possible, scores, _IMPOSSIBLE), axis=0)[0]
        losses[name] = contrast.evidence_weight * -masked_mean(recognised, valid & possible[1:].any(0))
    return losses


def read_steps(params: Params, steps: Transition, spec: Spec) -> Step:
    """The numbers of steps that the network reads, scaled and flat."""
    reward = steps.outcome.reward / params.statistics.scale(params.statistics.reward)
    return Step(
        observation=see(params.statistics, steps.observation, spec),
        action=encode(steps.decision.action, spec.action_space),
        reward=reward[..., None],
        successor=see(params.statistics, steps.outcome.observation, spec),
        boundary=steps.boundary[..., None].astype(jnp.float32),
    )


def _with_reward(step: Step, other: int, spec: Spec) -> Step:
    """Steps `[moments, predicted, lifetimes]` with the rewards of the lifetimes `other` places further."""
    del spec
    return dataclasses.replace(step, reward=jnp.roll(step.reward, other, axis=2))


def _with_successor(step: Step, other: int, spec: Spec) -> Step:
    """Steps `[moments, predicted, lifetimes]` with the successors of the lifetimes `other` places further.

    For Box observations the change is exchanged: a distant successor would be recognised without knowing the task.
    """
    box = isinstance(spec.observation_space, gymnasium.spaces.Box)
    start = step.observation if box else jnp.zeros_like(step.observation)
    successor = start + jnp.roll(step.successor - start, other, axis=2)
    return dataclasses.replace(step, successor=successor, boundary=jnp.roll(step.boundary, other, axis=2))


def _differ(one: Step, other: Step) -> Bool[Array, "*time"]:
    """Whether steps differ by more than rounding."""
    gaps = jax.tree.map(lambda a, b: (jnp.abs(a - b) > _ROUNDING).any(-1), one, other)
    return functools.reduce(jnp.logical_or, jax.tree.leaves(gaps))


def _likelihood(params: Params, belief: ParticleBelief, step: Step) -> Float[Array, "shown moments predicted lifetimes"]:
    """log ℓ of steps `[shown, moments, predicted, lifetimes]` under beliefs `[moments, lifetimes]`, up to a constant."""
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


def _evidence_of_steps(params: Params, steps: Transition, spec: Spec) -> Evidence:
    """The evidence of each step; zero where it did not happen."""
    precision, weighted, heights, _ = _network(params).says(read_steps(params, steps, spec))
    precision, weighted, heights = (jnp.where(steps.valid[..., None], x, 0.0) for x in (precision, weighted, heights))
    count, episodes = steps.valid.astype(jnp.float32), (steps.boundary & steps.valid).astype(jnp.float32)
    return Evidence(precision=precision, weighted=weighted, heights=heights, steps=count, episodes=episodes)


def evidence_along(params: Params, lifetimes: Transition, spec: Spec, config: EnergyNetworkConfig) -> tuple[Evidence, Evidence]:
    """The memory before each step `[T, *lifetimes]`, and after the last."""
    totals = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), _evidence_of_steps(params, lifetimes, spec))
    before = shift_right(no_evidence(config, *lifetimes.valid.shape[1:]), totals)
    return before, jax.tree.map(lambda leaf: leaf[-1], totals)


def _decide(params: Params, memory: Evidence, observation: Array, spec: Spec, config: EnergyConfig) -> dict[str, PyTree]:
    """Policy, value and belief, at one step or many."""
    network, statistics = _network(params), params.statistics
    belief, seen = belief_of(params, memory, config.network), see(statistics, observation, spec)
    read = belief if config.contrast.policy_moves_energy else jax.lax.stop_gradient(belief)
    each = jax.nn.relu(network.from_particle(read.particles) + network.from_observation(seen)[..., None, :])
    clock = jnp.stack([memory.steps / spec.lifetime_steps, memory.episodes / spec.episodes], axis=-1)
    shared = jax.nn.relu(network.shared(read.average(each), read.mean, jnp.log(read.deviation + 0.01), clock, seen))
    value = network.value(shared)[..., 0] * statistics.scale(statistics.value)
    return {"policy": policy_over(network.policy(shared), spec.action_space), "value": value, "belief": belief}
