"""The uplift over a holdback, and what the fallback would have done: from sessions that were really served."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from laws.cases import small
from quickstudy import algorithms
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.rules import Envelope
from quickstudy.serving.counterfactual import fallback_choices
from quickstudy.serving.engine import Engine
from quickstudy.serving.heads import event_of
from quickstudy.serving.holdback import holdback_log
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store
from quickstudy.storage.envelope_file import load_envelope, plain_envelope

SESSIONS, STEPS = 16, 3
HALF = Envelope(fallback="UCB1", holdback=0.5)


def served_within(folder, envelope, fallback="UCB1"):
    """A recurrent agent on a bandit of three arms, within an envelope."""
    (folder / "envelope.json").write_text(json.dumps(plain_envelope(envelope)), encoding="utf-8")
    stored, distribution = load_envelope(folder / "envelope.json"), small("bernoulli-bandit")
    agent = algorithms.make("rl2", distribution.spec, hidden_size=4).agent
    guarded = with_envelope(agent, envelope, fallback=distribution.baselines[fallback]())
    params, policy = agent.init(jax.random.key(0)), SessionPolicy(at_end="new")
    return ServedAgent(guarded, params, policy=policy, digest=stored.digest, envelope=stored.describe())


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A store with sessions of an agent with a holdback, and what clients saw of each decision, by session."""
    folder = tmp_path_factory.mktemp("held")
    url, seen = f"sqlite:{folder / 'a.db'}", {}
    engine, random = Engine(served_within(folder, HALF), open_store(url)), np.random.default_rng(0)
    engine.start()
    for number in range(SESSIONS):
        name = SessionName("default", f"s{number:02}")
        seen[name] = []
        for _ in range(STEPS):
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            reward = float(random.integers(5))
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))
            seen[name].append((decision["guard"], reward, decision["decision_id"], decision["action"]))
    engine.stop()
    store = open_store(url, serves=False)
    yield store, seen, folder
    store.close()


def test_the_arms_are_those_that_clients_saw(served):
    store, seen, _ = served
    log = holdback_log(store, tenant="default", decisions=STEPS)
    arms = [steps[0][0]["why"] == "holdback" for steps in seen.values()]
    assert log.held_back.tolist() == arms
    assert 2 <= sum(arms) <= SESSIONS - 2
    assert log.rewards.tolist() == [[reward for _, reward, *_ in steps] for steps in seen.values()]
    assert log.shares == (0.5,)
    returns, held = log.rewards.sum(axis=1), np.array(arms)
    assert log.uplift().difference.value == pytest.approx(returns[~held].mean() - returns[held].mean())
    assert log.uplift(1).agent.value == pytest.approx(log.rewards[~held, 0].mean())


def test_lifetimes_that_are_too_short_are_named(served):
    with pytest.raises(UsageError, match=r"16 with fewer than 4 decisions so far.*look at fewer decisions"):
        holdback_log(served[0], tenant="default", decisions=4)
    with pytest.raises(UsageError, match="1 or more; came 0"):
        holdback_log(served[0], tenant="default", decisions=0)


def test_without_a_holdback_there_is_no_uplift(tmp_path):
    url = f"sqlite:{tmp_path / 'a.db'}"
    engine = Engine(served_within(tmp_path, Envelope(fallback="UCB1")), open_store(url))
    engine.start()
    engine.ask_and_wait(Act(name=SessionName("default", "a"), observation=0))
    engine.stop()
    store = open_store(url, serves=False)
    with pytest.raises(UsageError, match="1 with no holdback in its envelope"):
        holdback_log(store, tenant="default", decisions=1)
    store.close()


def test_a_reward_that_never_came_leaves_its_lifetime_out_or_has_a_value(tmp_path):
    url = f"sqlite:{tmp_path / 'a.db'}"
    engine = Engine(served_within(tmp_path, HALF), open_store(url))
    engine.start()
    engine.ask_and_wait(Act(name=SessionName("default", "a"), observation=0))
    engine.stop()
    store = open_store(url, serves=False)
    with pytest.raises(UsageError, match="1 with a reward is unknown"):
        holdback_log(store, tenant="default", decisions=1)
    assert holdback_log(store, tenant="default", decisions=1, unknown_reward=0.5).rewards.tolist() == [[0.5]]
    store.close()


def test_the_fallback_would_have_done_what_it_did_where_it_acted(served):
    store, seen, folder = served
    fallback = served_within(folder, dataclasses.replace(HALF, mode="fallback"))
    others = 0
    for name, steps in seen.items():
        choices = fallback_choices([event_of(event) for event in store.events(name)], fallback)
        assert list(choices) == [decision_id for _, _, decision_id, _ in steps]
        for guard, _, decision_id, action in steps:
            choice = choices[decision_id]
            assert choice.same == (choice.action == action)
            assert choice.propensity == 1  # UCB1 takes its best arm with certainty
            if guard["acted"] == "fallback":
                assert choice.same
            else:
                others += not choice.same
    assert others > 0  # an agent that learned nothing does not act as UCB1 does
