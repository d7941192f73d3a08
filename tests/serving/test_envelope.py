"""Sessions of an agent within an envelope: what clients and the audit see, and the kill switch of a running service."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from laws.cases import small
from quickstudy import algorithms
from quickstudy.cli import serve as serve_command
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.rules import Envelope, ExplorationLimits
from quickstudy.serving.audit import decision_report, verify
from quickstudy.serving.engine import Engine
from quickstudy.serving.logged import logged_decisions
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store
from quickstudy.storage.envelope_file import load_envelope, plain_envelope

NAME = SessionName("default", "a")
LIMITED = Envelope(fallback="UCB1", exploration=ExplorationLimits(likeliest_at_least=0.5, each_at_least=0.1))
OFF = Envelope(fallback="UCB1", mode="fallback")


def served_within(folder, envelope, *, fallback="UCB1"):
    """A recurrent agent on a bandit of three arms, within an envelope that was stored in a file."""
    (folder / "envelope.json").write_text(json.dumps(plain_envelope(envelope)))
    stored = load_envelope(folder / "envelope.json")
    distribution = small("bernoulli-bandit")
    agent = algorithms.make("rl2", distribution.spec, hidden_size=4).agent
    guarded = with_envelope(agent, envelope, fallback=distribution.baselines[fallback]())
    return ServedAgent(
        guarded,
        agent.init(jax.random.key(0)),
        policy=SessionPolicy(at_end="new"),
        digest=stored.digest,
        envelope=stored.describe(),
    )


def lived(served, url, *, steps, moves="refuse"):
    engine = Engine(served, open_store(url), moves=moves)
    engine.start()
    decisions = []
    for _ in range(steps):
        decision = engine.ask_and_wait(Act(name=NAME, observation=0))
        engine.ask_and_wait(Reward(name=NAME, decision_id=decision["decision_id"], reward=1.0))
        decisions.append(decision)
    engine.stop()
    return decisions


def test_clients_the_audit_and_the_log_see_what_the_guard_did(tmp_path):
    url = f"sqlite:{tmp_path / 'sessions.db'}"
    served = served_within(tmp_path, LIMITED)
    decisions = lived(served, url, steps=4)
    assert all(one["guard"]["acted"] == "agent" for one in decisions)
    assert all(one["propensity"] >= 0.1 - 1e-6 for one in decisions)
    switched = lived(served_within(tmp_path, OFF), url, steps=1, moves="replay")
    assert switched[0]["guard"] == {"acted": "fallback", "why": "mode"}
    assert switched[0]["propensity"] == 1  # UCB1 takes its best arm with certainty
    store = open_store(url, serves=False)
    assert verify(store).wrong == []
    report = decision_report(store, NAME, switched[0]["decision_id"])
    assert report["envelope"]["rules"]["mode"] == "fallback"
    assert report["events"][0]["guard"] == {"acted": "fallback", "why": "mode"}
    store.close()


def test_the_log_holds_the_probabilities_of_the_final_actions(tmp_path):
    url = f"sqlite:{tmp_path / 'sessions.db'}"
    served = served_within(tmp_path, LIMITED)
    decisions = lived(served, url, steps=3)
    store = open_store(url, serves=False)
    logged = logged_decisions(store, tenant="default", agent=served.digest, steps=3)
    np.testing.assert_allclose(logged.propensities[0], [one["propensity"] for one in decisions], rtol=1e-6)
    store.close()


def test_a_fallback_of_unknown_probability_tells_none_and_its_log_is_refused(tmp_path):
    url = f"sqlite:{tmp_path / 'sessions.db'}"
    served = served_within(tmp_path, Envelope(fallback="Thompson sampling", mode="fallback"), fallback="Thompson sampling")
    assert [one["propensity"] for one in lived(served, url, steps=2)] == [None, None]
    store = open_store(url, serves=False)
    with pytest.raises(UsageError, match="have no known probability"):
        logged_decisions(store, tenant="default", agent=served.digest, steps=2)
    store.close()


def test_the_command_serves_a_bundle_within_its_envelope(tmp_path, monkeypatch, capsys):
    """The digest of the envelope is a part of the agent's."""
    started = []

    def serve(served, settings, *, listens, follows, beside=None):
        assert follows is None
        assert beside is None
        started.append(served)
        listens("http://127.0.0.1:8080")
        return 0

    monkeypatch.setattr(serve_command, "serve", serve)
    (tmp_path / "envelope.json").write_text(json.dumps(plain_envelope(LIMITED)))
    bundle = str(Path(__file__).parents[2] / "bundles" / "two-arms")
    assert serve_command.run([bundle, "--envelope", str(tmp_path / "envelope.json")]) == 0
    assert serve_command.run([bundle]) == 0
    within, without = started
    assert within.digest != without.digest
    assert within.envelope["rules"] == plain_envelope(LIMITED)
    assert without.envelope is None
    assert f"envelope {within.envelope['digest'][:12]}" in capsys.readouterr().out
