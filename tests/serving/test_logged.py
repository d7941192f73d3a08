"""The log of a store, read for off-policy evaluation: rows, what is left out, and which rows are independent."""

import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.serving.engine import Engine
from quickstudy.serving.heads import event_of
from quickstudy.serving.logged import logged_decisions
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.requests import Act, Change, Open, Reward, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store
from serving.soft_agent import soft_agent


class Service:
    """An engine over a store in a file, and its log."""

    def __init__(self, served, url):
        self.store = open_store(url)
        self.engine = Engine(served, self.store)
        self.engine.start()

    def act(self, session):
        return self.engine.ask_and_wait(Act(name=SessionName("t", session), observation=0))

    def reward(self, session, decision, reward, **more):
        name = SessionName("t", session)
        return self.engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward, **more))

    def steps(self, session, *rewards):
        decisions = []
        for reward in rewards:
            decisions.append(self.act(session))
            self.reward(session, decisions[-1], reward)
        return decisions

    def change(self, session, to):
        self.engine.ask_and_wait(Change(name=SessionName("t", session), to=to))

    def fork(self, session, copy, *, events):
        self.engine.call(lambda shelf: None).result()
        log = [event_of(event) for event in self.store.events(SessionName("t", session))]
        self.engine.ask_and_wait(Open(name=SessionName("t", copy), log=tuple(log[:events])))

    def log(self, **asked):
        self.engine.call(lambda shelf: None).result()
        return logged_decisions(self.store, tenant="t", **asked)


@pytest.fixture(scope="module")
def soft():
    agent = soft_agent(tasks.make("bernoulli-bandit", arms=3, pulls=10).spec)
    return ServedAgent(agent, jnp.zeros(()))


@pytest.fixture
def service(soft, tmp_path):
    running = []

    def start(other=None, **policy):
        served = other or ServedAgent(soft.agent, jnp.zeros(()), policy=SessionPolicy(**policy))
        served.programs = served.programs if other else soft.programs
        running.append(Service(served, f"sqlite:{tmp_path / 'log.db'}"))
        return running[-1]

    yield start
    for one in running:
        one.engine.stop()


def test_rows_hold_the_first_decisions(service):
    one = service(at_end="new")
    made = {name: one.steps(name, 1.0, 0.0, 0.5) for name in ("a", "b")}
    log = one.log(steps=2)
    assert log.lifetimes == [("a", 0), ("b", 0)]
    for row, decisions in enumerate(made.values()):
        assert log.actions[row].tolist() == [decision["action"] for decision in decisions[:2]]
        np.testing.assert_allclose(log.propensities[row], [decision["propensity"] for decision in decisions[:2]], rtol=1e-6)
    assert log.rewards.tolist() == [[1.0, 0.0]] * 2
    assert log.valid.all()
    assert log.learned.all()
    assert (log.late, log.left_out, log.session.tolist()) == (0.0, {}, [0, 1])


def test_short_sessions_count_where_they_have_ended(service):
    one = service()
    one.steps("ended", 1.0)
    one.change("ended", "end")
    one.steps("short", 1.0)
    one.steps("long", 1.0, 1.0)
    unknown = [*one.steps("unknown", 1.0), one.act("unknown")]
    log = one.log(steps=2)
    assert log.lifetimes == [("ended", 0), ("long", 0)]
    assert log.valid.tolist() == [[True, False], [True, True]]
    assert log.rewards[0].tolist() == [1.0, 0.0]
    assert log.left_out == {"fewer than 2 decisions so far": 1, "a reward is unknown": 1}
    with_value = one.log(steps=2, unknown_reward=0.25)
    assert with_value.rewards[with_value.lifetimes.index(("unknown", 0))].tolist() == [1.0, 0.25]
    assert not with_value.learned[with_value.lifetimes.index(("unknown", 0)), 1]
    assert len(unknown) == 2


def test_lifetimes_and_forks_of_a_session_are_one_unit(service):
    one = service(at_end="new")
    one.steps("a", *[1.0] * 12)  # a lifetime has ten decisions
    one.steps("b", 1.0, 1.0)
    one.fork("a", "fork", events=3)  # opened, acted, rewarded
    one.steps("fork", 0.0)
    log = one.log(steps=2)
    assert sorted(zip(log.lifetimes, log.session.tolist(), strict=True)) == [
        (("a", 0), 0),
        (("a", 1), 0),
        (("b", 0), 1),
        (("fork", 0), 0),
    ]
    assert one.log(steps=1).left_out == {"a copy of another session": 1}


def test_rewards_follow_the_rules_of_the_session(service):
    one = service(window_seconds=1000.0, aggregate="mean")
    decision = one.act("a")
    for number, reward in enumerate((1.0, 2.0)):
        one.reward("a", decision, reward, reward_id=str(number))
    frozen = one.act("b")
    one.change("b", "freeze")
    one.reward("b", frozen, 3.0, reward_id="0")
    log = one.log(steps=1)
    assert log.rewards.tolist() == [[1.5], [3.0]]
    assert log.learned.tolist() == [[True], [False]]


def test_late_rewards_are_counted(service):
    one = service()
    first, second = one.act("a"), one.act("a")
    one.reward("a", second, 1.0)
    one.reward("a", first, 0.5)
    log = one.log(steps=2)
    assert (log.rewards.tolist(), log.late) == ([[0.5, 1.0]], 0.5)


def test_agents_that_do_not_tell_probabilities_are_refused(service, arms):
    one = service(ServedAgent(*arms))
    one.steps("a", 1.0)
    with pytest.raises(UsageError, match="does not tell the probability"):
        one.log(steps=1)


def test_what_is_not_there_is_refused(service):
    one = service()
    one.steps("a", 1.0)
    with pytest.raises(UsageError, match="the longest has 1"):
        one.log(steps=2)
    with pytest.raises(UnknownNameError, match="version of the agent"):
        one.log(steps=1, agent="none")
    with pytest.raises(UsageError, match="1 or more"):
        one.log(steps=0)
    (digest,) = one.store.agents()
    assert one.log(steps=1, agent=digest[:8]).lifetimes == [("a", 0)]
