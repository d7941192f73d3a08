"""PEARL: a belief from single steps in any order, and soft actor-critic on replayed lifetimes (Rakelly et al. 2019).

Every step gives evidence of the task: a normal distribution over the task's embedding z, the per-step factor. The belief is the
product of these factors with a standard normal prior,

    q(z | c) ∝ N(z; 0, 1) Π_n N(z; μ(c_n), σ²(c_n))        c_n: observation, action, reward, successor

so its precision is a sum. Memory therefore has one size for lifetimes of any length, and the order of steps does not matter.
The agent acts on one draw of z through an episode (posterior sampling): z = mean + deviation · noise. The noise is drawn once
per episode, while mean and deviation follow every step.

Meta-training keeps old lifetimes. Of each lifetime that is drawn, some steps are the context that gives z. Soft actor-critic
(Haarnoja et al. 2018; Christodoulou 2019 for discrete actions) learns from other steps of it,

    critic   ½ Σ_i (Q_i(o, a, z) − r − γ (1 − end) [min_j Q̄_j(o', a', z) − α log π(a' | o', z)])²  +  β KL(q(z | c) ‖ N(0, 1))
    actor    α log π(a | o, z) − min_j Q_j(o, a, z)        α holds the entropy near a target

and the encoder learns from the critic's loss alone.

Changed from the paper: the product includes the prior, so that it is a distribution before the first step. The noise is held
through an episode, and not z. Every lifetime is a task of its own, where the paper keeps a hundred tasks and many lifetimes of
each. The context is drawn from the lifetime at random, in any size. Actions follow a normal distribution that is cut to the
bounds.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt32

from quickstudy.algorithms.drawing import drawn
from quickstudy.networks.critics import critic, soft_value, values_of
from quickstudy.networks.encoders import statistics_for
from quickstudy.networks.layers import Perceptron
from quickstudy.networks.normalisation import ObservationScale, Statistics, observed, see
from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.numerics.distributions import policy_over, policy_parameters
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.soft_actor_critic import check_actions, soft_target, target_entropy
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.agent import Agent, over_lifetimes, slot_keys
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm, Replayed
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.settings import check_above_zero, check_at_least, check_fractions, check_sizes
from quickstudy.protocol.spaces import encode, flat_size
from quickstudy.rollout.replay import ReplayedLifetimes, Step, some_steps, steps_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class PEARLConfig:
    """Settings of PEARL."""

    embedding_size: int = 5
    """Size of the task embedding."""
    hidden_sizes: tuple[int, ...] = (96, 96)
    """Widths of the hidden layers of encoder, actor and critics."""
    lifetimes: int = 4
    """Fresh lifetimes per update."""
    room: int = 1000
    """Lifetimes that are kept for replay; the oldest are dropped. In point navigation, with 400 steps each, they take 12 MB."""
    gradient_steps: int = 64
    """Gradient steps of critic, encoder and actor, per update."""
    replayed: int = 16
    """Lifetimes that each gradient step draws. It must be a multiple of the number of devices."""
    steps: int = 64
    """Steps of each drawn lifetime that actor and critic learn from. At most as many steps are its context."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    discount: float = 0.9
    """Discount per step, within an episode."""
    target_rate: float = 0.005
    """Part of the way towards the critics that the target critics move at each gradient step."""
    divergence_weight: float = 0.001
    """Weight β of the belief's divergence from the prior."""
    target_entropy: float = 0.85
    """The entropy near which α keeps the policy: 0 is nearly deterministic, 1 is uniform."""
    max_gradient_norm: float = 10.0
    """Gradients are scaled down to this norm."""
    observation_scale: ObservationScale = "seen"
    """`seen`: a Box observation is whitened by what meta-training has seen; `bounds`: by its bounds, as in earlier versions."""

    def __post_init__(self) -> None:
        others = ("hidden_sizes", "divergence_weight", "discount", "observation_scale")
        check_above_zero(self, *(field.name for field in dataclasses.fields(self) if field.name not in others))
        check_at_least(self, 0, "divergence_weight")
        check_fractions(self, "discount", "target_rate")
        check_sizes(self, "hidden_sizes")
        if self.room < self.lifetimes:
            raise UsageError(f"room must hold the {self.lifetimes} lifetimes of one update at least; came {self.room}.")


