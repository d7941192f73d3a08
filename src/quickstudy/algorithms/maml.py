"""MAML: a start from which a few policy-gradient steps suffice (Finn et al. 2017), with its descendants as settings.

The agent's memory is the adapted policy. It acts with the same weights for `rollouts` episodes, and then takes one step

    φ ← φ + α ∇_φ J_in(φ; D)        φ_0 = θ        D: the last `rollouts` episodes

so a lifetime of (K + 1) · `rollouts` episodes has K inner steps. Meta-training maximises the return of all episodes after
the first inner step, and its gradient flows through all inner steps.

All choices of J_in have the same gradient Σ_t A_t ∇ log π(a_t), so they give the same φ. They differ in how φ depends on θ.
`estimator` says which is taken:

    maml     Σ_t A_t log π(a_t)                          as published: the curvature lacks the products of gradients
    e-maml   the same, and the first episodes are credited with the later returns that they led to (Stadie et al. 2018)
    lvc      Σ_t A_t π(a_t) / β(a_t)                     low-variance curvature (Rothfuss et al. 2019)
    dice     Σ_t A_t (□(a_0 … a_t) − □(a_0 … a_{t−1}))   any-order estimator (Foerster et al. 2018; Farquhar et al. 2019)

    β: the policy that chose a_t, a constant        ⊥x: x as a constant
    □(a_0 … a_t) = exp(Σ_s log π(a_s) − ⊥Σ_s log π(a_s))

Changed from the papers:

- The outer step is one Adam step per batch rather than TRPO.
- The standard deviation of continuous actions is meta-learned, one for each number of inner steps. That before the first inner
  step is learned with `e-maml` only. The other estimators see what exploration costs, and not what the inner step gains by
  it, so they would drive it to zero.
- The return after every inner step counts, not only the return after the last (`credits`). So each step is credited with its
  own effect.
- J_in is a mean over steps, of advantages brought to mean 0 and deviation 1 over the episodes of one inner step. So a rate
  means the same in every unit of reward, and an inner step needs at least two steps of experience.
- A normal policy is cut to the bounds of the action space rather than clipped, so that an action and its density agree.

The inner steps, their curvature and the outer gradient are tested against sums over everything that can happen. What each inner
step is worth on 2-D navigation: `quickstudy bench run navigation-maml`, `python benchmarks/inner_steps.py`.
"""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.algorithms.inner_steps import InnerGradientConfig, InnerStepConfig, advantages, inner_step_agent
from quickstudy.networks.policy import PolicyConfig
from quickstudy.numerics.distributions import Policy
from quickstudy.numerics.inner_objective import Estimator
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.protocol.sequences import chunks, flatten_chunks
from quickstudy.protocol.settings import check_above_zero

Credits = Literal["every", "last"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OuterStepConfig:
    """Settings of the outer loop."""

    credits: Credits = "every"
    """Episodes whose return meta-training maximises: those after every inner step, or only those after the last."""
    learned_rates: bool = True
    """Meta-learn a rate for each weight and each inner step of a lifetime, starting from `inner_rate`.
    Sources: Meta-SGD, Li et al. 2017; rates of each step, Antoniou et al. 2019."""
    lifetimes: int = 20
    """Lifetimes, each on a task of its own, per update."""
    learning_rate: float = 5e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    max_gradient_norm: float = 1.0
    """Outer gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        check_above_zero(self, "lifetimes", "learning_rate", "max_gradient_norm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MAMLConfig:
    """Settings of MAML."""

    network: PolicyConfig = PolicyConfig()
    inner: InnerStepConfig = InnerStepConfig()
    gradient: InnerGradientConfig = InnerGradientConfig()
    outer: OuterStepConfig = OuterStepConfig()


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: PyTree
    optimiser: PyTree


def maml(spec: Spec, config: MAMLConfig = MAMLConfig()) -> MetaAlgorithm:
    """MAML for tasks of this spec.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    agent = inner_step_agent(spec, config.network, config.inner, config.gradient)
    return trained_through_inner_steps(
        "maml", spec, config, agent, inner=config.inner, gradient=config.gradient, outer=config.outer
    )


def trained_through_inner_steps(
    name: str,
    spec: Spec,
    config: Any,
    agent: Agent,
    *,
    inner: InnerStepConfig,
    gradient: InnerGradientConfig,
    outer: OuterStepConfig,
) -> MetaAlgorithm:
    """The outer loop of an agent whose parameters have a field `rates`: one step of Adam per batch of lifetimes.

    Args:
      name: of the algorithm.
      spec: of the tasks.
      config: of the whole algorithm, for its record.
      agent: to train, by the gradient that flows through its `unroll`.
      inner: settings of the agent's inner steps.
      gradient: how they depend on the start.
      outer: settings of this loop.
    """
    optimiser = clipped_adam(outer.max_gradient_norm)

    def init(key: PRNGKeyArray) -> TrainState:
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params))

    def loss(params: PyTree, lifetimes: Transition, credit: Array) -> tuple[Array, dict]:
        policy = policies_along(agent, params, lifetimes)
        log_probability = policy.log_probability(lifetimes.decision.action)
        behaviour = lifetimes.decision.extras["log_probability"]
        total = -masked_mean(jnp.exp(log_probability - behaviour) * credit, lifetimes.valid)
        entropy = masked_mean(policy.entropy(), lifetimes.valid)
        return total, {"loss": total, "kl": masked_mean(behaviour - log_probability, lifetimes.valid), "entropy": entropy}

    def update(
        state: TrainState,
        lifetimes: Transition,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = outer.learning_rate,
    ) -> tuple[TrainState, dict[str, Array]]:
        del key
        credit = outer_credit(lifetimes, spec, inner, gradient, credits=outer.credits)
        (_, metrics), slope = jax.value_and_grad(loss, has_aux=True)(state.params, lifetimes, credit)
        metrics |= returns_after_steps(lifetimes, spec, inner.rollouts)
        slope, metrics = jax.lax.pmean(
            (meta_learned(slope, gradient.estimator, rates=outer.learned_rates), metrics), LIFETIMES_AXIS
        )
        rate = learning_rate * (1 - 0.95 * progress)
        params, optimiser_state = descend(optimiser, slope, state.optimiser, state.params, rate=rate)
        params = dataclasses.replace(params, start=params.start.after_seeing(lifetimes, spec, axis=LIFETIMES_AXIS))
        return TrainState(params=params, optimiser=optimiser_state), metrics | {"gradient_norm": optax.tree.norm(slope)}

    return MetaAlgorithm(
        name=name,
        config=config,
        agent=agent,
        init=init,
        update=update,
        params=lambda state: state.params,
        lifetimes=outer.lifetimes,
    ).with_learning_rate(outer.learning_rate)


