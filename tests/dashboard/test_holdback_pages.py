"""The holdback and the choices of a fallback, on sessions of a registry's agent that were really served."""

import html
import json
import re

import httpx
import numpy as np
import pytest

from dashboard.conftest import running
from dashboard.made import table
from dashboard.test_agent_pages import CHAMPION, MEANS
from dashboard.test_pages import text_of
from quickstudy.cli.guards import guard_of
from quickstudy.dashboard.fallbacks import Fallbacks
from quickstudy.dashboard.sources import Sources, dashboard
from quickstudy.serving.engine import Engine
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.registry import Registry
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.stores import open_store

SESSIONS, STEPS = 20, 3


def load(path, seed, envelope=None):
    guard = None if envelope is None else guard_of(envelope, seed=seed)
    return served_from_bundle(str(path), policy=SessionPolicy(at_end="new"), seed=seed, guard=guard)


def serve(engine):
    """Sessions with their decisions; returns the reasons of the guard by session, and the rewards."""
    random, reasons, rewards = np.random.default_rng(1), {}, {}
    for number in range(SESSIONS):
        name = SessionName("default", f"s{number:02}")
        for _ in range(STEPS):
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            reward = float(random.random() < MEANS[decision["action"]])
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))
            reasons[name.session] = decision["guard"]["why"]
            rewards[name.session] = rewards.get(name.session, 0.0) + reward
    return reasons, rewards


@pytest.mark.slow
def test_uplift_and_choices_of_the_fallback_are_shown(tmp_path):
    envelope = tmp_path / "envelope.json"
    envelope.write_text(json.dumps({"format": 1, "fallback": "UCB1", "holdback": 0.5}), encoding="utf-8")
    registry, address = Registry(tmp_path / "agents"), f"sqlite:{tmp_path / 'a.db'}"
    digest = registry.put("bandit", CHAMPION, seed=0, load=load, envelope=envelope)
    engine = Engine(registry.load("bandit", digest, load), open_store(address))
    engine.start()
    reasons, rewards = serve(engine)
    engine.stop()
    store = open_store(address, serves=False)
    sources = Sources(runs=tmp_path / "runs", registry=registry, store=store)
    with running(dashboard(sources)) as url, httpx.Client(base_url=url, timeout=300) as client:
        page = client.get(f"/sessions/holdback?decisions={STEPS}")
        held = {name for name, why in reasons.items() if why == "holdback"}
        means = [np.mean([rewards[name] for name in rewards if (name in held) == one]) for one in (False, True)]
        assert f"Uplift in a lifetime {means[0] - means[1]:.4g} [" in text_of(page)
        assert f"the fallback {len(held)} {len(held)} " in text_of(page)
        (chart,) = re.findall(r'data-csv="([^"]+)"', page.text)
        header, rows = table(client.get(html.unescape(chart)).text)
        assert header[:2] == ["decision", "agent: mean"]
        assert [rows[-1][1], rows[-1][4]] == pytest.approx(means, rel=1e-5)
        name = min(held)
        assert "Show what the fallback would have done" in text_of(client.get(f"/sessions/one?name={name}"))
        said = text_of(client.get(f"/sessions/one?name={name}&fallback=yes"))
        assert f"the same action at {STEPS} of {STEPS} decisions" in said
        header, rows = table(client.get(f"/sessions/one.csv?name={name}&fallback=yes").text)
        assert header[-2:] == ["fallback action", "fallback propensity"]
        assert [row[-2] for row in rows] == [row[5] for row in rows]
    with running(dashboard(Sources(runs=tmp_path / "runs", store=store))) as url, httpx.Client(base_url=url) as client:
        assert "no registry was given" in text_of(client.get(f"/sessions/one?name={name}&fallback=yes"))
    late = Registry(tmp_path / "late")
    fallbacks = Fallbacks(store, late)
    assert "the registry holds no version" in fallbacks.choices(SessionName("default", name))
    late.put("bandit", CHAMPION, seed=0, load=load, envelope=envelope)
    assert len(fallbacks.choices(SessionName("default", name))) == STEPS  # the sentence was not kept
    store.close()


def test_a_store_without_a_holdback_is_told_how_to_get_one(client):
    said = text_of(client.get("/sessions/holdback?decisions=2"))
    assert "with no holdback in its envelope" in said
    assert "quickstudy serve bundles/bandit-n100-k5-taught --store STORE --envelope envelope.json" in said
    assert client.get("/sessions/holdback.csv?decisions=2").status_code == 400
    assert client.get("/sessions/holdback?decisions=0").status_code == 400
