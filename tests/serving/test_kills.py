"""Servers that are killed under load: no acknowledged reward is lost or applied twice, and the chain verifies.

Clients know what was acknowledged. After every kill the server starts again on the same store. A reward without an answer is
sent again, as a client would.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from quickstudy.serving.audit import verify
from quickstudy.serving.heads import event_of, restored
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.memory import replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import recorded
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores import open_store
from serving.postgres import free_port

BUNDLE = Path(__file__).parents[2] / "bundles" / "bandit-n100-k5-taught"
KILLS, CLIENTS = 20, 8
MAIN = "import sys; from quickstudy.cli import main; sys.exit(main())"


class Server:
    """`quickstudy serve` as a process."""

    def __init__(self, store_url, port=None, *, agent=str(BUNDLE), **settings):
        self.port = port or free_port()
        flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        self.command = [sys.executable, "-c", MAIN, "serve", agent, "--store", store_url, "--port", str(self.port)]
        self.command += ["--at-end", "new", *flags]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        began = time.monotonic()
        while time.monotonic() - began < 120:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with status {self.process.returncode}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError("the server was not ready within two minutes")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


class Client(threading.Thread):
    """Acts and rewards in sessions of its own, until it is told to stop; remembers what was acknowledged."""

    def __init__(self, urls, number, stopping, sessions=3):
        super().__init__(daemon=True)
        self.urls, self.number, self.stopping, self.sessions = urls, number, stopping, sessions
        self.acknowledged, self.statuses = {}, []
        self.error = None

    def run(self):
        try:
            self.live()
        except Exception as error:
            self.error = error

    def live(self):
        random = np.random.default_rng(self.number)
        urls = itertools.cycle(self.urls[self.number % len(self.urls) :] + self.urls[: self.number % len(self.urls)])
        url = next(urls)
        with httpx.Client(timeout=30) as http:

            def ask(path, body):
                """The answer; until it comes, the same request again, here or to the next server."""
                nonlocal url
                while not self.stopping.is_set():
                    try:
                        answer = http.post(f"{url}{path}", json=body)
                    except httpx.TransportError:
                        url = next(urls)
                        time.sleep(0.02)
                        continue
                    self.statuses.append(answer.status_code)
                    if answer.status_code != 503:
                        return answer
                    time.sleep(0.05)
                return None

            for step in itertools.count():
                session = f"c{self.number}-{step % self.sessions}"
                decided = ask(f"/v1/sessions/{session}/act", {"observation": 0})
                if decided is None:
                    return
                assert decided.status_code == 200, decided.text
                decision, value = decided.json()["decision_id"], float(random.integers(4)) / 4
                answer = ask(f"/v1/sessions/{session}/reward", {"decision_id": decision, "reward": value})
                if answer is None:
                    return
                if answer.status_code == 404:
                    continue  # the decision was made a moment before a kill, and was not stored
                if answer.status_code == 202:  # another client of the session has begun its next lifetime
                    assert answer.json()["reason"] == "lifetime"
                    continue
                assert answer.status_code == 200, answer.text
                assert answer.json()["applied"]
                self.acknowledged[session, decision] = value


def check(store_url, clients):
    """Every acknowledged reward is in the log once, and every memory is the replay of its log."""
    served = served_from_bundle(str(BUNDLE), policy=SessionPolicy(at_end="new"))
    store = open_store(store_url, serves=False)
    assert verify(store).wrong == []
    rewards, count = {}, 0
    names = [SessionName("default", session) for session in store.names("default", limit=10_000)]
    for name, stored in store.load(names).items():
        log = [event_of(event) for event in store.events(name)]
        for event in log:
            if event.kind == "rewarded":
                count += 1
                rewards[name.session, event.decision_id] = event.reward
        session = restored(stored, served)
        record = recorded(log, served.spec, cadence=1, policy=served.policy)
        np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
    store.close()
    assert count == len(rewards)  # none twice
    acknowledged = {pair: value for client in clients for pair, value in client.acknowledged.items()}
    assert len(acknowledged) > KILLS
    assert {pair: rewards.get(pair) for pair in acknowledged} == acknowledged


@pytest.mark.slow
def test_kills_under_load_lose_nothing(store_url):
    stopping, server = threading.Event(), Server(store_url)
    clients = [Client([server.url], number, stopping) for number in range(CLIENTS)]
    random = np.random.default_rng(0)
    for client in clients:
        client.start()
    try:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.1, 0.6))
            server.kill()
            server.start()
        time.sleep(0.3)
    finally:
        stopping.set()
        for client in clients:
            client.join(60)
        status = server.stop()
    assert status == 0
    assert [client.error for client in clients if client.error] == []
    check(store_url, clients)


@pytest.mark.slow
def test_three_servers_on_one_database_agree(postgres):
    """One is stopped for a while and goes on, one is killed; clients that are refused go to the next."""
    store_url = postgres.database("three_servers")
    stopping, servers = threading.Event(), [Server(store_url) for _ in range(3)]
    clients = [Client([server.url for server in servers], number % 3, stopping, sessions=7) for number in range(12)]
    for number, client in enumerate(clients):
        client.number = number % 4  # three clients share the sessions of one number
        client.start()
    try:
        time.sleep(1)
        servers[0].process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        servers[1].kill()
        time.sleep(1)
        servers[0].process.send_signal(signal.SIGCONT)
        time.sleep(3)
    finally:
        stopping.set()
        for client in clients:
            client.join(60)
        for server in (servers[0], servers[2]):
            server.stop()
    assert [client.error for client in clients if client.error] == []
    check(store_url, clients)
