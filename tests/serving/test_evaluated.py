"""A policy is valued from served sessions of another one: through a store in a file, in Python and on the command line."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import cli, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.engine import Engine
from quickstudy.serving.evaluated import evaluate_policy
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.logged import logged_decisions
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.replayed import agent_policy
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.stores import open_store
from quickstudy.storage.bundle import load_bundle
from serving.soft_agent import soft_agent

BUNDLE = Path(__file__).parents[2] / "bundles" / "bandit-n10-k5"
MEANS = np.array([0.2, 0.4, 0.6, 0.3, 0.9])
SESSIONS, STEPS = 120, 2


def soft_chances(log, *, sharpness=1.0):
    """Probabilities `[lifetimes, steps, arms]` of `soft_agent`, by a loop."""
    lifetimes, steps = log.rewards.shape
    taken, paid, found = np.zeros((lifetimes, 5)), np.zeros((lifetimes, 5)), np.zeros((lifetimes, steps, 5))
    for step in range(steps):
        scores = np.exp(sharpness * paid / (1 + taken))
        found[:, step] = scores / scores.sum(axis=1, keepdims=True)
        taken += np.eye(5)[log.actions[:, step]]
        paid += np.eye(5)[log.actions[:, step]] * log.rewards[:, [step]]
    return found


@pytest.fixture(scope="module")
def bundle_agent():
    return served_from_bundle(str(BUNDLE), policy=SessionPolicy(at_end="new"))


@pytest.fixture(scope="module")
def served(bundle_agent, tmp_path_factory):
    """The address of a store with sessions of the agent of a bundle, and what clients saw of them."""
    url, random, seen = f"sqlite:{tmp_path_factory.mktemp('served') / 'a.db'}", np.random.default_rng(0), []
    engine = Engine(bundle_agent, open_store(url))
    engine.start()
    names = [SessionName("default", f"s{number:03}") for number in range(SESSIONS)]
    for _ in range(STEPS):
        for name in names:
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            reward = float(random.random() < MEANS[decision["action"]])
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))
            seen.append(reward)
    engine.stop()
    return url, seen


@pytest.fixture
def store(served):
    opened = open_store(served[0], serves=False)
    yield opened
    opened.close()


def test_an_agent_is_replayed_on_its_own_log_with_the_same_probabilities(store, served, bundle_agent):
    policy = agent_policy(bundle_agent.agent, load_bundle(str(BUNDLE)).params_of(0))
    found = evaluate_policy(store, policy, decisions=STEPS)
    assert len(found.log.lifetimes) == found.report.sessions == SESSIONS
    assert found.report.logged.value == pytest.approx(sum(served[1]) / SESSIONS)
    chosen = np.take_along_axis(policy(found.log), found.log.actions[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(chosen, found.log.propensities, rtol=1e-4)
    assert found.report.effective_sessions == pytest.approx(SESSIONS, rel=1e-4)
    assert found.report.differences["IPS"].value == pytest.approx(0, abs=1e-3)


def test_another_agent_is_replayed_as_its_own_arithmetic_says(store, bundle_agent):
    agent = soft_agent(bundle_agent.spec)
    own, other = agent_policy(bundle_agent.agent, load_bundle(str(BUNDLE)).params_of(0)), agent_policy(agent, jnp.zeros(()))

    def leaning(policy):
        """The logging agent's policy, moved a little towards another: every log supports it, whatever arms were drawn."""

        def chances(log):
            product = own(log) * np.sqrt(policy(log))
            return product / product.sum(-1, keepdims=True)

        return chances

    found, by_hand = (evaluate_policy(store, leaning(policy), decisions=STEPS) for policy in (other, soft_chances))
    np.testing.assert_allclose(other(found.log), soft_chances(found.log), rtol=1e-4)
    assert set(found.report.estimates) == {"IPS", "SNIPS", "DM", "DR", "SWITCH-DR"}
    for name, estimate in by_hand.report.estimates.items():
        assert found.report.estimates[name].value == pytest.approx(estimate.value, abs=1e-4)


