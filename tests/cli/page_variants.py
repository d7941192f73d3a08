"""The task file of another user: variants of a page, segments of visitors, and novelty that wears off. One long episode."""

import functools

import gymnasium
import jax
import jax.numpy as jnp

from quickstudy.baselines.bandits.linear_ucb import linear_ucb_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:more-novelty")


@record
class Experiment:
    """`rates` `[segments, variants]`; `novelty` `[variants]`, what is added on the first day; `days` `[]` until it is gone."""

    rates: jax.Array
    novelty: jax.Array
    days: jax.Array


def make(*, days: int = 4, visitors: int = 5, variants: int = 3, segments: int = 2) -> TaskDistribution:
    """An experiment with the variants of a page.

    Args:
      days: of one experiment.
      visitors: on each day.
      variants: to choose among.
      segments: of visitors.
    """

    def sample(split, key):
        key_rates, key_novelty, key_days = jax.random.split(key, 3)
        most = 0.6 if split == "ood:more-novelty" else 0.2
        return Experiment(
            rates=jax.random.uniform(key_rates, (segments, variants)) ** 2,
            novelty=most * jax.random.uniform(key_novelty, (variants,)),
            days=1 + mark_split(jax.random.uniform(key_days), split, SPLITS),
        )

    def seen(segment, slot):
        day = (slot // visitors).astype(jnp.float32) / days
        return jnp.append(jax.nn.one_hot(segment, segments), day)

    def reset(task, key):
        segment = jax.random.randint(key, (), 0, segments)
        return (segment, jnp.int32(0)), seen(segment, jnp.int32(0))

    def step(task, state, action, key):
        (segment, slot), (key_sale, key_next) = state, jax.random.split(key)
        left = jnp.exp(-(slot // visitors).astype(jnp.float32) / task.days)
        sold = jax.random.uniform(key_sale) < task.rates[segment, action] + task.novelty[action] * left
        following = jax.random.randint(key_next, (), 0, segments)
        return (following, slot + 1), Outcome(
            observation=seen(following, slot + 1), reward=sold, terminated=False, truncated=False
        )

    spec = Spec(
        observation_space=gymnasium.spaces.Box(0, 1, (segments + 1,)),
        action_space=gymnasium.spaces.Discrete(variants),
        horizon=days * visitors,
        episodes=1,
    )
    return TaskDistribution(
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"rates": task.rates, "novelty": task.novelty},
        baselines={
            "equal split": functools.partial(random_agent, spec),
            "LinUCB": functools.partial(linear_ucb_agent, spec),
        },
    )
