"""The agent that adapts by gradient steps on its own policy: MAML's, ProMP's and Reptile's.

Memory is the adapted policy. The agent acts with the same weights for `rollouts` episodes, and then takes one inner step

    φ ← φ + α ∇_φ J_in(φ; D)        φ_0 = θ        D: the last `rollouts` episodes

`algorithms/maml.py` says what J_in is, and how the start θ and the rates α are meta-learned.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.networks.policy import PolicyConfig, PolicyNetwork
from quickstudy.numerics.distributions import Policy
from quickstudy.numerics.episode_advantages import episode_advantages, standardised
from quickstudy.numerics.inner_objective import Estimator, inner_objective
from quickstudy.protocol.agent import Agent, over_lifetimes, slot_keys
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan
from quickstudy.protocol.settings import check_above_zero, check_fractions
from quickstudy.protocol.spaces import encode


@dataclasses.dataclass(frozen=True, kw_only=True)
class InnerStepConfig:
    """Settings of the inner steps, and of the experience that each is taken on."""

    rollouts: int = 20
    """Episodes between two inner steps. The episodes of a lifetime must be a multiple of it."""
    adapts: Literal["all", "head", "context"] = "all"
    """What an inner step changes.
    `all`: all weights (MAML). `head`: the last layer (ANIL, Raghu et al. 2020).
    `context`: only an input vector (CAVIA, Zintgraf et al. 2019)."""
    context_size: int = 8
    """Size of the input vector that inner steps change; for `context` only."""
    inner_rate: float = 0.1
    """Size of an inner step."""
    discount: float = 0.99
    """Discount per step, within an episode."""
    trace_decay: float = 0.9
    """Lambda of the generalised advantages."""

    def __post_init__(self) -> None:
        check_above_zero(self, "rollouts", "context_size", "inner_rate")
        check_fractions(self, "discount", "trace_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InnerGradientConfig:
    """What an inner step follows, and how it depends on the start."""

    estimator: Estimator = "lvc"
    """Estimator of how the adapted policy depends on the start; the documentation of `maml.py` describes each."""
    first_order: bool = False
    """Take the inner gradients as constants (FOMAML)."""
    baseline: Literal["linear", "none"] = "linear"
    """What advantages are measured against.
    `linear`: a value that is linear in simple features, fitted anew to the episodes of each inner step (Duan et al. 2016).
    `none`: nothing."""


@record
class Params:
    """The parameters: the start, the size of every inner step for each weight that adapts, and what is added to the start's
    standard deviation of continuous actions after each number of inner steps.

    Leaves of `rates` have a leading axis `[inner steps]`; that of `deviation` is one longer. Longer lifetimes repeat the last.
    """

    start: PolicyNetwork
    rates: PyTree
    deviation: Float[Array, "parts actions"]


@record
class Memory:
    """The weights that adapt, as they are now, and how many inner steps were taken."""

    weights: PyTree
    steps: Int[Array, ""]


def inner_step_agent(spec: Spec, network: PolicyConfig, inner: InnerStepConfig, gradient: InnerGradientConfig) -> Agent:
    """The agent alone: memory is what has been adapted.

    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    if spec.episodes % inner.rollouts or spec.episodes == inner.rollouts:
        raise SpecError(
            f"rollouts must divide the episodes of a lifetime into two parts or more: one to adapt on, one to act in. "
            f"Came {inner.rollouts} rollouts and {spec.episodes} episodes. Take {2 * inner.rollouts} episodes, for instance."
        )
    cadence = inner.rollouts * spec.horizon
    if cadence < 2:
        raise SpecError(
            "rollouts must be 2 or more where an episode is one step: an inner step needs two steps of experience; came 1."
        )

    def init(key: PRNGKeyArray) -> Params:
        context = inner.context_size if inner.adapts == "context" else 0
        start = PolicyNetwork(spec, network, context=context, key=key)
        steps = spec.episodes // inner.rollouts - 1
        weights = adapted_part(start, inner)[0]
        rates = jax.tree.map(lambda leaf: jnp.full((steps, *leaf.shape), inner.inner_rate, leaf.dtype), weights)
        return Params(start=start, rates=rates, deviation=jnp.zeros((steps + 1, start.deviation.size)))

    def begin(params: Params, key: PRNGKeyArray) -> Memory:
        del key
        return Memory(weights=adapted_part(params.start, inner)[0], steps=jnp.int32(0))

    def policy_of(params: Params, memory: Memory, observation: Array) -> Policy:
        policy = eqx.combine(memory.weights, adapted_part(params.start, inner)[1])
        deviation = policy.deviation + at_inner_step(params.deviation, memory.steps)
        return eqx.tree_at(lambda policy: policy.deviation, policy, deviation).policy(observation, spec)

    def act(params: Params, memory: Memory, observation: Array, key: PRNGKeyArray) -> Decision:
        policy = policy_of(params, memory, observation)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: Params, memory: Memory, experience: Transition, key: PRNGKeyArray) -> Memory:
        del key
        advantage = jax.lax.stop_gradient(
            standardised(advantages(experience, spec, inner, baseline=gradient.baseline), experience.valid)
        )

        def objective(weights: PyTree) -> Array:
            policy = policy_of(params, dataclasses.replace(memory, weights=weights), experience.observation)
            log_probability = policy.log_probability(experience.decision.action)
            behaviour = experience.decision.extras["log_probability"]
            each = inner_objective(
                log_probability, behaviour, advantage, experience.valid, horizon=spec.horizon, estimator=gradient.estimator
            )
            return each / jnp.maximum(experience.valid.sum(), 1).astype(each.dtype)

        slopes = jax.grad(objective)(memory.weights)
        if gradient.first_order:
            slopes = jax.lax.stop_gradient(slopes)
        rates = at_inner_step(params.rates, memory.steps)
        weights = jax.tree.map(lambda weight, rate, slope: weight + rate * slope, memory.weights, rates, slopes)
        return Memory(weights=weights, steps=memory.steps + experience.valid.any().astype(jnp.int32))

    def unroll_one(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Memory, Decision]:
        def chunk(memory: Memory, xs: tuple) -> tuple[Memory, Decision]:
            experience, keys = xs
            decisions = jax.vmap(act, (None, None, 0, 0))(params, memory, experience.observation, keys)
            return adapt(params, memory, experience, key), decisions

        parts = chunks((lifetime, slot_keys(key, spec)[:-1, 1]), length=cadence)
        # The last inner step stands outside the loop, so that it costs nothing where the memory at the end is not used.
        memory, earlier = scan(chunk, begin(params, key), jax.tree.map(lambda leaf: leaf[:-1], parts))
        memory, last = chunk(memory, jax.tree.map(lambda leaf: leaf[-1], parts))
        return memory, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), flatten_chunks(earlier), last)

    agent = Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=cadence)
    return agent.with_fast_unroll(over_lifetimes(unroll_one))


