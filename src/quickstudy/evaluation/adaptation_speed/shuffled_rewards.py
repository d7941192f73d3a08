"""The shuffled-reward ablation: an agent that adapts on rewards that others earned.

An agent that gets better within a lifetime need not owe it to reward: it may do a little better each episode whatever comes
of it, or read the task off what it sees. So it lives again, and `adapt` gets, at each slot, the reward that another lifetime
of the same agent earned at that slot on another task. Rewards are thereby permuted among lifetimes: how large they are, how
they grow along a lifetime and how they hang together in time stays as it was, and nothing ties them to the agent's own task
and actions any more. What is left of adaptation does not come from reward.

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
    """What the agent was born with, and the `rewards` `[lifetimes, T]` that it will take for its own."""

    agent: PyTree
    rewards: Float[Array, "lifetimes T"]


@record
class ShuffledMemory:
    """The agent's memory, whose rewards it gets in this lifetime `[]`, and the slot after the last that it took in `[]`."""

    agent: PyTree
    lifetime: Int[Array, ""]
    slots: Int[Array, ""]


def with_shuffled_rewards(agent: Agent, rewards: Float[Array, "lifetimes T"]) -> Agent:
    """The same agent, but what it adapts on are the rewards of a recorded lifetime, drawn at random at its begin.

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
        # A driver may pass over slots that did not happen after an early end, up to where the next episode starts.
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
    living: Runner | None = None,
) -> Contender:
    """A contender whose every seed adapts on rewards that it earned itself, elsewhere: in lifetimes on tasks drawn apart.

    Args:
      one: to ablate.
      distribution: where the rewards are earned.
      split: of the tasks that they are earned on.
      lifetimes: how many are recorded for each seed.
      seed: of those tasks and their luck. Lists that `evaluate` draws are others, whatever their seed.
      living: a place to live that is open already, of the same tasks.
    Raises:
      UnknownNameError: no such split.
      SpecError: an agent that was made for other tasks.
    """
    # Folded in, so that no seed of `evaluate` gives these keys.
    key_tasks, key_lives = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    tasks, keys = distribution.sample_tasks(split, key_tasks, tasks=lifetimes), jax.random.split(key_lives, lifetimes)
    with contextlib.nullcontext(living) if living is not None else Runner(distribution) as place:
        earned = [place.run(one.agent, one.params_of(i), tasks, keys).reward for i in range(one.seeds)]
    rewards = jnp.stack([jnp.asarray(reward) for reward in earned])
    agent = with_shuffled_rewards(one.agent, rewards[0])
    # What has no parameters counts as one seed, and so do these rewards then.
    return Contender(agent=agent, params=ShuffledParams(agent=one.params, rewards=rewards), trained=one.trained)
