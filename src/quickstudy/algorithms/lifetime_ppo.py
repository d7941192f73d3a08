"""The outer loop of agents that are trained on whole lifetimes: a clipped surrogate of the return of the lifetime.

Rewards of later episodes count at the steps of earlier ones. So it pays to learn something early that is used late:
advantages run on across the ends of episodes (Schulman et al. 2016), the surrogate is clipped (Schulman et al. 2017), and
gradients flow through the whole lifetime. RL², VariBAD, the hybrid and the energy belief share this loop. The forward pass
that is differentiated is `agent.unroll`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from quickstudy import baselines
from quickstudy.algorithms.drawing import with_regret, without_draws
from quickstudy.networks.normalisation import Statistics, observed, usual_rewards
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.returns import generalised_advantage, returns_to_go
from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean
from quickstudy.protocol.action_spaces import is_choice
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, Fresh, KnownLifetimes, MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import fill_forward, shift_right, where
from quickstudy.protocol.settings import check_above_zero, check_at_least, check_fractions
from quickstudy.protocol.spaces import flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class LifetimePPOConfig:
    """Settings of the outer loop, `lifetime_ppo`."""

    lifetimes: int = 128
    """Lifetimes per update."""
    epochs: int = 4
    """Passes over the lifetimes of one update."""
    minibatches: int = 4
    """Gradient steps per pass. The number of lifetimes must be a multiple of it."""
    learning_rate: float = 1.5e-3
    """Adam's step size at the start; it falls linearly to a twentieth."""
    discount: float = 0.99
    """Discount per step; it goes on across the ends of episodes."""
    trace_decay: float = 0.9
    """Lambda of the generalised advantages."""
    clip: float = 0.2
    """How far the probability ratio may move in one update."""
    entropy_bonus: float | None = None
    """Weight of the policy's entropy at the start; it falls linearly to zero.
    If not given: 0.05 if actions are choices among ids, and 0.003 if they are numbers, which 0.05 would keep random."""
    early_exploration: float | None = None
    """How much larger the entropy bonus is early in a lifetime: at step t it is multiplied by 1 + this number / (1 + t).
    The number falls linearly to zero over the first half of the budget.
    Some actions are useful only for the information that they give. With this bonus they are tried often enough to learn that.
    If not given: 16 if there are more than two actions, an episode has one step and there is no teacher, else 0."""
    value_weight: float = 2.0
    """Weight of the value loss. This loss also trains what the memory stores."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    subtract_ceiling: bool = False
    """Learn from rewards minus the ceiling of the task. The agent itself reads the rewards as they are.
    The ceiling is the expected return of an agent that knows the task. The tasks must have one.
    The best policy stays the same, but differences between easy and hard tasks no longer disturb learning."""
    mean_rewards: bool = False
    """Learn from the mean reward of each action, which the simulator knows, in place of the reward that followed.
    The agent itself reads the rewards as they are. The tasks must know the means."""
    draws: bool = True
    """Whether the trained agent draws its actions. If not, it takes the mean of its policy, or the likeliest of choices.
    The lifetimes of training are drawn in any case."""
    teacher: str = ""
    """A baseline that is imitated first, such as `gittins-index` or PATH.py:FUNCTION; none if empty."""
    imitation: float = 0.5
    """Part of the budget over which the weight of imitation falls from one to zero, if there is a teacher."""

    def __post_init__(self) -> None:
        check_above_zero(self, "lifetimes", "epochs", "minibatches", "learning_rate", "clip", "max_gradient_norm")
        check_at_least(self, 0, "entropy_bonus", "early_exploration", "value_weight")
        check_fractions(self, "discount", "trace_decay", "imitation")
        if self.teacher and not self.imitation:
            raise UsageError("imitation must be above zero where there is a teacher; came 0.")
        if self.lifetimes % self.minibatches:
            raise UsageError(f"minibatches must divide lifetimes ({self.lifetimes}); came {self.minibatches}.")


@record
class Params:
    """The parameters: the trained weights, and running sizes of what was met."""

    network: Any
    statistics: Statistics


AuxiliaryLoss = Callable[[Params, PyTree, Decision, Transition, PRNGKeyArray], dict[str, Array]]


@record
class TrainState:
    """What meta-training carries from update to update."""

    params: Params
    optimiser: PyTree


def lifetime_ppo(
    name: str, spec: Spec, config: Any, agent: Agent, *, ppo: LifetimePPOConfig, auxiliary_loss: AuxiliaryLoss | None = None
) -> MetaAlgorithm:
    """The outer loop of an agent whose parameters are `Params`: clipped surrogate, value loss and entropy over whole lifetimes.

    Args:
      name: of the algorithm.
      spec: of the tasks.
      config: of the whole algorithm, for its record.
      agent: to train, by the gradient that flows through its `unroll`. Its decisions carry `policy` and `value`.
      ppo: settings of the outer loop.
      auxiliary_loss: `(params, memory, decisions, lifetimes, key) -> losses` by name, which are added to the loss; memory and
        decisions are those of `unroll`.
    """
    optimiser = clipped_adam(ppo.max_gradient_norm)

    def init(key: PRNGKeyArray) -> TrainState:
        if ppo.teacher:
            baselines.make(ppo.teacher, spec)  # a wrong teacher raises its error before anything is trained
        params = agent.init(key)
        return TrainState(params=params, optimiser=optimiser.init(params.network))

    def loss(network: PyTree, statistics: Statistics, batch: tuple, progress: Array) -> tuple[Array, dict]:
        lifetimes, advantage, target, imitated, keys = batch
        params = Params(network=network, statistics=statistics)
        # Recorded actions are read and none is drawn, so the keys have no effect.
        unused_keys = jnp.broadcast_to(keys[0], lifetimes.valid.shape[1:])
        memory, decisions = agent.unroll(params, lifetimes, unused_keys)
        extras = decisions.extras
        log_probability = extras["policy"].log_probability(lifetimes.decision.action)
        behaviour = lifetimes.decision.extras["log_probability"]
        surrogate = clipped_surrogate(log_probability, behaviour, advantage, clip=ppo.clip)
        scale = statistics.scale(statistics.value)
        entropy = extras["policy"].entropy()
        parts = {
            "policy_loss": -masked_mean(surrogate, lifetimes.valid),
            "value_loss": masked_mean(jnp.square((extras["value"] - target) / scale), lifetimes.valid),
            "entropy": masked_mean(entropy, lifetimes.valid),
            "kl": masked_mean(behaviour - log_probability, lifetimes.valid),
        }
        weighted = entropy_bonuses(spec, ppo, progress=progress, steps=len(entropy))[:, None] * entropy
        policy_loss = parts["policy_loss"] - masked_mean(weighted, lifetimes.valid)
        if imitated is not None:
            parts["imitation_loss"] = -masked_mean(extras["policy"].log_probability(imitated), lifetimes.valid)
            weight = jnp.maximum(0.0, 1 - progress / ppo.imitation)
            policy_loss = weight * parts["imitation_loss"] + (1 - weight) * policy_loss
        total = policy_loss + ppo.value_weight * parts["value_loss"]
        if auxiliary_loss is not None:
            more = auxiliary_loss(params, memory, decisions, lifetimes, keys[0])
            total, parts = total + sum(more.values()), parts | more
        return total, parts | {"loss": total}

    def gradient_step(
        carry: tuple, batch: tuple, *, statistics: Statistics, progress: Array, rate: Array
    ) -> tuple[tuple, dict]:
        network, optimiser_state = carry
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(network, statistics, batch, progress)
        gradient, metrics = jax.lax.pmean((gradient, metrics), LIFETIMES_AXIS)
        metrics |= {"gradient_norm": optax.tree.norm(gradient)}
        return descend(optimiser, gradient, optimiser_state, network, rate=rate), metrics

    def update(
        state: TrainState,
        given: Transition | KnownLifetimes,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = ppo.learning_rate,
    ) -> tuple[TrainState, dict[str, Array]]:
        lifetimes = given if isinstance(given, Transition) else given.lifetimes
        reward = lifetimes.outcome.reward if isinstance(given, Transition) else _known_reward(given)
        advantage, target = _advantages(lifetimes, reward, ppo)
        imitated = _teacher_actions(lifetimes, key, spec, ppo)
        batches = _minibatches((lifetimes, advantage, target, imitated), ppo.minibatches)
        fresh = _observed(state.params.statistics, lifetimes, reward, ppo, spec)
        # Before the first update there is no scale. A value head that had learned values in reward units would be multiplied by
        # the first scale afterwards, so the first update uses its own.
        begins, known = state.params.statistics.weight == 0, state.params.statistics.after(fresh)
        statistics = where(begins, fresh, state.params.statistics)
        rate = learning_rate * (1 - 0.95 * progress)

        def epoch(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, dict]:
            step = functools.partial(gradient_step, statistics=statistics, progress=progress, rate=rate)
            return jax.lax.scan(step, carry, (*batches, jax.random.split(key, (ppo.minibatches, 1))))

        begun = (state.params.network, state.optimiser)
        (network, optimiser_state), metrics = jax.lax.scan(epoch, begun, jax.random.split(key, ppo.epochs))
        params = Params(network=network, statistics=known)
        return TrainState(params=params, optimiser=optimiser_state), jax.tree.map(jnp.mean, metrics)

    deployed = agent if ppo.draws else without_draws(agent)
    deployed = with_regret(deployed) if ppo.subtract_ceiling else deployed
    return MetaAlgorithm(
        name=name,
        config=config,
        agent=deployed,
        collects=None if deployed is agent else agent,
        init=init,
        update=update,
        params=lambda state: state.params,
        lifetimes=ppo.lifetimes,
        share_multiple=ppo.minibatches,
        wants=Fresh(ceilings=ppo.subtract_ceiling, mean_rewards=ppo.mean_rewards),
    ).with_learning_rate(ppo.learning_rate)


def entropy_bonus(spec: Spec, config: LifetimePPOConfig) -> float:
    """The weight at the start of training: as it was given, or what suits the actions."""
    if config.entropy_bonus is not None:
        return config.entropy_bonus
    return 0.05 if is_choice(spec.action_space) else 0.003


def entropy_bonuses(spec: Spec, config: LifetimePPOConfig, *, progress: Array | float, steps: int) -> Float[Array, " steps"]:
    """The weight of the entropy at each step of a lifetime.

    Args:
      spec: of the tasks.
      config: its settings.
      progress: `[]`, spent part of the budget.
      steps: of a lifetime.
    """
    early = config.early_exploration
    if early is None:
        many = is_choice(spec.action_space) and flat_size(spec.action_space) > 2
        # With two arms, of which one is hardly better, the regret was 2.52 with it and 2.45 without.
        early = 16.0 if many and spec.horizon == 1 and not config.teacher else 0.0
    left = jnp.maximum(0.0, 1 - 2 * progress)
    return entropy_bonus(spec, config) * (1 - progress + early * left / (1 + jnp.arange(float(steps))))


def _teacher_actions(
    lifetimes: Transition, key: Key[Array, "*lifetimes"], spec: Spec, config: LifetimePPOConfig
) -> PyTree | None:
    """The actions that the teacher would have taken at every step of lifetimes `[T, lifetimes]`; None without a teacher.

    The teacher is made here, in training, and nowhere else: an agent that is loaded from disk runs no file that it names.
    """
    if not config.teacher:
        return None
    teacher = baselines.make(config.teacher, spec)
    key_init, key_unroll = jax.random.split(key)
    keys = jax.random.split(key_unroll, lifetimes.valid.shape[1])
    return teacher.unroll(teacher.init(key_init), lifetimes, keys)[1].action


def _known_reward(given: KnownLifetimes) -> Float[Array, "T lifetimes"]:
    """What is learned from: mean rewards in place of rewards, and minus the ceiling of the task, as far as these are given.

    A reward differs from its mean by chance, which no decision before it depends on. The ceiling is spread over the steps as
    rewards are on average, and does not depend on what the agent does. So the gradient of the return keeps its mean (Mao et
    al. 2019).
    """
    reward, valid = given.lifetimes.outcome.reward, given.lifetimes.valid
    if given.mean_reward is not None:
        reward = jnp.where(valid, given.mean_reward, 0.0)
    if given.ceiling is None:
        return reward
    paid = jax.lax.pmean(jnp.abs(reward).mean(1), LIFETIMES_AXIS)
    share = paid / jnp.maximum(paid.sum(), 1e-8)
    return jnp.where(valid, reward - share[:, None] * given.ceiling[None], 0.0)


def _advantages(lifetimes: Transition, reward: Float[Array, "T lifetimes"], config: LifetimePPOConfig) -> tuple[Array, Array]:
    """Advantages, brought to mean 0 and deviation 1 over all lifetimes and devices; value targets. `[T, lifetimes]` each."""
    estimate = functools.partial(generalised_advantage, discount=config.discount, trace_decay=config.trace_decay)
    values = lifetimes.decision.extras["value"]
    advantage, target = jax.vmap(estimate, 1, 1)(reward, values, lifetimes.valid)
    mean = jax.lax.pmean(masked_mean(advantage, lifetimes.valid), LIFETIMES_AXIS)
    variance = jax.lax.pmean(masked_mean(jnp.square(advantage - mean), lifetimes.valid), LIFETIMES_AXIS)
    return (advantage - mean) / (jnp.sqrt(variance) + 1e-8), target


def _minibatches(tree: PyTree, minibatches: int) -> PyTree:
    """`[T, lifetimes]` to `[minibatches, T, lifetimes / minibatches]`; lifetimes are independent, so none is shuffled."""

    def cut(x: Array) -> Array:
        return jnp.moveaxis(x.reshape(x.shape[0], x.shape[1] // minibatches, minibatches, *x.shape[2:]), 2, 0)

    return jax.tree.map(cut, tree)


def _observed(
    statistics: Statistics, lifetimes: Transition, learned: Array, config: LifetimePPOConfig, spec: Spec
) -> Statistics:
    """Sizes in one update's lifetimes, over all devices.

    That of values is taken from returns of the rewards that are learned from, `[T, lifetimes]`. The targets are as wrong as the
    values that they rest on.
    """
    reward, valid = lifetimes.outcome.reward, lifetimes.valid
    flat, change = observed(lifetimes.observation, spec.observation_space, statistics), None
    if statistics.change is not None:
        nothing = jnp.zeros_like(reward[0])
        first = (nothing, nothing > 0)
        before, counts = shift_right(first, fill_forward((reward, ~lifetimes.boundary), first, valid))
        steps = (valid & counts).reshape(-1)
        change = masked_mean(jnp.square(usual_rewards((reward - before).reshape(-1), steps)), steps)
    value = returns_to_go(learned, valid, discount=config.discount)
    return statistics.of_batch(reward, value, flat, valid, change=change, axis=LIFETIMES_AXIS)
