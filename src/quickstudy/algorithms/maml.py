"""MAML: a start from which a few policy-gradient steps suffice (Finn et al. 2017), with its descendants as settings.

The agent's memory is the adapted policy. It acts with the same weights for `rollouts` episodes, and then takes one step

    φ ← φ + α ∇_φ J_in(φ; D)        φ_0 = θ        D: the last `rollouts` episodes

so a lifetime of (K + 1) · `rollouts` episodes has K inner steps. Meta-training maximises the return of all that is lived after
the first of them, and its gradient flows through all of them.

What J_in looks like changes nothing about φ, for all choices have the same gradient Σ_t A_t ∇ log π(a_t), but everything about
how φ depends on θ. `estimator` says which:

    maml     Σ_t A_t log π(a_t)                          as published: the curvature lacks the products of gradients
    e-maml   the same, and the first episodes are credited with the later returns that they led to (Stadie et al. 2018)
    lvc      Σ_t A_t π(a_t) / β(a_t)                     low-variance curvature (Rothfuss et al. 2019)
    dice     Σ_t A_t (□(a_0 … a_t) − □(a_0 … a_{t−1}))   any-order estimator (Foerster et al. 2018; Farquhar et al. 2019)

    β: the policy that chose a_t, a constant        ⊥x: x as a constant
    □(a_0 … a_t) = exp(Σ_s log π(a_s) − ⊥Σ_s log π(a_s))

Changed from the papers:

- The outer step is one Adam step per batch rather than TRPO.
- How far continuous actions scatter is meta-learned for each number of inner steps, but for the start with e-maml only: the
  others know what scatter costs, not what the inner step learns from it, and would take it away.
- The return after every inner step counts, not only that after the last (`credits`), so that each step is learned from what it
  is worth itself.
- J_in is a mean over steps, of advantages brought to mean 0 and deviation 1 over the episodes of one inner step; so a step of
  the same rate is as large whatever the reward's unit, and an inner step needs two steps of experience at least.
- A normal policy is cut to the bounds of the action space rather than clipped, so that an action and its density agree.

The inner steps, their curvature and the outer gradient are tested against sums over everything that can happen. What each inner
step is worth on 2-D navigation: `quickstudy bench run navigation-maml`, `python benchmarks/inner_steps.py`.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.networks.policy import PolicyNetwork
from quickstudy.numerics.distributions import Policy
from quickstudy.numerics.episode_advantages import episode_advantages, standardised
from quickstudy.numerics.inner_objective import Estimator, inner_objective
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan
from quickstudy.protocol.spaces import encode


@dataclasses.dataclass(frozen=True, kw_only=True)
class MAMLConfig:
    """Settings of MAML."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    input_gain: float = 3.0
    """Of the first layer at birth: 1 suits observations of a size around one, smaller ones need more."""
    rollouts: int = 20
    """Episodes between two inner steps; divides the episodes of a lifetime."""
    adapts: Literal["all", "head", "context"] = "all"
    """What an inner step changes: all weights (MAML), the last layer (ANIL, Raghu et al. 2020), or an input vector alone
    (CAVIA, Zintgraf et al. 2019)."""
    context_size: int = 8
    """Numbers of that input vector, which exists for `context` only."""
    estimator: Estimator = "lvc"
    """How the adapted policy depends on the start; see above."""
    first_order: bool = False
    """Take the inner gradients as constants (FOMAML)."""
    inner_rate: float = 0.1
    """Size of an inner step."""
    learned_rates: bool = True
    """Meta-learn a rate for each weight (Meta-SGD, Li et al. 2017) and each inner step of a lifetime (after Antoniou et al.
    2019), starting from `inner_rate`."""
    discount: float = 0.99
    """Per step, within an episode."""
    trace_decay: float = 0.9
    """Lambda of the generalised advantages."""
    credits: Literal["every", "last"] = "every"
    """Episodes whose return meta-training maximises: those after every inner step, or after the last alone."""
    baseline: Literal["linear", "none"] = "linear"
    """What advantages are measured against: a value that is linear in simple features, fitted anew to the episodes of each
    inner step (Duan et al. 2016), or nothing."""
    lifetimes: int = 20
    """Lifetimes, each on a task of its own, per update."""
    learning_rate: float = 5e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    max_gradient_norm: float = 1.0
    """Outer gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        for name in ("input_gain", "rollouts", "context_size", "inner_rate", "lifetimes", "learning_rate", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        for name in ("discount", "trace_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie within 0 and 1; came {getattr(self, name)}.")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise UsageError(f"hidden_sizes must name one width or more, each above zero; came {self.hidden_sizes}.")


@record
class Params:
    """What the agent is born with: the start, the size of every inner step for each weight that adapts, and how far continuous
    actions scatter after each number of inner steps, beside the start's.

    Leaves of `rates` have a leading axis `[inner steps]`, `scatter` one of one more; in a longer life the last goes on.
    """

    start: PolicyNetwork
    rates: PyTree
    deviation: Float[Array, "parts scatter"]


@record
class Memory:
    """The weights that adapt, as they are now, and how many inner steps were taken."""

    weights: PyTree
    steps: Int[Array, ""]


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: Params
    optimiser: PyTree


def maml(spec: Spec, config: MAMLConfig = MAMLConfig()) -> MetaAlgorithm:
    """MAML for tasks of this spec.

    Args:
      spec: Discrete or Box observations, Discrete or bounded Box actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    return trained_through_inner_steps("maml", spec, config, maml_agent(spec, config))


