"""Reptile: towards where a few inner steps lead (Nichol et al. 2018).

The agent is MAML's. Meta-training takes no gradient through inner steps; it moves the start towards the mean of what they
end in,

    θ ← θ + ε mean over lifetimes of (φ_K − θ)

so each update costs no more than living does.

Changed from the paper: it was written for supervised tasks; here the inner steps are policy gradients on the agent's own
episodes, and the step is plain rather than handed to an optimiser. The inner step that a lifetime ends with counts too.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import optax
from jaxtyping import Array, PRNGKeyArray

from quickstudy.algorithms.maml import MAMLConfig, Params, maml_agent, returns_after_steps
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition, record


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReptileConfig:
    """Settings of Reptile."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    input_gain: float = 3.0
    """Of the first layer at birth: 1 suits observations of a size around one, smaller ones need more."""
    rollouts: int = 20
    """Episodes between two inner steps; divides the episodes of a lifetime."""
    adapts: Literal["all", "head"] = "all"
    """What an inner step changes, and so what is meta-learned: all weights, or the last layer."""
    inner_rate: float = 0.1
    """Size of an inner step."""
    discount: float = 0.99
    """Per step, within an episode."""
    trace_decay: float = 0.9
    """Lambda of the generalised advantages."""
    lifetimes: int = 40
    """Lifetimes, each on a task of its own, per update."""
    learning_rate: float = 0.5
    """Part of the way towards the adapted weights that the start moves; it falls linearly to a twentieth."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"learning_rate must be above zero and at most 1; came {self.learning_rate}.")
        self.of_maml()  # the others are checked there

    def of_maml(self) -> MAMLConfig:
        """The settings of the agent, which is MAML's."""
        names = ("hidden_sizes", "input_gain", "rollouts", "adapts", "inner_rate", "discount", "trace_decay", "lifetimes")
        return MAMLConfig(estimator="maml", **{name: getattr(self, name) for name in names})


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: Params


def reptile(spec: Spec, config: ReptileConfig = ReptileConfig()) -> MetaAlgorithm:
    """Reptile for tasks of this spec.

    Args:
      spec: Discrete or Box observations, Discrete or bounded Box actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or no inner step fits into one.
    """
    agent = maml_agent(spec, config.of_maml())

    def update(
        state: TrainState, lifetimes: Transition, progress: Array, key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Array]]:
        start = agent.begin(state.params, key).weights
        adapted = jax.vmap(agent.unroll, (None, 1, None))(state.params, lifetimes, key)[0].weights
        towards = jax.tree.map(lambda ends, begins: ends.mean(0) - begins, adapted, start)
        towards, returns = jax.lax.pmean((towards, returns_after_steps(lifetimes, spec, config.rollouts)), LIFETIMES_AXIS)
        rate = config.learning_rate * (1 - 0.95 * progress)
        moved = jax.tree.map(lambda weight, step: weight + rate * step, start, towards)
        params = dataclasses.replace(state.params, start=eqx.combine(moved, state.params.start))
        return TrainState(params=params), returns | {"loss": optax.tree.norm(towards)}

    return MetaAlgorithm(
        name="reptile",
        config=config,
        agent=agent,
        init=lambda key: TrainState(params=agent.init(key)),
        update=update,
        params=lambda state: state.params,
        lifetimes=config.lifetimes,
    )