def at_inner_step(each: PyTree, steps: Int[Array, ""]) -> PyTree:
    """The values after a number of inner steps, of leaves `[inner steps, ...]`; beyond the end, the last values."""
    return jax.tree.map(lambda leaf: leaf[jnp.minimum(steps, leaf.shape[0] - 1)], each)


def advantages(
    experience: Transition, spec: Spec, inner: InnerStepConfig, *, baseline: Literal["linear", "none"] = "linear"
) -> Float[Array, " steps"]:
    """Advantages of whole episodes `[steps]`, in reward units."""
    return episode_advantages(
        encode(experience.observation, spec.observation_space),
        experience.outcome.reward,
        experience.valid,
        horizon=spec.horizon,
        discount=inner.discount,
        trace_decay=inner.trace_decay,
        baseline=baseline,
    )


def adapted_part(network: PolicyNetwork, inner: InnerStepConfig) -> tuple[PyTree, PyTree]:
    """The part of a network that inner steps change, and the rest."""
    chosen = jax.tree.map(lambda _: inner.adapts == "all", network)
    if inner.adapts != "all":
        part = (lambda n: (n.head, n.deviation)) if inner.adapts == "head" else (lambda n: n.context)
        chosen = eqx.tree_at(part, chosen, jax.tree.map(lambda _: True, part(network)))
    if network.rescaling is not None:  # which meta-training alone writes
        chosen = eqx.tree_at(lambda n: n.rescaling, chosen, jax.tree.map(lambda _: False, network.rescaling))
    return eqx.partition(network, chosen)