def trained_through_inner_steps(name: str, spec: Spec, config: MAMLConfig, agent: Agent) -> MetaAlgorithm:
    """The outer loop of an agent whose parameters have a field `rates`: one step of Adam per batch of lifetimes.

    Args:
      name: of the algorithm.
      spec: of the tasks.
      config: its settings.
      agent: to train, by the gradient that flows through its `unroll`.
    """
    optimiser = clipped_adam(config.max_gradient_norm)

    def init(key: PRNGKeyArray) -> TrainState:
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params))

    def loss(params: Params, lifetimes: Transition, credit: Array) -> tuple[Array, dict]:
        policy = recall(agent, params, lifetimes)
        log_probability = policy.log_probability(lifetimes.decision.action)
        behaviour = lifetimes.decision.extras["log_probability"]
        total = -masked_mean(jnp.exp(log_probability - behaviour) * credit, lifetimes.valid)
        entropy = masked_mean(policy.entropy(), lifetimes.valid)
        return total, {"loss": total, "kl": masked_mean(behaviour - log_probability, lifetimes.valid), "entropy": entropy}

    def update(
        state: TrainState, lifetimes: Transition, progress: Array, key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Array]]:
        del key
        credit = outer_credit(lifetimes, spec, config)
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, lifetimes, credit)
        metrics |= returns_after_steps(lifetimes, spec, config.rollouts)
        gradient, metrics = jax.lax.pmean((meta_learned(gradient, config), metrics), LIFETIMES_AXIS)
        rate = config.learning_rate * (1 - 0.95 * progress)
        params, optimiser_state = descend(optimiser, gradient, state.optimiser, state.params, rate=rate)
        return TrainState(params=params, optimiser=optimiser_state), metrics | {"gradient_norm": optax.tree.norm(gradient)}

    return MetaAlgorithm(
        name=name,
        config=config,
        agent=agent,
        init=init,
        update=update,
        params=lambda state: state.params,
        lifetimes=config.lifetimes,
    )


