"""A small agent, untrained, that plays as an agent does in meta-training: guarded, with the actions that its policy draws."""

import dataclasses
from typing import TypeVar

from quickstudy import algorithms
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Spec
from quickstudy.rollout.nonfinite import with_nonfinite_guard

Distribution = TypeVar("Distribution", bound=AnyDistribution)

_EPISODES = 2


def small_agent(spec: Spec) -> Agent:
    """The agent for lifetimes of this spec."""
    return with_nonfinite_guard(algorithms.make("rl2", spec, hidden_size=8).agent)


def small_lifetimes(distribution: Distribution, *, episodes: int = _EPISODES) -> Distribution:
    """The same tasks with lifetimes of at most so many episodes."""
    spec = dataclasses.replace(distribution.spec, episodes=min(episodes, distribution.spec.episodes))
    return dataclasses.replace(distribution, spec=spec)
