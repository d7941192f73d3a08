"""The sceptic's agents: PPO from scratch, and one policy for all tasks that is fine-tuned on each (Schulman et al. 2017).

Memory is the policy and its optimiser's state. After every `rollouts` episodes the agent improves both on what it has just
lived, by the clipped surrogate, in several passes over shuffled steps:

    max E[ min(ρ A, clip(ρ, 1 ± ε) A) ] + entropy        ρ = π(a) / β(a)

Two ways to begin a lifetime:

    ppo_agent      a fresh policy, drawn at random: learning from scratch, what everybody does without meta-learning
    multi_task     a policy that was trained before, by the same rule, on all tasks of `train` at once, one for all. With
                   `fine_tunes` it goes on learning within the lifetime: the strongest cheap rival of meta-learning. Without,
                   it is what a policy without any memory can do.

`multi_task` on tasks whose observations tell the task (`told`) is the privileged policy, which nothing that has to find the
task out should beat.

The defaults are those of a grid that learn fastest on training tasks of four distributions (`benchmarks/tune_ppo.py`).

Changed from the paper: advantages are measured against a value that is linear in simple features of observation and time,
fitted anew to each batch (Duan et al. 2016), rather than against a second network; within a few episodes it is right sooner.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.networks.layers import PolicyNetwork, encode
from quickstudy.numerics.episode_advantages import episode_advantages, standardised
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import where


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Settings of PPO within a lifetime."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    input_gain: float = 3.0
    """Of the first layer at birth: 1 suits observations of a size around one, smaller ones need more."""
    rollouts: int = 5
    """Episodes between two improvements; divides the episodes of a lifetime."""
    epochs: int = 10
    """Passes over them."""
    minibatches: int = 5
    """Gradient steps per pass; divides the steps of the rollouts."""
    learning_rate: float = 3e-3
    """Adam's step size."""
    discount: float = 0.99
    """Per step, within an episode."""
    trace_decay: float = 0.97
    """Lambda of the generalised advantages."""
    clip: float = 0.2
    """How far the probability ratio may move in one improvement."""
    entropy_bonus: float = 0.0
    """Weight of the policy's entropy."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        for name in ("input_gain", "rollouts", "epochs", "minibatches", "learning_rate", "clip", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        for name in ("discount", "trace_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie within 0 and 1; came {getattr(self, name)}.")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise UsageError(f"hidden_sizes must name one width or more, each above zero; came {self.hidden_sizes}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiTaskConfig(PPOConfig):
    """Settings of a policy for all tasks, and of its fine-tuning within a lifetime."""

    fine_tunes: bool = True
    """Go on learning within a lifetime; without, all episodes of a lifetime are lived, and learned from, with one policy."""
    lifetimes: int = 64
    """Lifetimes, each on a task of its own, per update."""
    meta_learning_rate: float = 1e-3
    """Adam's step size in meta-training at the start; it falls linearly to a twentieth."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lifetimes", "meta_learning_rate"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")


@record
class Learner:
    """A policy and the state of its optimiser: memory within a lifetime, train state across them."""

    network: PolicyNetwork
    optimiser: PyTree


def ppo_agent(spec: Spec, config: PPOConfig = PPOConfig()) -> Agent:
    """PPO from scratch: no parameters, a fresh policy at each begin.

    Raises:
      SpecError: `rollouts` or `minibatches` do not divide what they should.
    """
    return _agent(spec, config, init=lambda key: None, first=lambda params, key: _fresh(spec, config, key))


def multi_task(spec: Spec, config: MultiTaskConfig = MultiTaskConfig()) -> MetaAlgorithm:
    """One policy for all tasks of this spec, and its fine-tuning.

    With `fine_tunes`, training uses of each lifetime only what was lived before the first fine-tuning, so lifetimes of
    `rollouts` episodes are enough to train on. The agent may then live longer ones.

    Args:
      spec: Discrete or Box observations, Discrete or bounded Box actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` or `minibatches` do not divide what they should.
    """
    init = lambda key: _fresh(spec, config, key)  # noqa: E731
    agent = _agent(spec, config, init=init, first=lambda params, key: params, improves=config.fine_tunes)
    used = agent.cadence if config.fine_tunes else spec.lifetime_steps

    def update(state: Learner, lifetimes: Transition, progress: Array, key: PRNGKeyArray) -> tuple[Learner, dict[str, Array]]:
        lived = jax.tree.map(lambda leaf: leaf[:used], lifetimes)
        # Values are fitted task by task: what a state is worth depends on the task, which the policy cannot see.
        advantage = jax.vmap(lambda one: _advantages(one, spec, config), 1, 1)(lived)
        steps, advantage = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (lived, advantage))
        rate = config.meta_learning_rate * (1 - 0.95 * progress)
        average = lambda tree: jax.lax.pmean(tree, LIFETIMES_AXIS)  # noqa: E731
        return _improved(state, steps, advantage, key, spec=spec, config=config, rate=rate, average=average)

    return MetaAlgorithm(
        name="multi-task",
        config=config,
        agent=agent,
        init=lambda key: _beginning(init(key), config),
        update=update,
        params=lambda state: state.network,
        lifetimes=config.lifetimes,
    )


