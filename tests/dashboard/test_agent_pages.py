"""Agents of a registry: versions, history, and champion against challenger on sessions that were really served."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from dashboard.conftest import running
from dashboard.made import table
from dashboard.test_pages import text_of
from quickstudy.dashboard.sources import Sources, dashboard
from quickstudy.serving.engine import Engine
from quickstudy.serving.evaluated import evaluate_policy
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.registry import Registry
from quickstudy.serving.replayed import agent_policy
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.stores import open_store
from quickstudy.storage.bundle import load_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
CHAMPION, CHALLENGER = BUNDLES / "quick-n10-k5", BUNDLES / "bandit-n10-k5"
MEANS = np.array([0.2, 0.4, 0.6, 0.3, 0.9])


def load(path, seed, envelope=None):
    del envelope
    return served_from_bundle(str(path), policy=SessionPolicy(at_end="new"), seed=seed)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry") / "agents")
    registry.promote("bandit", registry.put("bandit", CHAMPION, seed=0, load=load))
    registry.promote("bandit", registry.put("bandit", CHALLENGER, seed=0, load=load), alias="challenger")
    return registry


def test_versions_aliases_and_history_are_shown(registry, tmp_path):
    with running(dashboard(Sources(runs=tmp_path, registry=registry))) as url, httpx.Client(base_url=url) as client:
        champion = registry.digest_of("bandit", "champion")[:12]
        assert f"bandit 2 champion = {champion}" in text_of(client.get("/agents"))
        said = text_of(client.get("/agents/one?name=bandit"))
        assert f"{champion} champion 0 no" in said
        assert f"promote champion {champion} pin" in said
        assert "The estimates need logged sessions." in said
        assert client.get("/agents/one?name=none").status_code == 400


@pytest.mark.slow
def test_champion_and_challenger_have_the_estimates_of_the_audit(registry, tmp_path):
    store, random = open_store(f"sqlite:{tmp_path / 'a.db'}"), np.random.default_rng(0)
    engine = Engine(registry.load("bandit", registry.digest_of("bandit", "champion"), load), store)
    engine.start()
    for number in range(150):
        name = SessionName("default", f"s{number}")
        for _ in range(2):
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            reward = float(random.random() < MEANS[decision["action"]])
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))
    with running(dashboard(Sources(runs=tmp_path, registry=registry, store=store))) as url:
        same = registry.digest_of("bandit", "champion")[:12]
        asked = f"name=bandit&first=champion&second={same}&decisions=2"
        with httpx.Client(base_url=url, timeout=300) as client:
            said = text_of(client.get(f"/agents/one?{asked}"))
            header, rows = table(client.get(f"/agents/one.csv?{asked}").text)
            other = text_of(client.get("/agents/one?name=bandit&second=challenger&decisions=2"))
    assert said.count("SWITCH-DR") == 4  # in two tables of estimates, in that of their difference, and in its sentence
    assert "There is no significant difference between the two. This rests on SWITCH-DR." in said
    assert {(value, low, high) for version, _, value, low, high in rows if version == f"{same} minus champion"} == {(0, 0, 0)}
    assert other.count("SWITCH-DR") == 1
    assert "The log does not support this policy" in other  # it takes actions that the log hardly has
    assert header[:3] == ["version", "estimator", "return (reward units)"]
    bundle = load_bundle(CHAMPION)
    wanted = evaluate_policy(store, agent_policy(bundle.agent, bundle.params_of(0)), decisions=2).report.estimates
    engine.stop()
    found = {kind: (value, low, high) for version, kind, value, low, high in rows if version == "champion"}
    assert found.keys() == wanted.keys()
    for kind, one in wanted.items():
        assert found[kind] == pytest.approx((one.value, one.low, one.high), rel=1e-5)
