"""MAML: a start from which a few policy-gradient steps suffice (Finn et al. 2017), with its descendants as settings.

The agent's memory is the adapted policy. It acts with the same weights for `rollouts` episodes, and then takes one step

    φ ← φ + α ∇_φ J_in(φ; D)        φ_0 = θ        D: the last `rollouts` episodes

so a lifetime of (K + 1) · `rollouts` episodes has K inner steps. Meta-training maximises the return after the last of them,
and its gradient flows through all of them.

What J_in looks like changes nothing about φ, for all choices have the same gradient Σ_t A_t ∇ log π(a_t), but everything about
how φ depends on θ. `estimator` says which:

    maml     Σ_t A_t log π(a_t)                          as published: the curvature lacks the products of gradients
    e-maml   the same, and the first episodes are credited with the later returns that they led to (Stadie et al. 2018)
    lvc      Σ_t A_t π(a_t) / ⊥π(a_t)                    low-variance curvature (Rothfuss et al. 2019)
    dice     Σ_t A_t (□(a_0 … a_t) − □(a_0 … a_{t−1}))   any-order estimator (Foerster et al. 2018; Farquhar et al. 2019)

    ⊥x: x as a constant        □(a_0 … a_t) = exp(Σ_s log π(a_s) − ⊥Σ_s log π(a_s))

Changed from the papers:

- The outer step is one Adam step per batch rather than TRPO.
- J_in is a mean over steps, of advantages brought to mean 0 and deviation 1 over the episodes of one inner step; so a step of
  the same rate is as large whatever the reward's unit, and an inner step needs two steps of experience at least.
- A normal policy is cut to the bounds of the action space rather than clipped, so that an action and its density agree.

Not in the table of algorithms yet: the inner steps and their curvature are tested exactly, the outer gradient of `e-maml` is
not, and no result has been measured. `quickstudy train PATH/maml.py:maml point-navigation --episodes 40` trains it meanwhile.
"""

import dataclasses
import functools
import itertools
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.agent import Agent
from quickstudy.errors import SpecError, UsageError
from quickstudy.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.networks import Dense, encode
from quickstudy.numerics.distributions import Policy, policy_over, policy_parameters
from quickstudy.numerics.linear_baseline import linear_baseline
from quickstudy.numerics.returns import generalised_advantage
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.records import Decision, Spec, Transition, flat_size, record


