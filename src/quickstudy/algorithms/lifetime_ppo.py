"""The outer loop of agents that are trained on whole lifetimes: a clipped surrogate of the return of the lifetime.

Rewards of later episodes count at the step of an earlier one, so what is learned early and used late is worth learning:
advantages run on across the ends of episodes (Schulman et al. 2016), the surrogate is clipped (Schulman et al. 2017), and
gradients flow through the whole lifetime. RL², VariBAD, the hybrid and the energy belief share it; what is trained, and how it
recalls a lifetime, is theirs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy import baselines
from quickstudy.networks.encoders import observed
from quickstudy.networks.normalisation import Statistics
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.returns import generalised_advantage, returns_to_go
from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean
from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import fill_forward, shift_right, where


@dataclasses.dataclass(frozen=True, kw_only=True)
class LifetimesConfig:
    """Settings of the outer loop, `trained_on_lifetimes`."""

    hidden_size: int = 64
    """Numbers in the hidden state, or in the hidden layers of an agent without one."""
    lifetimes: int = 128
    """Lifetimes per update."""
    epochs: int = 4
    """Passes over the lifetimes of one update."""
    minibatches: int = 4
    """Gradient steps per pass; divides lifetimes. Small batches learn more from a step, and cost the same on a processor."""
    learning_rate: float = 1.5e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    discount: float = 0.99
    """Per step, across the ends of episodes."""
    trace_decay: float = 0.9
    """Lambda of the generalised advantages."""
    clip: float = 0.2
    """How far the probability ratio may move in one update."""
    entropy_bonus: float | None = None
    """Weight of the policy's entropy at the start; it falls linearly to nothing. If not given, 0.05 for discrete actions and
    0.003 for continuous ones, which 0.05 would keep at random."""
    value_weight: float = 2.0
    """Weight of the value loss, which teaches the memory to count."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    teacher: str = ""
    """A baseline that is imitated first, as `gittins-index` or PATH.py:FUNCTION; none if empty."""
    imitation: float = 0.5
    """Part of the budget over which the weight of imitation falls from one to nothing, where there is a teacher."""

    def __post_init__(self) -> None:
        if self.teacher and not self.imitation:
            raise UsageError("imitation must be above zero where there is a teacher; came 0.")
        for name in ("hidden_size", "lifetimes", "epochs", "minibatches", "learning_rate", "clip", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        for name in ("discount", "trace_decay", "imitation"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie within 0 and 1; came {getattr(self, name)}.")
        if self.lifetimes % self.minibatches:
            raise UsageError(f"minibatches must divide lifetimes ({self.lifetimes}); came {self.minibatches}.")


@record
class Params:
    """What the agent is born with."""

    network: Any
    statistics: Statistics


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: Params
    optimiser: PyTree


def trained_on_lifetimes(
    name: str, spec: Spec, config: LifetimesConfig, agent: Agent, recall: Callable, *, besides: Callable | None = None
) -> MetaAlgorithm:
    """The outer loop of an agent whose parameters are `Params`: clipped surrogate, value loss and entropy over whole lifetimes.

    Args:
      name: of the algorithm.
      spec: of the tasks.
      config: its settings.
      agent: to train.
      recall: `(params, lifetimes, spec) -> (memory, extras)`: policy and value that the agent has at every step of lifetimes
        `[T, lifetimes]`, differentiable in the parameters.
      besides: `(params, extras, lifetimes, key) -> metrics`, which are added to the loss; `extras` as `recall` gave them.
    """
    optimiser = clipped_adam(config.max_gradient_norm)

    def init(key: PRNGKeyArray) -> TrainState:
        if config.teacher:
            baselines.make(config.teacher, spec)  # whatever is wrong with it is said before anything is trained
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params.network))

    def loss(network: PyTree, statistics: Statistics, batch: tuple, progress: Array) -> tuple[Array, dict]:
        lifetimes, advantage, target, taught, keys = batch
        params = Params(network=network, statistics=statistics)
        _, extras = recall(params, lifetimes, spec)
        log_probability = extras["policy"].log_probability(lifetimes.decision.action)
        behaviour = lifetimes.decision.extras["log_probability"]
        surrogate = clipped_surrogate(log_probability, behaviour, advantage, clip=config.clip)
        scale = statistics.scale(statistics.value)
        parts = {
            "policy_loss": -masked_mean(surrogate, lifetimes.valid),
            "value_loss": masked_mean(jnp.square((extras["value"] - target) / scale), lifetimes.valid),
            "entropy": masked_mean(extras["policy"].entropy(), lifetimes.valid),
            "kl": masked_mean(behaviour - log_probability, lifetimes.valid),
        }
        bonus = entropy_bonus(spec, config) * (1 - progress)
        policy_loss = parts["policy_loss"] - bonus * parts["entropy"]
        if taught is not None:
            parts["imitation_loss"] = -masked_mean(extras["policy"].log_probability(taught), lifetimes.valid)
            weight = jnp.maximum(0.0, 1 - progress / config.imitation)
            policy_loss = weight * parts["imitation_loss"] + (1 - weight) * policy_loss
        total = policy_loss + config.value_weight * parts["value_loss"]
        if besides is not None:
            more = besides(params, extras, lifetimes, keys[0])
            total, parts = total + sum(more.values()), parts | more
        return total, parts | {"loss": total}

    def gradient_step(carry: tuple, batch: tuple, *, statistics: Statistics, progress: Array) -> tuple[tuple, dict]:
        network, optimiser_state = carry
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(network, statistics, batch, progress)
        gradient, metrics = jax.lax.pmean((gradient, metrics), LIFETIMES_AXIS)
        metrics |= {"gradient_norm": optax.tree.norm(gradient)}
        rate = config.learning_rate * (1 - 0.95 * progress)
        return descend(optimiser, gradient, optimiser_state, network, rate=rate), metrics

    def update(
        state: TrainState, lifetimes: Transition, progress: Array, key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Array]]:
        advantage, target = _advantages(lifetimes, config)
        taught = _taught(lifetimes, key, spec, config)
        batches = _minibatches((lifetimes, advantage, target, taught), config.minibatches)
        fresh = _observed(state.params.statistics, lifetimes, config, spec)
        # Before there is data nothing is scaled. Who learns large values in that unit has them multiplied by the first scale.
        begins, known = state.params.statistics.weight == 0, state.params.statistics.after(fresh)
        statistics = where(begins, fresh, state.params.statistics)

        def epoch(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, dict]:
            step = lambda carry, batch: gradient_step(carry, batch, statistics=statistics, progress=progress)  # noqa: E731
            return jax.lax.scan(step, carry, (*batches, jax.random.split(key, (config.minibatches, 1))))

        begun = (state.params.network, state.optimiser)
        (network, optimiser_state), metrics = jax.lax.scan(epoch, begun, jax.random.split(key, config.epochs))
        params = Params(network=network, statistics=known)
        return TrainState(params=params, optimiser=optimiser_state), jax.tree.map(jnp.mean, metrics)

    return MetaAlgorithm(
        name=name,
        config=config,
        agent=agent,
        init=init,
        update=update,
        params=lambda state: state.params,
        lifetimes=config.lifetimes,
        share_multiple=config.minibatches,
    )