def maml_agent(spec: Spec, config: MAMLConfig) -> Agent:
    """The agent alone: memory is what has been adapted."""
    if spec.episodes % config.rollouts or spec.episodes == config.rollouts:
        raise SpecError(
            f"rollouts must divide the episodes of a lifetime into two parts or more: one to adapt on, one to act in. "
            f"Came {config.rollouts} rollouts and {spec.episodes} episodes. Take {2 * config.rollouts} episodes, for instance."
        )
    cadence = config.rollouts * spec.horizon
    if cadence < 2:
        raise SpecError(
            "one step tells an inner step nothing: rollouts must be 2 or more where an episode is one step; came 1."
        )

    def init(key: PRNGKeyArray) -> Params:
        context = config.context_size if config.adapts == "context" else 0
        start = PolicyNetwork(spec, config.hidden_sizes, context=context, input_gain=config.input_gain, key=key)
        steps = spec.episodes // config.rollouts - 1
        weights = _adapted(start, config)[0]
        rates = jax.tree.map(lambda leaf: jnp.full((steps, *leaf.shape), config.inner_rate, leaf.dtype), weights)
        return Params(start=start, rates=rates, deviation=jnp.zeros((steps + 1, start.deviation.size)))

    def begin(params: Params, key: PRNGKeyArray) -> Memory:
        del key
        return Memory(weights=_adapted(params.start, config)[0], steps=jnp.int32(0))

    def policy_of(params: Params, memory: Memory, observation: Array) -> Policy:
        network = eqx.combine(memory.weights, _adapted(params.start, config)[1])
        deviation = network.deviation + at_inner_step(params.deviation, memory.steps)
        return eqx.tree_at(lambda network: network.deviation, network, deviation).policy(observation, spec)

    def act(params: Params, memory: Memory, observation: Array, key: PRNGKeyArray) -> Decision:
        policy = policy_of(params, memory, observation)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: Params, memory: Memory, experience: Transition, key: PRNGKeyArray) -> Memory:
        del key
        advantage = jax.lax.stop_gradient(standardised(advantages(experience, spec, config), experience.valid))

        def objective(weights: PyTree) -> Array:
            policy = policy_of(params, dataclasses.replace(memory, weights=weights), experience.observation)
            log_probability = policy.log_probability(experience.decision.action)
            behaviour = experience.decision.extras["log_probability"]
            each = inner_objective(
                log_probability, behaviour, advantage, experience.valid, horizon=spec.horizon, estimator=config.estimator
            )
            return each / jnp.maximum(experience.valid.sum(), 1).astype(each.dtype)

        gradient = jax.grad(objective)(memory.weights)
        if config.first_order:
            gradient = jax.lax.stop_gradient(gradient)
        rates = at_inner_step(params.rates, memory.steps)
        weights = jax.tree.map(lambda weight, rate, slope: weight + rate * slope, memory.weights, rates, gradient)
        return Memory(weights=weights, steps=memory.steps + experience.valid.any().astype(jnp.int32))

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Memory, Decision]:
        def chunk(memory: Memory, xs: tuple) -> tuple[Memory, Decision]:
            experience, keys = xs
            decisions = jax.vmap(act, (None, None, 0, 0))(params, memory, experience.observation, keys)
            return adapt(params, memory, experience, key), decisions

        parts = chunks((lifetime, slot_keys(key, spec)[:-1, 1]), length=cadence)
        # The last inner step stands outside the loop, so that it costs nothing where nobody asks for the memory at the end.
        memory, earlier = scan(chunk, begin(params, key), jax.tree.map(lambda leaf: leaf[:-1], parts))
        memory, last = chunk(memory, jax.tree.map(lambda leaf: leaf[-1], parts))
        return memory, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), flatten_chunks(earlier), last)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=cadence, unroll=unroll)


def at_inner_step(each: PyTree, steps: Int[Array, ""]) -> PyTree:
    """Of what differs from inner step to inner step, what holds after so many; beyond the last, the last."""
    return jax.tree.map(lambda leaf: leaf[jnp.minimum(steps, leaf.shape[0] - 1)], each)


def advantages(experience: Transition, spec: Spec, config: MAMLConfig) -> Float[Array, " steps"]:
    """Of whole episodes `[steps]`, in reward units."""
    return episode_advantages(
        encode(experience.observation, spec.observation_space),
        experience.outcome.reward,
        experience.valid,
        horizon=spec.horizon,
        discount=config.discount,
        trace_decay=config.trace_decay,
        baseline=config.baseline,
    )


