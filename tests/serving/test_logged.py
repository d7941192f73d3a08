"""The log of a store, read for off-policy evaluation: rows, what is left out, and which rows are independent."""

import numpy as np
import pytest

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.serving.engine import Engine
from quickstudy.serving.logged import logged_decisions
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.requests import Act, Fork, Operate, Reward, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store


class Service:
    """An engine over a store in a file."""

    def __init__(self, url, agent, params, **policy):
        self.served = ServedAgent(agent, params, policy=SessionPolicy(**policy))
        self.store = open_store(url)
        self.engine = Engine(self.served, self.store)
        self.engine.start()

    def act(self, session):
        return self.engine.ask_and_wait(Act(name=SessionName("t", session), observation=0))

    def reward(self, session, decision, reward):
        name = SessionName("t", session)
        return self.engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))

    def ask(self, request):
        return self.engine.ask_and_wait(request)

    def log(self, **asked):
        self.engine.call(lambda shelf: None).result()
        return logged_decisions(self.store, tenant="t", **asked)


@pytest.fixture
def serve(arms, tmp_path):
    running = []

    def service(*, agent=None, **policy):
        running.append(Service(f"sqlite:{tmp_path / f'{len(running)}.db'}", *(agent or arms), **policy))
        return running[-1]

    yield service
    for one in running:
        one.engine.stop()