@record
class Params:
    """What meta-training writes and the agent reads."""

    encoder: Perceptron
    actor: Perceptron
    statistics: Statistics


@record
class Evidence:
    """The memory: sums over the per-step factors.

    `precision`, `weighted`: the sums of precisions and of means times precisions, each `[size]`. `episodes`: the number of
    episodes that are over. `key`: key data that the noise of every episode is drawn from.
    """

    precision: Float[Array, " size"]
    weighted: Float[Array, " size"]
    episodes: Int[Array, ""]
    key: UInt32[Array, " numbers"]


@record
class Learned:
    """What gradient steps change. There are two critics: leaves `[2, ...]`."""

    encoder: Perceptron
    actor: Perceptron
    critics: Perceptron
    log_temperature: Float[Array, ""]


@record
class TrainState:
    """What one update hands to the next. The source of lifetimes keeps the replay store."""

    learned: Learned
    targets: Perceptron
    optimiser: PyTree
    statistics: Statistics


def pearl(spec: Spec, config: PEARLConfig = PEARLConfig()) -> MetaAlgorithm:
    """PEARL for tasks of this spec.

    Args:
      spec: Discrete or Box observations, Discrete actions or a bounded Box of fractions.
      config: its settings.
    Raises:
      SpecError: other actions.
    """
    check_actions(spec.action_space, of="pearl", instead="rl2, varibad, hybrid, maml or promp")
    agent, optimiser = pearl_agent(spec, config), clipped_adam(config.max_gradient_norm)

    def init(key: PRNGKeyArray) -> TrainState:
        key_agent, key_critics = jax.random.split(key)
        params = agent.init(key_agent)
        critics = eqx.filter_vmap(lambda key: critic(spec, config.hidden_sizes, config.embedding_size, key))(
            jax.random.split(key_critics)
        )
        learned = Learned(encoder=params.encoder, actor=params.actor, critics=critics, log_temperature=jnp.zeros(()))
        moments = optimiser.init(learned)
        return TrainState(learned=learned, targets=critics, optimiser=moments, statistics=params.statistics)

    def update(
        state: TrainState,
        lifetimes: ReplayedLifetimes,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = config.learning_rate,
    ) -> tuple[TrainState, dict[str, Array]]:
        del progress
        statistics = _observed(state.statistics, lifetimes.fresh, spec)
        # Every device has the whole store; under a key of its own it draws other lifetimes from it.
        key = jax.random.fold_in(key, jax.lax.axis_index(LIFETIMES_AXIS))
        share = max(1, config.replayed // jax.lax.axis_size(LIFETIMES_AXIS))

        def gradient_step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, dict]:
            learned, targets, optimiser_state = carry
            key_draw, key_loss = jax.random.split(key)
            batch = lifetimes.replay.draw(key_draw, share)
            loss = functools.partial(replayed_loss, spec=spec, config=config)
            (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(learned, targets, statistics, batch, key_loss)
            gradient, metrics = jax.lax.pmean((gradient, metrics), LIFETIMES_AXIS)
            metrics |= {"gradient_norm": optax.tree.norm(gradient)}
            learned, optimiser_state = descend(optimiser, gradient, optimiser_state, learned, rate=learning_rate)
            follow = lambda old, new: old + config.target_rate * (new - old)  # noqa: E731
            return (learned, jax.tree.map(follow, targets, learned.critics), optimiser_state), metrics

        keys, carry = jax.random.split(key, config.gradient_steps), (state.learned, state.targets, state.optimiser)
        (learned, targets, moments), metrics = jax.lax.scan(gradient_step, carry, keys)
        after = TrainState(learned=learned, targets=targets, optimiser=moments, statistics=statistics)
        return after, jax.tree.map(jnp.mean, metrics)

    return MetaAlgorithm(
        name="pearl",
        config=config,
        agent=agent,
        init=init,
        update=update,
        params=lambda s: Params(encoder=s.learned.encoder, actor=s.learned.actor, statistics=s.statistics),
        lifetimes=config.lifetimes,
        wants=Replayed(room=config.room),
    ).with_learning_rate(config.learning_rate)


def pearl_agent(spec: Spec, config: PEARLConfig) -> Agent:
    """The agent alone."""

    def init(key: PRNGKeyArray) -> Params:
        key_encoder, key_actor = jax.random.split(key)
        seen, done, size = flat_size(spec.observation_space), flat_size(spec.action_space), config.embedding_size
        return Params(
            encoder=Perceptron(2 * seen + done + 1, config.hidden_sizes, 2 * size, gain=0.1, key=key_encoder),
            actor=Perceptron(seen + size, config.hidden_sizes, policy_parameters(spec.action_space), gain=0.01, key=key_actor),
            statistics=statistics_for(spec.observation_space, scaled_by=config.observation_scale),
        )

    def begin(params: Params, key: PRNGKeyArray) -> Evidence:
        del params
        nothing = jnp.zeros(config.embedding_size)
        return Evidence(precision=nothing, weighted=nothing, episodes=jnp.int32(0), key=jax.random.key_data(key))

    def act(params: Params, memory: Evidence, observation: Array, key: PRNGKeyArray) -> Decision:
        belief = LatentBelief.from_evidence(memory.precision, memory.weighted)
        return _decide(params, belief, _noise(memory.key, memory.episodes, config), observation, key)

    def _decide(params: Params, belief: LatentBelief, noise: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        embedding = belief.mean + jnp.exp(0.5 * belief.log_variance) * noise
        seen = see(params.statistics, observation, spec)
        return drawn({"policy": policy_over(params.actor(seen, embedding), spec.action_space), "belief": belief}, key)

    def adapt(params: Params, memory: Evidence, experience: Transition, key: PRNGKeyArray) -> Evidence:
        del key
        precision, weighted = step_factors(params.encoder, params.statistics, steps_of(experience), spec)
        return Evidence(
            precision=memory.precision + precision.sum(0),
            weighted=memory.weighted + weighted.sum(0),
            episodes=memory.episodes + (experience.boundary & experience.valid).sum().astype(jnp.int32),
            key=memory.key,
        )

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Evidence, Decision]:
        keys = slot_keys(key, spec)
        begun = begin(params, keys[0, 0])
        precision, weighted = step_factors(params.encoder, params.statistics, steps_of(lifetime), spec)
        ended = (lifetime.boundary & lifetime.valid).astype(jnp.int32)
        totals = [jnp.cumsum(leaf, 0) for leaf in (precision, weighted, ended)]
        before = [total - own for total, own in zip(totals, (precision, weighted, ended), strict=True)]
        noise = jax.vmap(lambda episode: _noise(begun.key, episode, config))(before[2])
        beliefs = LatentBelief.from_evidence(before[0], before[1])
        decisions = jax.vmap(_decide, (None, 0, 0, 0, 0))(params, beliefs, noise, lifetime.observation, keys[:-1, 1])
        memory = Evidence(precision=totals[0][-1], weighted=totals[1][-1], episodes=totals[2][-1], key=begun.key)
        return memory, decisions

    agent = Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, exchangeable=True)
    return agent.with_fast_unroll(over_lifetimes(unroll))