def credit_of_one(
    lifetime: Transition, spec: Spec, config: MAMLConfig
) -> tuple[Float[Array, "parts cadence"], Float[Array, "parts cadence"]]:
    """What each action of one lifetime is credited with, in reward units, part by part between inner steps.

    First with what the inner steps led to that learned from it, then with its own advantage.
    """
    parts = chunks(lifetime, length=config.rollouts * spec.horizon)
    count = len(parts.valid)
    counts = jnp.arange(count) >= (1 if config.credits == "every" else count - 1)
    own = jax.vmap(lambda part: advantages(part, spec, config))(parts)
    led_to = jnp.zeros(count)
    if config.estimator == "e-maml":
        # Every earlier action may have changed all that came after the next inner step.
        returns = jnp.where(counts, parts.outcome.reward.sum(1), 0.0)
        led_to = jnp.cumsum(returns[::-1])[::-1] - returns
    return jnp.where(parts.valid, led_to[:, None], 0.0), jnp.where(parts.valid & counts[:, None], own, 0.0)


def outer_credit(lifetimes: Transition, spec: Spec, config: MAMLConfig) -> Float[Array, "T lifetimes"]:
    """What each action is credited with in the outer gradient, less what is expected, in units of its deviation."""
    led_to, own = jax.vmap(lambda one: credit_of_one(one, spec, config), 1, 2)(lifetimes)
    valid = chunks(lifetimes.valid, length=own.shape[1])
    first = 1 if config.credits == "every" else len(own) - 1
    mean = lambda values, valid: jax.lax.pmean(masked_mean(values, valid), LIFETIMES_AXIS)  # noqa: E731
    if config.estimator == "e-maml":
        led_to = jnp.where(valid, led_to - jax.vmap(mean)(led_to, valid)[:, None, None], 0.0)
    own = jnp.where(valid, own, 0.0)
    deviation = jnp.sqrt(mean(jnp.square(own[first:] - mean(own[first:], valid[first:])), valid[first:])) + 1e-8
    return jax.lax.stop_gradient(flatten_chunks(led_to + own) / deviation)


def recall(agent: Agent, params: Params, lifetimes: Transition) -> Policy:
    """The policy `[T, lifetimes]` at every step, as the start and the inner steps make it; differentiable through both."""
    # No action is sampled anew, and an inner step draws nothing: the key is of no consequence.
    unroll = jax.vmap(agent.unroll, (None, 1, None), (0, 1))
    return unroll(params, lifetimes, jax.random.key(0))[1].extras["policy"]


def meta_learned(gradient: Params, config: MAMLConfig) -> Params:
    """The outer gradient, without that of what is not meta-learned."""
    if not config.learned_rates:
        gradient = dataclasses.replace(gradient, rates=jax.tree.map(jnp.zeros_like, gradient.rates))
    gradient = dataclasses.replace(gradient, deviation=gradient.deviation.at[0].set(0.0))
    if config.estimator != "e-maml":
        still = jnp.zeros_like(gradient.start.deviation)
        gradient = dataclasses.replace(gradient, start=eqx.tree_at(lambda start: start.deviation, gradient.start, still))
    return gradient


def returns_after_steps(lifetimes: Transition, spec: Spec, rollouts: int) -> dict[str, Array]:
    """The mean return of an episode after each number of inner steps, for people to watch."""
    parts = spec.episodes // rollouts
    reward = lifetimes.outcome.reward.reshape(parts, -1, lifetimes.valid.shape[1]).sum(1).mean(-1) / rollouts
    return {f"return_after_{number}": reward[number] for number in range(parts)}


def _adapted(network: PolicyNetwork, config: MAMLConfig) -> tuple[PyTree, PyTree]:
    """The part of a network that inner steps change, and the rest."""
    chosen = jax.tree.map(lambda _: config.adapts == "all", network)
    if config.adapts != "all":
        part = (lambda n: (n.head, n.deviation)) if config.adapts == "head" else (lambda n: n.context)
        chosen = eqx.tree_at(part, chosen, jax.tree.map(lambda _: True, part(network)))
    return eqx.partition(network, chosen)
