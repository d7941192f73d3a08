"""A small agent, untrained, that plays as an agent does in meta-training: guarded, with the actions that its policy draws."""

import dataclasses
from typing import TypeVar

from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.networks.actor_critic import ActorCritic
from quickstudy.networks.memory_network import MemoryNetworkConfig, first_statistics
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.rollout.nonfinite import with_nonfinite_guard

Distribution = TypeVar("Distribution", bound=AnyDistribution)

_NETWORK = MemoryNetworkConfig(cell="gru", hidden_size=8)


def small_agent(spec: Spec) -> Agent:
    """A recurrent agent for lifetimes of this spec, as RL² is before its first update."""
    statistics = first_statistics(spec, _NETWORK)

    def init(key: PRNGKeyArray) -> ActorCritic:
        return ActorCritic(spec, _NETWORK, key=key)

    def begin(network: ActorCritic, key: PRNGKeyArray) -> PyTree:
        del key
        return network.core.initial(spec)

    def act(network: ActorCritic, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        seen = network.encoder(statistics, observation, spec)
        extras = network.decide(statistics, network.core.read(memory, seen), seen, spec)
        action = extras["policy"].sample(key)
        return Decision(action=action, extras=extras | {"log_probability": extras["policy"].log_probability(action)})

    def adapt(network: ActorCritic, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        return network.take_in(statistics, memory, experience, spec)

    return with_nonfinite_guard(Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt))


def small_lifetimes(distribution: Distribution, *, episodes: int = 2) -> Distribution:
    """The same tasks with lifetimes of at most so many episodes."""
    spec = dataclasses.replace(distribution.spec, episodes=min(episodes, distribution.spec.episodes))
    return dataclasses.replace(distribution, spec=spec)
