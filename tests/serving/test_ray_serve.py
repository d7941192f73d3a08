"""The example on Ray Serve: replicas on one PostgreSQL behind one address decide as one server would."""

import importlib.util
import socket
import time
from pathlib import Path

import httpx
import pytest

from quickstudy.serving.engine import Engine
from quickstudy.serving.http.application import Application
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.stores import open_store
from serving.running import client_of_application

ROOT = Path(__file__).parents[2]
BUNDLE = str(ROOT / "bundles" / "quick-n10-k5")
pytestmark = [
    pytest.mark.suites,
    pytest.mark.xdist_group("rollout/collecting/test_ray_pool.py"),  # two clusters on one machine take each other's ports
    pytest.mark.filterwarnings("default"),  # Ray Serve leaves warnings of its own
]
DECISIONS = 6


@pytest.fixture
def example():
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    described = importlib.util.spec_from_file_location("example_ray_serve", ROOT / "examples" / "ray_serve.py")
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


def lived(client, session, **headers):
    """Decisions in a session, each with its reward."""
    decisions = []
    for number in range(DECISIONS):
        answer = client.post(f"/v1/sessions/{session}/act", json={"observation": 0}, headers=headers)
        assert answer.status_code == 200, answer.text
        decision = answer.json()
        decisions.append((decision["slot"], decision["action"], decision["propensity"]))
        paid = {"decision_id": decision["decision_id"], "reward": float(number % 2)}
        assert client.post(f"/v1/sessions/{session}/reward", json=paid, headers=headers).status_code == 200
    return decisions


def until_ready(client):
    began = time.monotonic()
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() - began < 120, "the replicas were not ready within two minutes"
        time.sleep(0.2)


def test_replicas_decide_as_one_server(example, postgres, tmp_path):
    import ray

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    ray.init(num_cpus=3, include_dashboard=False)
    try:
        example.start(BUNDLE, postgres.database("on_ray_serve"), replicas=2, port=port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(20):  # of both replicas, most probably
                until_ready(client)
            without = [lived(client, f"one-{number}") for number in range(4)]
            hinted = [lived(client, f"two-{number}", **{"x-session-id": f"two-{number}"}) for number in range(4)]
    finally:
        example.serve.shutdown()
        ray.shutdown()
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    served = served_from_bundle(BUNDLE, policy=SessionPolicy(at_end="new"))
    with client_of_application(Application(Engine(served, store), Tokens(store)).asgi()) as client:
        assert without == [lived(client, f"one-{number}") for number in range(4)]
        assert hinted == [lived(client, f"two-{number}") for number in range(4)]