@dataclasses.dataclass(frozen=True, kw_only=True)
class MAMLConfig:
    """Settings of MAML."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    rollouts: int = 20
    """Episodes between two inner steps; divides the episodes of a lifetime."""
    adapts: Literal["all", "head", "context"] = "all"
    """What an inner step changes: all weights (MAML), the last layer (ANIL, Raghu et al. 2020), or an input vector alone
    (CAVIA, Zintgraf et al. 2019)."""
    context_size: int = 8
    """Numbers of that input vector, which exists for `context` only."""
    estimator: Literal["maml", "e-maml", "lvc", "dice"] = "lvc"
    """How the adapted policy depends on the start; see above."""
    first_order: bool = False
    """Take the inner gradients as constants (FOMAML)."""
    inner_rate: float = 0.1
    """Size of an inner step."""
    learned_rates: bool = False
    """Meta-learn a rate for each weight, starting from `inner_rate` (Meta-SGD, Li et al. 2017)."""
    discount: float = 0.99
    """Per step, within an episode."""
    trace_decay: float = 1.0
    """Lambda of the generalised advantages."""
    lifetimes: int = 40
    """Lifetimes, each on a task of its own, per update."""
    learning_rate: float = 1e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    max_gradient_norm: float = 1.0
    """Outer gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        for name in ("rollouts", "context_size", "inner_rate", "lifetimes", "learning_rate", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        for name in ("discount", "trace_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie within 0 and 1; came {getattr(self, name)}.")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise UsageError(f"hidden_sizes must name one width or more, each above zero; came {self.hidden_sizes}.")


class PolicyNetwork(eqx.Module):
    """Layers of tanh, and a head; a context vector stands beside the observation."""

    layers: tuple[Dense, ...]
    head: Dense
    context: Float[Array, " context"]

    def __init__(self, spec: Spec, config: MAMLConfig, *, key: PRNGKeyArray):
        """The policy starts close to uniform; the context is zero."""
        keys = jax.random.split(key, len(config.hidden_sizes) + 1)
        context = config.context_size if config.adapts == "context" else 0
        sizes = (flat_size(spec.observation_space) + context, *config.hidden_sizes)
        pairs = itertools.pairwise(sizes)
        self.layers = tuple(Dense(*pair, gain=1.0, key=key) for pair, key in zip(pairs, keys[1:], strict=True))
        self.head = Dense(sizes[-1], policy_parameters(spec.action_space), gain=0.1, key=keys[0])
        self.context = jnp.zeros(context)

    def __call__(self, observation: Float[Array, "*time size"]) -> Float[Array, "*time numbers"]:
        """The numbers that make a policy, from flat observations."""
        context = jnp.broadcast_to(self.context, (*observation.shape[:-1], self.context.size))
        hidden = jnp.tanh(self.layers[0](observation, context))
        for layer in self.layers[1:]:
            hidden = jnp.tanh(layer(hidden))
        return self.head(hidden)


@record
class Params:
    """What the agent is born with: the start, and the size of the step of each weight that adapts."""

    start: PolicyNetwork
    rates: PyTree


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
    agent = maml_agent(spec, config)
    optimiser = optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), optax.scale_by_adam(eps=1e-5))

    def init(key: PRNGKeyArray) -> TrainState:
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params))

    def loss(params: Params, lifetimes: Transition, key: PRNGKeyArray) -> tuple[Array, dict]:
        keys = jax.random.split(key, lifetimes.valid.shape[1])
        unroll = jax.vmap(agent.unroll, (None, 1, 0), (0, 1))
        policy = unroll(params, lifetimes, keys)[1].extras["policy"]
        weight = jax.lax.stop_gradient(_credit(lifetimes, spec, config))
        log_probability = policy.log_probability(lifetimes.decision.action)
        behaviour = lifetimes.decision.extras["log_probability"]
        gained = jnp.exp(log_probability - behaviour) * weight
        last = jnp.arange(spec.lifetime_steps)[:, None] >= spec.lifetime_steps - agent.cadence
        total = -gained.sum() / jnp.maximum((lifetimes.valid & last).sum(), 1).astype(gained.dtype)
        drift = masked_mean(behaviour - log_probability, lifetimes.valid)
        return total, {"loss": total, "kl": drift, "entropy": masked_mean(policy.entropy(), lifetimes.valid)}

    def update(
        state: TrainState, lifetimes: Transition, progress: Array, key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Array]]:
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, lifetimes, key)
        gradient, metrics = jax.lax.pmean((gradient, metrics | _steps(lifetimes, spec, config)), LIFETIMES_AXIS)
        if not config.learned_rates:
            gradient = dataclasses.replace(gradient, rates=jax.tree.map(jnp.zeros_like, gradient.rates))
        with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers and multiplies by floats
            step, optimiser_state = optimiser.update(gradient, state.optimiser, state.params)
        rate = config.learning_rate * (1 - 0.95 * progress)
        params = jax.tree.map(lambda w, s: w - rate * s, state.params, step)
        return TrainState(params=params, optimiser=optimiser_state), metrics | {"gradient_norm": optax.tree.norm(gradient)}

    return MetaAlgorithm(
        name="maml",
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
            f"Came {config.rollouts} rollouts and {spec.episodes} episodes."
        )

    def init(key: PRNGKeyArray) -> Params:
        start = PolicyNetwork(spec, config, key=key)
        rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, config.inner_rate), _adapted(start, config)[0])
        return Params(start=start, rates=rates)

    def begin(params: Params, key: PRNGKeyArray) -> PyTree:
        del key
        return _adapted(params.start, config)[0]

    def policy_of(params: Params, memory: PyTree, observation: Array) -> Policy:
        network = eqx.combine(memory, _adapted(params.start, config)[1])
        return policy_over(network(encode(observation, spec.observation_space)), spec.action_space)

    def act(params: Params, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        policy = policy_of(params, memory, observation)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: Params, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        advantage, _ = jax.lax.stop_gradient(_advantages(experience, spec, config))

        def objective(memory: PyTree) -> Array:
            policy = policy_of(params, memory, experience.observation)
            log_probability = policy.log_probability(experience.decision.action)
            gained = inner_objective(log_probability, advantage, experience.valid, horizon=spec.horizon, config=config)
            return gained / jnp.maximum(experience.valid.sum(), 1).astype(gained.dtype)

        gradient = jax.grad(objective)(memory)
        if config.first_order:
            gradient = jax.lax.stop_gradient(gradient)
        return jax.tree.map(lambda weight, rate, slope: weight + rate * slope, memory, params.rates, gradient)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=config.rollouts * spec.horizon)


