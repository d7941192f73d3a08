"""Slot machines whose chances change while they are played: each chance wanders, and its first value fades.

quickstudy check examples/drifting_arms.py:make
quickstudy train rl2 examples/drifting_arms.py:make --rule forget --budget 3m
"""

from functools import partial

import gymnasium
import jax
import jax.numpy as jnp

import quickstudy as qs
from quickstudy.baselines.bandits.thompson import thompson_agent
from quickstudy.baselines.random import random_agent

SPLITS = ("train", "test", "ood:still", "ood:faster")
SPREAD = 1.5
"""Standard deviation of a chance's log-odds, at every pull."""


@qs.record
class Arms:
    """`chances` `[pulls, arms]`: the chance in [0, 1) that each arm pays 1, at every pull of the lifetime."""

    chances: jax.Array


def fading_agent(spec, *, fade=0.9, tries=0.05):
    """Pulls the arm with the best faded mean, and a random arm now and then. An old pull counts less by `fade` a step."""

    def begin(params, key):
        return jnp.zeros((2, int(spec.action_space.n)))

    def act(params, memory, observation, key):
        pulls, paid = memory
        key_try, key_arm = jax.random.split(key)
        best = jnp.argmax((paid + 0.5) / (pulls + 1.0))
        anything = jax.random.randint(key_arm, (), 0, len(pulls))
        return qs.Decision(action=jnp.where(jax.random.uniform(key_try) < tries, anything, best).astype(jnp.int32), extras={})

    def adapt(params, memory, experience, key):
        seen = jnp.stack([jnp.float32(1.0), experience.outcome.reward[0]])
        faded = (fade * memory).at[:, experience.decision.action[0]].add(seen)
        return jnp.where(experience.valid[0], faded, memory)

    return qs.Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def make(*, arms: int = 3, pulls: int = 200, persistence: float = 50.0) -> qs.TaskDistribution:
    """Drifting arms.

    Args:
      arms: number of arms.
      pulls: steps of the one episode, which is the lifetime.
      persistence: pulls after which a usual chance has lost 63 % of its first value; it differs from task to task.
    """
    spec = qs.Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(arms),
        horizon=pulls,
        episodes=1,
    )

    def sample(split, key):
        key_speed, key_start, key_drift = jax.random.split(key, 3)
        kept = jnp.exp(-jnp.exp(jax.random.uniform(key_speed, minval=-1.0, maxval=1.0)) / persistence)  # in one pull
        kept = {"ood:still": 1.0, "ood:faster": kept**4}.get(split, kept)

        def wander(odds, new):
            return kept * odds + SPREAD * jnp.sqrt(1 - kept**2) * new, odds

        start = SPREAD * jax.random.normal(key_start, (arms,))
        _, odds = jax.lax.scan(wander, start, jax.random.normal(key_drift, (pulls, arms)))
        return Arms(chances=qs.mark_split(jax.nn.sigmoid(odds), split, SPLITS))

    def reset(task, key):
        return jnp.int32(0), jnp.int32(0)  # the state is the number of the pull

    def step(task, pull, arm, key):
        paid = jax.random.uniform(key) < task.chances[pull, arm]
        return pull + 1, qs.Outcome(observation=jnp.int32(0), reward=paid, terminated=False, truncated=False)

    return qs.TaskDistribution(
        spec=spec, splits=SPLITS, sample=sample, reset=reset, step=step,
        describe=lambda task: {"chance at first": task.chances[0], "chance at the end": task.chances[-1]},
        floor=lambda task: task.chances.mean(axis=1).sum(),
        ceiling=lambda task: task.chances.max(axis=1).sum(),
        baselines={
            "random": partial(random_agent, spec),
            "Thompson sampling": partial(thompson_agent, spec),
            "fading means": partial(fading_agent, spec),
        },
    )  # fmt: skip