def credit_of_one(
    lifetime: Transition, spec: Spec, inner: InnerStepConfig, gradient: InnerGradientConfig, *, credits: Credits
) -> tuple[Float[Array, "parts cadence"], Float[Array, "parts cadence"]]:
    """What each action of one lifetime is credited with, in reward units, part by part between inner steps.

    The first result is the return of the episodes that followed the inner steps which learned from the action. The second is
    the action's own advantage.
    """
    parts = chunks(lifetime, length=inner.rollouts * spec.horizon)
    count = len(parts.valid)
    counts = jnp.arange(count) >= (1 if credits == "every" else count - 1)
    own = jax.vmap(lambda part: advantages(part, spec, inner, baseline=gradient.baseline))(parts)
    led_to = jnp.zeros(count)
    if gradient.estimator == "e-maml":
        # Every earlier action may have changed all that came after the next inner step.
        returns = jnp.where(counts, parts.outcome.reward.sum(1), 0.0)
        led_to = jnp.cumsum(returns[::-1])[::-1] - returns
    return jnp.where(parts.valid, led_to[:, None], 0.0), jnp.where(parts.valid & counts[:, None], own, 0.0)


def outer_credit(
    lifetimes: Transition, spec: Spec, inner: InnerStepConfig, gradient: InnerGradientConfig, *, credits: Credits = "every"
) -> Float[Array, "T lifetimes"]:
    """The credit of each action in the outer gradient, in standard deviations of the advantages.

    With `e-maml`, the return that an action led to is counted after its mean over the batch is subtracted.
    """
    led_to, own = jax.vmap(lambda one: credit_of_one(one, spec, inner, gradient, credits=credits), 1, 2)(lifetimes)
    valid = chunks(lifetimes.valid, length=own.shape[1])
    first = 1 if credits == "every" else len(own) - 1
    mean = lambda values, valid: jax.lax.pmean(masked_mean(values, valid), LIFETIMES_AXIS)  # noqa: E731
    if gradient.estimator == "e-maml":
        led_to = jnp.where(valid, led_to - jax.vmap(mean)(led_to, valid)[:, None, None], 0.0)
    own = jnp.where(valid, own, 0.0)
    deviation = jnp.sqrt(mean(jnp.square(own[first:] - mean(own[first:], valid[first:])), valid[first:])) + 1e-8
    return jax.lax.stop_gradient(flatten_chunks(led_to + own) / deviation)


def policies_along(agent: Agent, params: PyTree, lifetimes: Transition) -> Policy:
    """The policy `[T, lifetimes]` at every step, as the start and the inner steps make it; differentiable through both."""
    # No action is drawn again, and an inner step draws nothing, so the keys have no effect.
    keys = jnp.broadcast_to(jax.random.key(0), lifetimes.valid.shape[1:])
    return agent.unroll(params, lifetimes, keys)[1].extras["policy"]


def meta_learned(gradient: Any, estimator: Estimator, *, rates: bool) -> Any:
    """The outer gradient, set to zero for what is not meta-learned; `rates` says whether inner rates are."""
    if not rates:
        gradient = dataclasses.replace(gradient, rates=jax.tree.map(jnp.zeros_like, gradient.rates))
    gradient = dataclasses.replace(gradient, deviation=gradient.deviation.at[0].set(0.0))
    if estimator != "e-maml":
        still = jnp.zeros_like(gradient.start.deviation)
        gradient = dataclasses.replace(gradient, start=eqx.tree_at(lambda start: start.deviation, gradient.start, still))
    return gradient


def returns_after_steps(lifetimes: Transition, spec: Spec, rollouts: int) -> dict[str, Array]:
    """The mean return of an episode after each number of inner steps, for people to watch."""
    parts = spec.episodes // rollouts
    reward = lifetimes.outcome.reward.reshape(parts, -1, lifetimes.valid.shape[1]).sum(1).mean(-1) / rollouts
    return {f"return_after_{number}": reward[number] for number in range(parts)}
