"""Stores for tests: the same tests run on SQLite and on PostgreSQL."""

import itertools

import jax
import pytest

from laws.toy_agents import trace_agent
from laws.toy_distributions import corridor
from quickstudy import tasks
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.served_agent import ServedAgent
from serving.postgres import started

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres():
    server = started()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store_url(request, tmp_path):
    """The address of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'sessions.db'}"
    return request.getfixturevalue("postgres").database(f"sessions_{next(_numbers)}")


@pytest.fixture(scope="session")
def arms():
    """A bandit of three arms with ten pulls, and an agent for it."""
    distribution = tasks.make("bernoulli-bandit", arms=3, pulls=10)
    agent = distribution.baselines["Thompson sampling"]()
    return agent, agent.init(jax.random.key(0))


@pytest.fixture(scope="session")
def walker():
    """An agent whose memory depends on everything, for lifetimes of several episodes."""
    agent = trace_agent(corridor().spec)
    return agent, agent.init(jax.random.key(0))


@pytest.fixture(scope="session")
def serve(arms, walker):
    """`(name, **policy) -> ServedAgent`; programs are compiled once for each agent."""
    programs = {}

    def make(name="arms", seed=0, **policy):
        agent, params = {"arms": arms, "walker": walker}[name]
        served = ServedAgent(agent, params, policy=SessionPolicy(**policy), seed=seed)
        served.programs = programs.setdefault(name, served.programs)
        return served

    return make