def _noise(key: UInt32[Array, " numbers"], episode: Int[Array, ""], config: PEARLConfig) -> Float[Array, " size"]:
    return jax.random.normal(jax.random.fold_in(jax.random.wrap_key_data(key), episode), (config.embedding_size,))


def step_factors(
    encoder: Perceptron, statistics: Statistics, steps: Step, spec: Spec
) -> tuple[Float[Array, "*time size"], Float[Array, "*time size"]]:
    """Precision, and mean times precision, of the per-step factors; zero where a step did not happen."""
    parts = (
        see(statistics, steps.observation, spec),
        encode(steps.action, spec.action_space),
        (steps.reward / statistics.scale(statistics.reward))[..., None],
        see(statistics, steps.successor, spec),
    )
    evidence = LatentBelief.from_parameters(encoder(*parts))
    precision = jnp.where(steps.valid[..., None], jnp.exp(-evidence.log_variance), 0.0)
    return precision, precision * evidence.mean


def replayed_loss(
    learned: Learned, targets: Perceptron, statistics: Statistics, batch: Step, key: PRNGKeyArray, *, spec: Spec,
    config: PEARLConfig,
) -> tuple[Array, dict[str, Array]]:  # fmt: skip
    """The sum of all losses on replayed lifetimes `[T, lifetimes]`, and metrics; each loss trains its own parameters."""
    key_size, key_context, key_steps, key_embedding, key_now, key_next = jax.random.split(key, 6)
    constant = jax.lax.stop_gradient
    length, count = batch.valid.shape
    drawn = min(config.steps, length)
    some = functools.partial(some_steps, batch, steps=drawn)
    # A context of any size, another for each lifetime. The sums over a large one are estimated from fewer steps.
    size = jax.random.randint(key_size, (count,), 0, length + 1)
    context, counted = some(key_context), jnp.arange(drawn)[:, None] < size[None]
    context = dataclasses.replace(context, valid=context.valid & counted)
    each = size.astype(jnp.float32) / jnp.maximum(jnp.minimum(size, drawn), 1).astype(jnp.float32)
    precision, weighted = step_factors(learned.encoder, statistics, context, spec)
    belief = LatentBelief.from_evidence(precision.sum(0) * each[:, None], weighted.sum(0) * each[:, None])
    embedding = belief.sample(key_embedding)[None]
    taken = some(key_steps)
    embedding = jnp.broadcast_to(embedding, (drawn, count, embedding.shape[-1]))
    still, temperature = constant(embedding), jnp.exp(learned.log_temperature)
    seen, following = see(statistics, taken.observation, spec), see(statistics, taken.successor, spec)
    done = encode(taken.action, spec.action_space)
    reward = taken.reward / statistics.scale(statistics.reward)

    next_policy = policy_over(learned.actor(following, still), spec.action_space)
    next_value, _ = soft_value(targets, next_policy, following, still, temperature, key_next, spec)
    target = constant(soft_target(reward, taken.terminated, next_value, discount=config.discount))
    values = values_of(learned.critics, seen, embedding, done, spec)
    critic_loss = masked_mean(0.5 * jnp.square(values - target[None]).sum(0), taken.valid)

    policy = policy_over(learned.actor(seen, still), spec.action_space)
    value, entropy = soft_value(constant(learned.critics), policy, seen, still, constant(temperature), key_now, spec)
    actor_loss = -masked_mean(value, taken.valid)
    short = constant(target_entropy(spec.action_space, config.target_entropy) - entropy)
    temperature_loss = -learned.log_temperature * masked_mean(short, taken.valid)
    divergence = belief.divergence(LatentBelief.standard(belief)).mean()
    total = critic_loss + actor_loss + temperature_loss + config.divergence_weight * divergence
    metrics = {
        "loss": total,
        "critic_loss": critic_loss,
        "actor_loss": actor_loss,
        "divergence": divergence,
        "temperature": temperature,
        "entropy": masked_mean(entropy, taken.valid),
    }
    return total, metrics


def _observed(statistics: Statistics, lifetimes: Transition, spec: Spec) -> Statistics:
    """The running statistics after another update's lifetimes, over all devices."""
    flat, reward = observed(lifetimes.observation, spec.observation_space, statistics), lifetimes.outcome.reward
    return statistics.after(statistics.of_batch(reward, reward, flat, lifetimes.valid, axis=LIFETIMES_AXIS))
