"""MAML whose inner steps change a stated part of the policy; which part is meta-learned (after von Oswald et al. 2021).

In every hidden layer, inner steps change the incoming weights of a few units. They also change the head's weights from the
chosen units of the last layer:

    units U_l = the adapted_fraction of layer l with the highest scores s_l
    Δ ← Δ + α ∇_Δ J_in        Δ: the rows U_l of each hidden layer's weights and biases, the columns U_L of the head,
                              its bias, and the standard deviation of continuous actions

Memory is Δ alone, so the memory of a lifetime falls with the fraction. Of the inner step's arithmetic, the products that give
the gradients of weights fall with it too. The forward and backward pass through the network stay. They are nearly half of the
whole (docs/algorithms.md counts them).

Scores are meta-learned by the straight-through estimator (Bengio et al. 2013). Meta-training takes full inner steps, and a mask
keeps the chosen part of them. The score of every unit, chosen or not, gets the slope of the return along the mask. So a unit
that is left out can be chosen later.

Changed from the paper: the mask is over units rather than over single weights, which makes the inner step cheaper and not only
sparser; the number of units is stated, where the paper keeps those with positive scores.
"""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree

from quickstudy.algorithms.inner_steps import (
    InnerGradientConfig,
    InnerStepConfig,
    Params,
    adapted_part,
    advantages,
    at_inner_step,
    inner_step_agent,
)
from quickstudy.algorithms.maml import OuterStepConfig, trained_through_inner_steps
from quickstudy.networks.policy import PolicyConfig, PolicyNetwork, with_deviation
from quickstudy.numerics.distributions import Policy, policy_over
from quickstudy.numerics.episode_advantages import standardised
from quickstudy.numerics.inner_objective import inner_objective
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.settings import check_above_zero


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseMAMLConfig:
    """Settings of sparse MAML: those of MAML, and how much of the policy its inner steps change."""

    network: PolicyConfig = PolicyConfig()
    inner: InnerStepConfig = InnerStepConfig()
    gradient: InnerGradientConfig = InnerGradientConfig()
    outer: OuterStepConfig = OuterStepConfig()
    adapted_fraction: float = 0.1
    """Part of the hidden units of each layer that inner steps change; always at least one unit."""

    def __post_init__(self) -> None:
        check_above_zero(self, "adapted_fraction")
        if self.adapted_fraction > 1:
            raise UsageError(f"adapted_fraction must be above zero and at most 1; came {self.adapted_fraction}.")
        if self.inner.adapts != "all":
            raise UsageError(f"adapts must be 'all' here, where adapted_fraction says what adapts; came {self.inner.adapts!r}.")


@record
class SparseParams:
    """The parameters of MAML, and the scores that say which units adapt; `scores` `[units]` of each hidden layer."""

    start: PolicyNetwork
    rates: PolicyNetwork
    deviation: Float[Array, "parts actions"]
    scores: tuple[Float[Array, " units"], ...]


@record
class Change:
    """What is added to the incoming weights and biases of the chosen units of a layer."""

    weight: Float[Array, "chosen inputs"]
    bias: Float[Array, " chosen"]


@record
class Changes:
    """Everything that inner steps have changed."""

    layers: tuple[Change, ...]
    head_weight: Float[Array, "outputs chosen"]
    head_bias: Float[Array, " outputs"]
    deviation: Float[Array, " actions"]


@record
class Memory:
    """What inner steps have changed, and how many were taken."""

    change: Changes
    steps: Int[Array, ""]