def inner_objective(
    log_probability: Float[Array, " steps"],
    advantage: Float[Array, " steps"],
    valid: Bool[Array, " steps"],
    *,
    horizon: int,
    config: MAMLConfig,
) -> Float[Array, ""]:
    """J_in of whole episodes `[steps]`, one after another: see above for what the estimators differ in."""
    constant = jax.lax.stop_gradient
    log_probability = jnp.where(valid, log_probability, 0.0)
    if config.estimator in ("maml", "e-maml"):
        each = log_probability
    elif config.estimator == "lvc":
        each = jnp.exp(log_probability - constant(log_probability))
    else:
        so_far = jnp.cumsum(log_probability.reshape(-1, horizon), axis=1).reshape(-1)
        before = so_far - log_probability
        each = jnp.exp(so_far - constant(so_far)) - jnp.exp(before - constant(before))
    return jnp.where(valid, each * advantage, 0.0).sum()


def _adapted(network: PolicyNetwork, config: MAMLConfig) -> tuple[PyTree, PyTree]:
    """The part of a network that inner steps change, and the rest."""
    chosen = jax.tree.map(lambda _: config.adapts == "all", network)
    if config.adapts != "all":
        part = (lambda n: n.head) if config.adapts == "head" else (lambda n: n.context)
        chosen = eqx.tree_at(part, chosen, jax.tree.map(lambda _: True, part(network)))
    return eqx.partition(network, chosen)


def _advantages(experience: Transition, spec: Spec, config: MAMLConfig) -> tuple[Float[Array, " steps"], Float[Array, ""]]:
    """Advantages `[steps]` within whole episodes, brought to mean 0 and deviation 1, and the deviation that they had."""
    cut = lambda leaf: leaf.reshape(-1, spec.horizon, *leaf.shape[1:])  # noqa: E731
    reward, valid = cut(experience.outcome.reward), cut(experience.valid)
    estimate = functools.partial(generalised_advantage, discount=config.discount)
    returns, _ = jax.vmap(functools.partial(estimate, trace_decay=1.0))(reward, jnp.zeros_like(reward), valid)
    value = linear_baseline(cut(encode(experience.observation, spec.observation_space)), returns, valid)
    advantage, _ = jax.vmap(functools.partial(estimate, trace_decay=config.trace_decay))(reward, value, valid)
    mean = masked_mean(advantage, valid)
    deviation = jnp.sqrt(masked_mean(jnp.square(advantage - mean), valid)) + 1e-8
    return jnp.where(valid, (advantage - mean) / deviation, 0.0).reshape(-1), deviation


def _credit(lifetimes: Transition, spec: Spec, config: MAMLConfig) -> Float[Array, "T lifetimes"]:
    """What the log-probability of each action is weighted with in the outer gradient."""
    last = slice(-config.rollouts * spec.horizon, None)
    advantage, deviation = jax.vmap(functools.partial(_advantages, spec=spec, config=config), 1, (1, 0))(
        jax.tree.map(lambda leaf: leaf[last], lifetimes)
    )
    weight = jnp.zeros(lifetimes.valid.shape)
    if config.estimator == "e-maml":
        # Every earlier action may have changed all that came after the last inner step.
        later = lifetimes.outcome.reward[last].sum(0)
        surprise = (later - jax.lax.pmean(later.mean(), LIFETIMES_AXIS)) / deviation
        weight = jnp.where(lifetimes.valid, surprise[None], 0.0)
    return weight.at[last].set(advantage)


def _steps(lifetimes: Transition, spec: Spec, config: MAMLConfig) -> dict[str, Array]:
    """The mean return of an episode after each number of inner steps, for people to watch."""
    parts = spec.episodes // config.rollouts
    reward = lifetimes.outcome.reward.reshape(parts, -1, lifetimes.valid.shape[1]).sum(1).mean(-1) / config.rollouts
    return {f"return_after_{number}": reward[number] for number in range(parts)}
