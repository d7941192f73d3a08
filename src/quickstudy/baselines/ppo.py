"""PPO within a lifetime, from scratch (Schulman et al. 2017): what is done without meta-learning.

Memory is the policy and its optimiser's state. After every `rollouts` episodes the agent improves both on these episodes, by
the clipped surrogate, in several passes over shuffled steps:

    max E[ min(ρ A, clip(ρ, 1 ± ε) A) ] + entropy        ρ = π(a) / β(a)

The defaults are those that learn fastest on training tasks of four distributions, in a grid (`benchmarks/tune_ppo.py`).

Changed from the paper: advantages are measured against a value that is linear in simple features of observation and time,
fitted anew to each batch (Duan et al. 2016), rather than against a second network. It is accurate after fewer episodes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.networks.policy import PolicyConfig, PolicyNetwork
from quickstudy.numerics.episode_advantages import episode_advantages, standardised
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.numerics.surrogate import clipped_surrogate, masked_mean
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import where
from quickstudy.protocol.settings import check_above_zero, check_fractions
from quickstudy.protocol.spaces import encode


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Settings of PPO within a lifetime."""

    network: PolicyConfig = PolicyConfig()
    rollouts: int = 5
    """Episodes between two improvements. The episodes of a lifetime must be a multiple of it."""
    epochs: int = 10
    """Passes over the episodes of one improvement."""
    minibatches: int = 5
    """Gradient steps per pass. The number of steps of these episodes must be a multiple of it."""
    learning_rate: float = 3e-3
    """Adam's step size."""
    discount: float = 0.99
    """Discount per step, within an episode."""
    trace_decay: float = 0.97
    """Lambda of the generalised advantages."""
    clip: float = 0.2
    """How far the probability ratio may move in one improvement."""
    entropy_bonus: float = 0.0
    """Weight of the policy's entropy."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        check_above_zero(self, "rollouts", "epochs", "minibatches", "learning_rate", "clip", "max_gradient_norm")
        check_fractions(self, "discount", "trace_decay")


@record
class Learner:
    """A policy and the state of its optimiser: memory within a lifetime, train state across them."""

    network: PolicyNetwork
    optimiser: PyTree


def ppo_agent(spec: Spec, config: PPOConfig = PPOConfig()) -> Agent:
    """PPO from scratch: no parameters, a fresh policy at each begin. It reads observations as they are declared.

    Raises:
      SpecError: `rollouts` or `minibatches` do not divide what they should.
    """
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, observation_scale="bounds"))
    return improving_agent(spec, config, init=lambda key: None, first=lambda params, key: fresh_policy(spec, config, key))


def improving_agent(spec: Spec, config: PPOConfig, *, init: Callable, first: Callable, improves: bool = True) -> Agent:
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
        return first_learner(first(params, key), config)

    def act(params: PyTree, memory: Learner, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        policy = memory.network.policy(observation, spec)
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params: PyTree, memory: Learner, experience: Transition, key: PRNGKeyArray) -> Learner:
        del params
        if not improves:
            return memory
        advantage = advantages_of(experience, spec, config)
        better, _ = improved(memory, experience, advantage, key, spec=spec, config=config, rate=config.learning_rate)
        # Momentum would move the weights even where nothing has happened.
        return where(experience.valid.any(), better, memory)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=cadence)


def fresh_policy(spec: Spec, config: PPOConfig, key: PRNGKeyArray) -> PolicyNetwork:
    """A policy as it is before any training: close to uniform."""
    return PolicyNetwork(spec, config.network, key=key)


def first_learner(network: PolicyNetwork, config: PPOConfig) -> Learner:
    """A policy of which nothing has been improved yet."""
    return Learner(network=network, optimiser=clipped_adam(config.max_gradient_norm).init(network))


def advantages_of(experience: Transition, spec: Spec, config: PPOConfig) -> Array:
    """Of whole episodes on one task `[steps]`, in reward units."""
    return episode_advantages(
        encode(experience.observation, spec.observation_space),
        experience.outcome.reward,
        experience.valid,
        horizon=spec.horizon,
        discount=config.discount,
        trace_decay=config.trace_decay,
    )


def improved(
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
    """The learner after all passes over these steps, in any order, and the mean metrics of the passes.

    `average` is taken of gradients and metrics over devices that share a batch.
    """
    optimiser = clipped_adam(config.max_gradient_norm)
    advantage = standardised(advantage, steps.valid, average=average)

    def loss(network: PolicyNetwork, batch: tuple) -> tuple[Array, dict]:
        batch_steps, advantage = batch
        policy = network.policy(batch_steps.observation, spec)
        log_probability, behaviour = (
            policy.log_probability(batch_steps.decision.action),
            batch_steps.decision.extras["log_probability"],
        )
        surrogate = clipped_surrogate(log_probability, behaviour, advantage, clip=config.clip)
        entropy = masked_mean(policy.entropy(), batch_steps.valid)
        total = -masked_mean(surrogate, batch_steps.valid) - config.entropy_bonus * entropy
        return total, {"loss": total, "entropy": entropy, "kl": masked_mean(behaviour - log_probability, batch_steps.valid)}

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
