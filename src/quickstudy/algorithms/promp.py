"""ProMP: proximal meta-policy search (Rothfuss et al. 2019).

The agent is MAML's, with inner steps whose curvature is that of the low-variance estimator. Meta-training takes several steps
on one batch of lifetimes. Experience after an inner step is credited by a clipped surrogate. Experience that a step learned
from is credited through the step's curvature, and is kept near the policies that recorded it:

    max_θ  E[ min(ρ_k A, clip(ρ_k, 1 ± ε) A) of the k > 0 ] − η E[ KL(β_k, π_k) of the k < K ]

    π_k: the start θ after k inner steps on the recorded episodes      β_k: the same, with the θ that recorded them
    ρ_k = π_k(a) / β_k(a)

Inner steps are recomputed from θ with ratios to β_k, so they stay correct as θ moves away from the policy that recorded.

Changed from the paper:

- The divergence is estimated at the recorded actions, by ρ_k − 1 − log ρ_k, which is never negative.
- The return after every inner step counts, as in our MAML. The paper takes the return after the last.
- Advantages after inner steps are divided by their standard deviation over the whole batch.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from quickstudy.algorithms.inner_steps import InnerGradientConfig, InnerStepConfig, Params, inner_step_agent
from quickstudy.algorithms.maml import TrainState, meta_learned, outer_credit, policies_along, returns_after_steps
from quickstudy.networks.policy import PolicyConfig
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.settings import check_above_zero, check_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProximalStepConfig:
    """Settings of the outer loop."""

    learned_rates: bool = True
    """Meta-learn a rate for each weight, starting from `inner_rate`."""
    lifetimes: int = 20
    """Lifetimes, each on a task of its own, per update."""
    meta_steps: int = 3
    """Outer steps on the lifetimes of one update."""
    learning_rate: float = 5e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    clip: float = 0.3
    """How far the probability ratio after an inner step may move in one update."""
    divergence_weight: float = 5e-4
    """Weight of the divergence from the policy that collected the data of the inner steps."""
    max_gradient_norm: float = 1.0
    """Outer gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        check_above_zero(self, "lifetimes", "meta_steps", "learning_rate", "clip", "max_gradient_norm")
        check_at_least(self, 0, "divergence_weight")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProMPConfig:
    """Settings of ProMP."""

    network: PolicyConfig = PolicyConfig()
    inner: InnerStepConfig = InnerStepConfig()
    outer: ProximalStepConfig = ProximalStepConfig()


def promp(spec: Spec, config: ProMPConfig = ProMPConfig()) -> MetaAlgorithm:
    """ProMP for tasks of this spec.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    inner, outer, gradient = config.inner, config.outer, InnerGradientConfig(estimator="lvc")
    agent, optimiser = inner_step_agent(spec, config.network, inner, gradient), clipped_adam(outer.max_gradient_norm)
    cadence = agent.cadence

    def init(key: PRNGKeyArray) -> TrainState:
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params))

    def loss(params: Params, lifetimes: Transition, credit: Array) -> tuple[Array, dict]:
        policy = policies_along(agent, params, lifetimes)
        log_probability = policy.log_probability(lifetimes.decision.action)
        behaviour, valid = lifetimes.decision.extras["log_probability"], lifetimes.valid
        surrogate = clipped_surrogate(log_probability, behaviour, credit, clip=outer.clip)
        moved = log_probability - behaviour
        divergence = jnp.expm1(moved) - moved
        total = outer.divergence_weight * masked_mean(divergence[:-cadence], valid[:-cadence])
        total -= masked_mean(surrogate[cadence:], valid[cadence:])
        return total, {"loss": total, "kl": masked_mean(divergence, valid), "entropy": masked_mean(policy.entropy(), valid)}

    def update(
        state: TrainState,
        lifetimes: Transition,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = outer.learning_rate,
    ) -> tuple[TrainState, dict[str, Array]]:
        del key
        credit = outer_credit(lifetimes, spec, inner, gradient)
        rate = learning_rate * (1 - 0.95 * progress)

        def meta_step(carry: tuple, _: None) -> tuple[tuple, dict]:
            params, optimiser_state = carry
            (_, metrics), slope = jax.value_and_grad(loss, has_aux=True)(params, lifetimes, credit)
            slope, metrics = jax.lax.pmean(
                (meta_learned(slope, gradient.estimator, rates=outer.learned_rates), metrics), LIFETIMES_AXIS
            )
            metrics |= {"gradient_norm": optax.tree.norm(slope)}
            return descend(optimiser, slope, optimiser_state, params, rate=rate), metrics

        (params, optimiser_state), metrics = jax.lax.scan(meta_step, (state.params, state.optimiser), length=outer.meta_steps)
        params = dataclasses.replace(params, start=params.start.after_seeing(lifetimes, spec, axis=LIFETIMES_AXIS))
        metrics = jax.tree.map(lambda leaf: leaf.mean(), metrics)
        metrics |= jax.lax.pmean(returns_after_steps(lifetimes, spec, inner.rollouts), LIFETIMES_AXIS)
        return TrainState(params=params, optimiser=optimiser_state), metrics

    return MetaAlgorithm(
        name="promp",
        config=config,
        agent=agent,
        init=init,
        update=update,
        params=lambda state: state.params,
        lifetimes=outer.lifetimes,
    ).with_learning_rate(outer.learning_rate)
