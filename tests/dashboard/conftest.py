"""A folder of runs, a server with live sessions, and the dashboard on both."""

import contextlib
import math
import threading
import time

import httpx
import jax
import pytest
import uvicorn

from dashboard.made import make_runs
from quickstudy import tasks
from quickstudy.dashboard.sources import Sources, dashboard
from quickstudy.serving.engine import Engine
from quickstudy.serving.http.application import Application
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.registry import Registry
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store
from serving.postgres import free_port
from serving.running import client_of_application
from serving.soft_agent import soft_agent


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with three runs; one of them has results."""
    folder = tmp_path_factory.mktemp("dashboard") / "runs"
    make_runs(folder)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """`(address, store url, engine)` of a server with three sessions."""
    distribution = tasks.make("bernoulli-bandit", arms=3, pulls=10)
    agent = soft_agent(distribution.spec)
    url = f"sqlite:{tmp_path_factory.mktemp('served') / 'sessions.db'}"
    store = open_store(url)
    engine = Engine(ServedAgent(agent, agent.init(jax.random.key(0)), policy=SessionPolicy()), store)
    with client_of_application(Application(engine, Tokens(store)).asgi()) as client:
        for session in ("customer-1", "customer-2", "shop"):
            decide(engine, session, rewards=(1.0, 0.0, 1.0))
        yield str(client.base_url), url, engine


def decide(engine, session, *, rewards, decision_id=None):
    """Decisions of a session with their rewards; one of NaN does not come. Returns the ids of the decisions."""
    name, ids = SessionName("default", session), []
    for reward in rewards:
        decision = engine.ask_and_wait(Act(name=name, observation=0, decision_id=decision_id))
        ids.append(decision["decision_id"])
        if not math.isnan(reward):
            engine.ask_and_wait(Reward(name=name, decision_id=ids[-1], reward=reward))
    return ids


@pytest.fixture(scope="session")
def whole(runs, served, tmp_path_factory):
    """The address of a dashboard with everything that can be shown."""
    address, url, _ = served
    store = open_store(url, serves=False, creates=False)
    registry = Registry(tmp_path_factory.mktemp("registry"))
    with running(dashboard(Sources(runs=runs, store=store, registry=registry, server=address))) as url:
        yield url
    store.close()


@pytest.fixture
def client(whole):
    with httpx.Client(base_url=whole, timeout=60) as client:
        yield client


@pytest.fixture
def empty(tmp_path):
    """The dashboard of somebody who has nothing yet."""
    with running(dashboard(Sources(runs=tmp_path / "runs"))) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@contextlib.contextmanager
def running(application):
    """The address of an application behind a real socket, in a thread of this process."""
    port = free_port()
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