def _agent(spec: Spec, config: PPOConfig, *, init: Callable, first: Callable, improves: bool = True) -> Agent:
    """An agent that begins with the policy `first` and improves it."""
    cadence = config.rollouts * spec.horizon
    if spec.episodes % config.rollouts:
        raise SpecError(f"rollouts must divide the episodes of a lifetime ({spec.episodes}); came {config.rollouts}.")
    if cadence < 2:
        raise SpecError(
            "one step tells an improvement nothing: rollouts must be 2 or more where an episode is one step; came 1."
        )
    if cadence % config.minibatches:
        raise SpecError(f"minibatches must divide the {cadence} steps of the rollouts; came {config.minibatches}.")

    def begin(params: PyTree, key: PRNGKeyArray) -> Learner:
        return _beginning(first(params, key), config)

    def act(params: PyTree, memory: Learner, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        policy = memory.network.policy(observation, spec)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: PyTree, memory: Learner, experience: Transition, key: PRNGKeyArray) -> Learner:
        del params
        if not improves:
            return memory
        advantage = _advantages(experience, spec, config)
        improved, _ = _improved(memory, experience, advantage, key, spec=spec, config=config, rate=config.learning_rate)
        # Momentum would move the weights even where nothing has happened.
        return where(experience.valid.any(), improved, memory)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=cadence)


def _fresh(spec: Spec, config: PPOConfig, key: PRNGKeyArray) -> PolicyNetwork:
    return PolicyNetwork(spec, config.hidden_sizes, input_gain=config.input_gain, key=key)


def _beginning(network: PolicyNetwork, config: PPOConfig) -> Learner:
    """A policy of which nothing has been improved yet."""
    return Learner(network=network, optimiser=clipped_adam(config.max_gradient_norm).init(network))


def _advantages(experience: Transition, spec: Spec, config: PPOConfig) -> Array:
    """Of whole episodes on one task `[steps]`, in reward units."""
    return episode_advantages(
        encode(experience.observation, spec.observation_space),
        experience.outcome.reward,
        experience.valid,
        horizon=spec.horizon,
        discount=config.discount,
        trace_decay=config.trace_decay,
    )


def _improved(
    learner: Learner,
    steps: Transition,
    advantage: Array,
    key: PRNGKeyArray,
    *,
    spec: Spec,
    config: PPOConfig,
    rate: float | Array,
    average: Callable = lambda tree: tree,
) -> tuple[Learner, dict[str, Array]]:
    """The learner after all passes over these steps, in any order, and what they were like.

    `average` is taken of gradients and metrics over devices that share a batch.
    """
    optimiser = clipped_adam(config.max_gradient_norm)
    advantage = standardised(advantage, steps.valid, average=average)

    def loss(network: PolicyNetwork, batch: tuple) -> tuple[Array, dict]:
        lived, advantage = batch
        policy = network.policy(lived.observation, spec)
        log_probability, behaviour = policy.log_probability(lived.decision.action), lived.decision.extras["log_probability"]
        surrogate = clipped_surrogate(log_probability, behaviour, advantage, clip=config.clip)
        entropy = masked_mean(policy.entropy(), lived.valid)
        total = -masked_mean(surrogate, lived.valid) - config.entropy_bonus * entropy
        return total, {"loss": total, "entropy": entropy, "kl": masked_mean(behaviour - log_probability, lived.valid)}

    def gradient_step(learner: Learner, batch: tuple) -> tuple[Learner, dict]:
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(learner.network, batch)
        gradient, metrics = average((gradient, metrics))
        metrics |= {"gradient_norm": optax.tree.norm(gradient)}
        network, state = descend(optimiser, gradient, learner.optimiser, learner.network, rate=rate)
        return Learner(network=network, optimiser=state), metrics

    def epoch(learner: Learner, key: PRNGKeyArray) -> tuple[Learner, dict]:
        order = jax.random.permutation(key, steps.valid.size).reshape(config.minibatches, -1)
        batches = jax.tree.map(lambda leaf: leaf[order], (steps, advantage))
        return jax.lax.scan(gradient_step, learner, batches)

    learner, metrics = jax.lax.scan(epoch, learner, jax.random.split(key, config.epochs))
    return learner, jax.tree.map(jnp.mean, metrics)
