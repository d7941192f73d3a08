"""The shuffled-reward ablation: an agent that adapts to the rewards of other lifetimes.

An agent that improves within a lifetime need not do so because of reward. It may improve a little in each episode whatever
the rewards are, or it may recognise the task in its observations. The ablation runs it again. At each slot `adapt` gets the
reward of another lifetime of the same agent, at that slot, on another task. Rewards are thereby permuted among lifetimes.
Their size, their growth along a lifetime and their correlation in time stay as they were; they no longer depend on the
agent's own task and actions. An improvement that remains does not come from reward.

Only rewards are shuffled. Observations, ends of episodes and the rewards that are counted are the agent's own.
"""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.evaluation.contenders import Contender
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Transition, record
from quickstudy.rollout.runner import Runner


@record
class ShuffledParams:
    """The parameters of the agent, and the `rewards` `[lifetimes, T]` that it adapts to."""

    agent: PyTree
    rewards: Float[Array, "lifetimes T"]


@record
class ShuffledMemory:
    """The memory of the agent; the number of the lifetime that its rewards come from, `[]`; the next slot, `[]`."""

    agent: PyTree
    lifetime: Int[Array, ""]
    slots: Int[Array, ""]


def with_shuffled_rewards(agent: Agent, rewards: Float[Array, "lifetimes T"]) -> Agent:
    """The same agent, but it adapts to the rewards of a recorded lifetime, drawn at random at its begin.

    Args:
      agent: to wrap. Its params become `ShuffledParams`, so that every training seed has rewards of its own.
      rewards: by slot, 0 where a slot was not valid.
    Raises:
      SpecError: rewards of lifetimes of another length.
    """
    if rewards.ndim != 2 or rewards.shape[1] != agent.spec.lifetime_steps:
        raise SpecError(
            f"rewards must be [lifetimes, {agent.spec.lifetime_steps}], one for each slot; came {list(rewards.shape)}. "
            "Record them with the same agent on the same distribution."
        )

    def begin(params: ShuffledParams, key: PRNGKeyArray) -> ShuffledMemory:
        key_lifetime, key_begin = jax.random.split(key)
        lifetime = jax.random.randint(key_lifetime, (), 0, params.rewards.shape[0])
        return ShuffledMemory(agent=agent.begin(params.agent, key_begin), lifetime=lifetime, slots=jnp.int32(0))

    def adapt(params: ShuffledParams, memory: ShuffledMemory, experience: Transition, key: PRNGKeyArray) -> ShuffledMemory:
        # A rollout may skip the slots after an early end, up to the start of the next episode.
        slot = jnp.maximum(memory.slots, experience.episode[0] * agent.spec.horizon)
        reward = jax.lax.dynamic_slice(params.rewards, (memory.lifetime, slot), (1, agent.cadence))[0]
        reward = jnp.where(experience.valid, reward, 0.0)
        experience = dataclasses.replace(experience, outcome=dataclasses.replace(experience.outcome, reward=reward))
        return ShuffledMemory(
            agent=agent.adapt(params.agent, memory.agent, experience, key),
            lifetime=memory.lifetime,
            slots=jnp.where(experience.valid.any(), slot + agent.cadence, memory.slots),
        )

    return Agent(
        spec=agent.spec,
        init=lambda key: ShuffledParams(agent=agent.init(key), rewards=rewards),
        begin=begin,
        act=lambda params, memory, observation, key: agent.act(params.agent, memory.agent, observation, key),
        adapt=adapt,
        cadence=agent.cadence,
    )


def shuffled_contender(
    one: Contender,
    distribution: AnyDistribution,
    *,
    split: str,
    lifetimes: int = 200,
    seed: int = 0,
    runner: Runner | None = None,
) -> Contender:
    """A contender each seed of which adapts to its own rewards from other lifetimes, on tasks drawn apart.

    Args:
      one: to ablate.
      distribution: of the tasks that the rewards come from.
      split: of those tasks.
      lifetimes: how many are recorded for each seed.
      seed: of those tasks and the lifetimes' keys. They differ from those of `evaluate` for any seed.
      runner: of the same tasks, open already; else one is opened.
    Raises:
      UnknownNameError: no such split.
      SpecError: an agent that was made for other tasks.
    """
    # Folded in, so that no seed of `evaluate` gives these keys.
    key_tasks, key_lives = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    tasks, keys = distribution.sample_tasks(split, key_tasks, tasks=lifetimes), jax.random.split(key_lives, lifetimes)
    with contextlib.nullcontext(runner) if runner is not None else Runner(distribution) as place:
        recorded = [place.run(one.agent, one.params_of(i), tasks, keys).reward for i in range(one.seeds)]
    rewards = jnp.stack([jnp.asarray(reward) for reward in recorded])
    agent = with_shuffled_rewards(one.agent, rewards[0])
    # An agent without parameters counts as one seed, and so do these rewards.
    return Contender(agent=agent, params=ShuffledParams(agent=one.params, rewards=rewards), trained=one.trained)