def sparse_maml(spec: Spec, config: SparseMAMLConfig = SparseMAMLConfig()) -> MetaAlgorithm:
    """Sparse MAML for tasks of this spec.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    agent, inner, gradient = sparse_maml_agent(spec, config), config.inner, config.gradient
    return trained_through_inner_steps("sparse-maml", spec, config, agent, inner=inner, gradient=gradient, outer=config.outer)


def sparse_maml_agent(spec: Spec, config: SparseMAMLConfig) -> Agent:
    """The agent alone."""
    full = inner_step_agent(spec, config.network, config.inner, config.gradient)

    def init(key: PRNGKeyArray) -> SparseParams:
        born = full.init(key)
        # At first the scores differ only enough to have an order, so that the first slopes decide.
        scores = tuple(1e-2 * jax.random.normal(key, layer.bias.shape) for layer in born.start.layers)
        return SparseParams(start=born.start, rates=born.rates, deviation=born.deviation, scores=scores)

    def begin(params: SparseParams, key: PRNGKeyArray) -> Memory:
        del key
        change = jax.tree.map(jnp.zeros_like, _part(params.start, _chosen(params, config)))
        return Memory(change=change, steps=jnp.int32(0))

    def policy_of(params: SparseParams, memory: Memory, observation: Array) -> Policy:
        hidden, chosen = params.start.read(observation, spec), _chosen(params, config)
        for layer, change, units in zip(params.start.layers, memory.change.layers, chosen, strict=True):
            hidden = jnp.tanh(layer(hidden).at[..., units].add(hidden @ change.weight.T + _like(change.bias, hidden)))
        moved = hidden[..., chosen[-1]] @ memory.change.head_weight.T + _like(memory.change.head_bias, hidden)
        deviation = params.start.deviation + memory.change.deviation + at_inner_step(params.deviation, memory.steps)
        return policy_over(with_deviation(params.start.head(hidden) + moved, deviation), spec.action_space)

    def act(params: SparseParams, memory: Memory, observation: Array, key: PRNGKeyArray) -> Decision:
        policy = policy_of(params, memory, observation)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: SparseParams, memory: Memory, experience: Transition, key: PRNGKeyArray) -> Memory:
        del key
        advantage = standardised(
            advantages(experience, spec, config.inner, baseline=config.gradient.baseline), experience.valid
        )

        def objective(change: Changes) -> Array:
            policy = policy_of(params, dataclasses.replace(memory, change=change), experience.observation)
            log_probability = policy.log_probability(experience.decision.action)
            behaviour = experience.decision.extras["log_probability"]
            each = inner_objective(
                log_probability,
                behaviour,
                advantage,
                experience.valid,
                horizon=spec.horizon,
                estimator=config.gradient.estimator,
            )
            return each / jnp.maximum(experience.valid.sum(), 1).astype(each.dtype)

        rates = _part(at_inner_step(params.rates, memory.steps), _chosen(params, config))
        slopes = jax.grad(objective)(memory.change)
        change = jax.tree.map(lambda change, rate, slope: change + rate * slope, memory.change, rates, slopes)
        return Memory(change=change, steps=memory.steps + experience.valid.any().astype(jnp.int32))

    def unroll(params: SparseParams, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[Memory, Decision]:
        chosen = _chosen(params, config)
        mask, _ = adapted_part(_mask(params, chosen), config.inner)
        rates = jax.tree.map(lambda rate, mask: rate * mask[None], params.rates, mask)
        dense = Params(start=params.start, rates=rates, deviation=params.deviation)
        adapted, decisions = full.unroll(dense, lifetimes, key)
        start, _ = adapted_part(params.start, config.inner)
        change_of = lambda weights: _part(jax.tree.map(jnp.subtract, weights, start), chosen)  # noqa: E731
        for _ in range(key.ndim):
            change_of = jax.vmap(change_of)
        return Memory(change=change_of(adapted.weights), steps=adapted.steps), decisions

    agent = Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=full.cadence)
    return agent.with_fast_unroll(unroll)


def _chosen(params: SparseParams, config: SparseMAMLConfig) -> tuple[Int[Array, " chosen"], ...]:
    """The units of each hidden layer that adapt."""
    count = lambda scores: max(1, math.ceil(config.adapted_fraction * scores.size))  # noqa: E731
    return tuple(jax.lax.top_k(scores, count(scores))[1] for scores in params.scores)


def _part(network: PolicyNetwork, chosen: tuple[Int[Array, " chosen"], ...]) -> Changes:
    """The weights that belong to the chosen units."""
    layers = zip(network.layers, chosen, strict=True)
    return Changes(
        layers=tuple(Change(weight=layer.weight[units], bias=layer.bias[units]) for layer, units in layers),
        head_weight=network.head.weight[:, chosen[-1]],
        head_bias=network.head.bias,
        deviation=network.deviation,
    )


def _mask(params: SparseParams, chosen: tuple[Int[Array, " chosen"], ...]) -> PyTree:
    """One for what the chosen units own and zero elsewhere; its slope passes to the scores of all units."""
    masks = []
    for scores, units in zip(params.scores, chosen, strict=True):
        soft = jax.nn.sigmoid(scores)
        masks.append(jnp.zeros_like(scores).at[units].set(1.0) + soft - jax.lax.stop_gradient(soft))
    mask = jax.tree.map(jnp.ones_like, params.start)
    weights = [m[:, None] * layer.weight for m, layer in zip(masks, mask.layers, strict=True)]
    mask = eqx.tree_at(lambda n: [layer.weight for layer in n.layers], mask, weights)
    mask = eqx.tree_at(lambda n: [layer.bias for layer in n.layers], mask, masks)
    return eqx.tree_at(lambda n: n.head.weight, mask, masks[-1][None] * mask.head.weight)


def _like(bias: Float[Array, " size"], beside: Array) -> Array:
    """A bias with as many axes as what it is added to."""
    return bias.reshape((1,) * (beside.ndim - 1) + bias.shape)