def entropy_bonus(spec: Spec, config: LifetimesConfig) -> float:
    """The weight at the start of training: as it was given, or what suits the actions."""
    if config.entropy_bonus is not None:
        return config.entropy_bonus
    return 0.05 if isinstance(spec.action_space, gymnasium.spaces.Discrete) else 0.003


def drawn(extras: dict[str, PyTree], key: PRNGKeyArray) -> Decision:
    """An action from `extras["policy"]` at one moment, with its log-probability beside what else was said."""
    action = extras["policy"].sample(key)
    return Decision(action=action, extras=extras | {"log_probability": extras["policy"].log_probability(action)})


def drawn_along(extras: dict[str, PyTree], key: PRNGKeyArray, spec: Spec) -> Decision:
    """`drawn` at every step of a lifetime `[T]` that is lived under this key, with the keys that `act` is given there."""
    return jax.vmap(drawn)(extras, slot_keys(key, spec)[:-1, 1])


def _taught(lifetimes: Transition, key: PRNGKeyArray, spec: Spec, config: LifetimesConfig) -> Array | None:
    """What the teacher would have done at every step of lifetimes `[T, lifetimes]`; None without one.

    The teacher is made here, in training, and nowhere else: an agent that is loaded from disk runs no file that it names.
    """
    if not config.teacher:
        return None
    teacher = baselines.make(config.teacher, spec)
    key_init, key_unroll = jax.random.split(key)
    keys = jax.random.split(key_unroll, lifetimes.valid.shape[1])
    return jax.vmap(teacher.unroll, (None, 1, 0), (0, 1))(teacher.init(key_init), lifetimes, keys)[1].action


def _advantages(lifetimes: Transition, config: LifetimesConfig) -> tuple[Array, Array]:
    """Advantages, brought to mean 0 and deviation 1 over all lifetimes and devices; value targets. `[T, lifetimes]` each."""
    estimate = functools.partial(generalised_advantage, discount=config.discount, trace_decay=config.trace_decay)
    values = lifetimes.decision.extras["value"]
    advantage, target = jax.vmap(estimate, 1, 1)(lifetimes.outcome.reward, values, lifetimes.valid)
    mean = jax.lax.pmean(masked_mean(advantage, lifetimes.valid), LIFETIMES_AXIS)
    variance = jax.lax.pmean(masked_mean(jnp.square(advantage - mean), lifetimes.valid), LIFETIMES_AXIS)
    return (advantage - mean) / (jnp.sqrt(variance) + 1e-8), target


def _minibatches(tree: PyTree, minibatches: int) -> PyTree:
    """`[T, lifetimes]` to `[minibatches, T, lifetimes / minibatches]`; lifetimes are independent, so none is shuffled."""

    def cut(x: Array) -> Array:
        return jnp.moveaxis(x.reshape(x.shape[0], x.shape[1] // minibatches, minibatches, *x.shape[2:]), 2, 0)

    return jax.tree.map(cut, tree)


def _observed(statistics: Statistics, lifetimes: Transition, config: LifetimesConfig, spec: Spec) -> Statistics:
    """Sizes in one update's lifetimes, over all devices.

    That of values is taken from returns and not from the targets, which are as wrong as the values that they rest on.
    """
    reward, valid = lifetimes.outcome.reward, lifetimes.valid
    flat, change = observed(lifetimes.observation, spec.observation_space), None
    if statistics.change is not None:
        nothing = jnp.zeros_like(reward[0])
        first = (nothing, nothing > 0)
        before, counts = shift_right(first, fill_forward((reward, ~lifetimes.boundary), first, valid))
        change = masked_mean(jnp.square(reward - before), valid & counts)
    value = returns_to_go(reward, valid, discount=config.discount)
    return jax.lax.pmean(Statistics.of_batch(reward, value, flat, valid, change=change), LIFETIMES_AXIS)
