"""A task and an algorithm whose truth is known, and that compile in no time: one setting matters, another does nothing.

The agent takes the action that pays with probability σ(strength), whatever happens. Every update adds `climb` / 10 to the
strength, which begins near zero. So the expected return is pulls σ(strength after the updates).
"""

import dataclasses
from typing import Annotated, Literal

import gymnasium
import jax
import jax.numpy as jnp

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.setting_values import Range
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClimberConfig:
    """Settings of the climber."""

    climb: Annotated[float, Range(least=-50, most=50)] = 1.0
    """Ten times the growth of the strength in an update."""
    idle: int = 1
    """A number that nothing depends on."""
    mode: Literal["plain", "broken"] = "plain"
    """A broken climber has a loss that is no number."""
    sizes: tuple[int, ...] = (1,)
    """Numbers that nothing depends on."""
    lifetimes: Annotated[int, Range(least=2)] = 4
    """Lifetimes per update."""


def climber(spec: Spec, config: ClimberConfig = ClimberConfig()) -> MetaAlgorithm:
    """The algorithm."""

    def act(params, memory, observation, key):
        del memory, observation
        action = jnp.where(jax.random.uniform(key) < jax.nn.sigmoid(params), 0, 1)
        return Decision(action=action, extras={"log_probability": jnp.zeros(())})

    def update(params, lifetimes, progress, key, climb):
        del lifetimes, progress, key
        return params + climb / 10, {"loss": params * 0 + (jnp.nan if config.mode == "broken" else 1.0)}

    agent = Agent(
        spec=spec,
        init=lambda key: 0.2 * jax.random.normal(key, ()),
        begin=lambda params, key: (),
        act=act,
        adapt=lambda params, memory, experience, key: memory,
        exchangeable=True,
    )
    return MetaAlgorithm(
        name="climber",
        config=config,
        agent=agent,
        init=agent.init,
        update=update,
        params=lambda params: params,
        lifetimes=config.lifetimes,
    ).with_learning_rate(config.climb)  # so that one compiled program serves all values


def task(*, pulls: int = 5, pays: float = 1.0) -> TaskDistribution:
    """Two actions, of which the first pays.

    Args:
      pulls: of a lifetime.
      pays: reward of the first action.
    """
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1), action_space=gymnasium.spaces.Discrete(2), horizon=1, episodes=pulls
    )

    def step(task, state, action, key):
        del key
        no = jnp.asarray(False)
        reward = jnp.where(action == 0, pays, 0.0).astype(jnp.float32)
        return state, Outcome(observation=jnp.int32(0), reward=reward, terminated=no, truncated=no)

    return TaskDistribution(
        name="tiny",
        spec=spec,
        splits=SPLITS,
        sample=lambda split, key: {"mark": mark_split(jax.random.uniform(key), split, SPLITS)},
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {"mark": task["mark"]},
    )
