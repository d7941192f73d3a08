"""A store on a disk that is really full: refusals before decisions, nothing lost, and no restart when there is room again."""

import itertools
import threading
import time

import httpx
import pytest

from faults import fill, small_disk
from serving.test_kills import Client, Server, check


def until(condition, *, seconds=120):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)


@pytest.mark.slow
def test_a_full_disk_refuses_loses_nothing_and_recovers(tmp_path):
    with small_disk(tmp_path / "disk", size="30m") as disk:
        store_url = f"sqlite:{disk / 'sessions.db'}"
        server = Server(store_url)
        stopping = threading.Event()
        clients = [Client([server.url], number, stopping) for number in range(4)]
        try:
            for client in clients:
                client.start()
            until(lambda: all(len(client.acknowledged) > 10 for client in clients))
            filler = fill(disk)
            until(lambda: all(503 in client.statuses for client in clients))
            session, _ = next(iter(clients[0].acknowledged))
            with httpx.Client(base_url=server.url, timeout=30) as http:
                full = http.post(f"/v1/sessions/{session}/act", json={"observation": 0})
                assert (full.status_code, full.json()["type"]) == (503, "urn:quickstudy:store")
                assert http.get(f"/v1/sessions/{session}").status_code == 200
                assert http.get("/readyz").status_code == 503
                before = [len(client.acknowledged) for client in clients]
                filler.unlink()
                until(lambda: all(len(client.acknowledged) > known for client, known in zip(clients, before, strict=True)))
                until(lambda: http.get("/readyz").status_code == 200)
            stopping.set()
            for client in clients:
                client.join()
        finally:
            stopping.set()
            server.kill()
        assert [client.error for client in clients] == [None] * len(clients)
        assert {status for client in clients for status in itertools.chain(client.statuses)} <= {200, 202, 404, 503}
        check(store_url, clients)
