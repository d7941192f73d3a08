"""Reptile: the start moves towards the weights that a few inner steps reach (Nichol et al. 2018).

The agent is MAML's. Meta-training takes no gradient through inner steps. It moves the start towards the mean of the adapted
weights,

    θ ← θ + ε mean over lifetimes of (φ_K − θ)

so an update costs little more than the rollouts themselves.

Changed from the paper: it was written for supervised tasks. Here the inner steps are policy gradients on the agent's own
episodes, and the outer step is plain rather than handed to an optimiser. The inner step at the end of a lifetime counts too.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from quickstudy.algorithms.inner_steps import InnerGradientConfig, InnerStepConfig, Params, inner_step_agent
from quickstudy.algorithms.maml import returns_after_steps
from quickstudy.networks.policy import PolicyConfig
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.protocol.settings import check_above_zero


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReptileConfig:
    """Settings of Reptile."""

    network: PolicyConfig = PolicyConfig()
    inner: InnerStepConfig = InnerStepConfig()
    lifetimes: int = 40
    """Lifetimes, each on a task of its own, per update."""
    learning_rate: float = 0.5
    """Part of the way to the adapted weights that each update moves the start; it falls linearly to a twentieth."""

    def __post_init__(self) -> None:
        check_above_zero(self, "lifetimes", "learning_rate")
        if self.learning_rate > 1:
            raise UsageError(f"learning_rate must be above zero and at most 1; came {self.learning_rate}.")
        if self.inner.adapts == "context":
            raise UsageError("adapts must be 'all' or 'head' for Reptile; came 'context'.")


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: Params


def reptile(spec: Spec, config: ReptileConfig = ReptileConfig()) -> MetaAlgorithm:
    """Reptile for tasks of this spec.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    agent = inner_step_agent(spec, config.network, config.inner, InnerGradientConfig(estimator="maml"))

    def update(
        state: TrainState,
        lifetimes: Transition,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = config.learning_rate,
    ) -> tuple[TrainState, dict[str, Array]]:
        start = agent.begin(state.params, key).weights
        # An inner step draws nothing, so the keys have no effect.
        keys = jnp.broadcast_to(key, lifetimes.valid.shape[1:])
        adapted = agent.unroll(state.params, lifetimes, keys)[0].weights
        towards = jax.tree.map(lambda ends, begins: ends.mean(0) - begins, adapted, start)
        towards, returns = jax.lax.pmean((towards, returns_after_steps(lifetimes, spec, config.inner.rollouts)), LIFETIMES_AXIS)
        rate = learning_rate * (1 - 0.95 * progress)
        moved = jax.tree.map(lambda weight, step: weight + rate * step, start, towards)
        start = eqx.combine(moved, state.params.start).after_seeing(lifetimes, spec, axis=LIFETIMES_AXIS)
        params = dataclasses.replace(state.params, start=start)
        return TrainState(params=params), returns | {"loss": optax.tree.norm(towards)}

    return MetaAlgorithm(
        name="reptile",
        config=config,
        agent=agent,
        init=lambda key: TrainState(params=agent.init(key)),
        update=update,
        params=lambda state: state.params,
        lifetimes=config.lifetimes,
    ).with_learning_rate(config.learning_rate)