def test_a_function_may_give_the_logged_action_alone(store):
    found = evaluate_policy(store, lambda log: np.full(log.rewards.shape, 0.2), decisions=1)
    assert set(found.report.estimates) == {"IPS", "SNIPS"}


def test_policies_that_do_not_fit_are_refused(store, bundle_agent):
    with pytest.raises(UsageError, match="array of shape"):
        evaluate_policy(store, lambda log: np.ones(3), decisions=1)
    with pytest.raises(UsageError, match="sum to 1"):
        evaluate_policy(store, lambda log: np.full((*log.rewards.shape, 5), 0.3), decisions=1)
    fewer = soft_agent(tasks.make("bernoulli-bandit", arms=3, pulls=10).spec)
    with pytest.raises(UsageError, match="action_space"):
        evaluate_policy(store, agent_policy(fewer, jnp.zeros(())), decisions=1)
    short = soft_agent(dataclasses.replace(bundle_agent.spec, episodes=1))
    with pytest.raises(UsageError, match="or fewer decisions"):
        evaluate_policy(store, agent_policy(short, jnp.zeros(())), decisions=2)
    quiet = tasks.make("bernoulli-bandit", arms=5, pulls=10).baselines["Thompson sampling"]()
    with pytest.raises(UsageError, match="does not tell its policy"):
        agent_policy(quiet, quiet.init(jax.random.key(0)))


def test_what_the_log_does_not_support_is_refused(store):
    def never(log):
        return np.zeros(log.rewards.shape)

    with pytest.raises(UsageError, match="does not support this policy"):
        evaluate_policy(store, never, decisions=1)


def test_the_command_prints_every_estimator_and_what_it_assumes(served, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.main(["audit", "evaluate", served[0], str(BUNDLE), "--decisions", "2"]) == 0
    said = capsys.readouterr().out
    for word in (
        "logged agent",
        "IPS",
        "SNIPS",
        "DM",
        "DR",
        "SWITCH-DR",
        "the linear model is right",
        f"Effective sample size {SESSIONS}.0",
    ):
        assert word in said
    assert cli.main(["audit", "evaluate", served[0], str(BUNDLE), "--decisions", "3"]) == 2
    assert "the longest has 2" in capsys.readouterr().err
    assert cli.main(["audit", "evaluate", served[0], str(BUNDLE), "--unknown-reward", "nan"]) == 2
    assert "finite" in capsys.readouterr().err


def test_the_command_explains_a_served_decision(served, store, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    asked = ["explain", str(BUNDLE), "--store", served[0], "--step", "2", "--baseline", "greedy"]
    assert cli.main([*asked, "--session", "s007"]) == 0
    said = capsys.readouterr().out
    assert "Decision of rl2 at step 2 of 10 on session s007, lifetime 1." in said
    assert "  step 1 (action " in said
    assert "greedy, after the same steps, would choose action " in said
    log = logged_decisions(store, tenant="default", steps=2, unknown_reward=0.0)
    served_actions = {name: actions[1] for (name, _), actions in zip(log.lifetimes, log.actions, strict=True)}
    for name in ("s000", "s001", "s002"):  # the replay would draw other actions
        assert cli.main([*asked, "--session", name]) == 0
        assert f"It chose action {served_actions[name]}." in capsys.readouterr().out
    assert cli.main(asked) == 2
    assert "--store needs --session" in capsys.readouterr().err
    assert cli.main([*asked, "--session", "s007", "--lifetime", "2"]) == 2
    assert "has 1 lifetimes with 2 decisions" in capsys.readouterr().err
    assert cli.main([*asked, "--session", "nobody"]) == 2
    assert "unknown session with 2 decisions 'nobody'" in capsys.readouterr().err
