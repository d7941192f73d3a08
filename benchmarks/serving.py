"""How fast a server of sessions answers: decisions, batches, durable rewards, and the restart with many sessions.

    python benchmarks/serving.py
    python benchmarks/serving.py --store postgresql://USER@HOST/DATABASE
    python benchmarks/serving.py --measures live abuse

The server is a process of its own, and the clients are one other process. Beside the figures stand the time of one fsync and
the load of the machine, because both decide them, and the processor time of the server and of the clients for each request,
which depends on them less. Each run adds a line to `benchmarks/serving.jsonl`.
"""

import asyncio
import dataclasses
import datetime
import functools
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

import tyro
from serving_load import ROOT, Connection, Server, measured, request_of

HISTORY = Path(__file__).with_name("serving.jsonl")
STEPS = 100
"""Of a lifetime of the agent that is served."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    bundle: str = str(ROOT / "bundles" / "bandit-n100-k5-taught")
    store: str = ""
    """Of the server; a new SQLite file if not given."""
    seconds: float = 5.0
    """Of each measurement."""
    measures: tuple[Literal["act", "batch", "reward", "restart", "live", "abuse"], ...] = ("act", "batch", "reward", "restart")
    """Which figures: `live` is the memory of a server with many sessions; `abuse` is what other tenants notice of one."""
    sessions: int = 50_000
    """Sessions that are there when the server is killed."""
    live: int = 100_000
    """Sessions that a server has in memory."""


@functools.cache
def act_request(session):
    """Asks for a decision."""
    return request_of(f"/v1/sessions/{session}/act", {"observation": 0})


async def timed(connection, request):
    """The content of the answer to a request, and the seconds until it came."""
    began = time.perf_counter()
    status, content = await connection.send(request)
    spent = time.perf_counter() - began
    assert status == 200, content
    return content, spent


async def act(connection, number, turn, made):
    """A decision in one of ten sessions of a client."""
    del made
    content, spent = await timed(connection, act_request(f"act-{number}-{turn % 10}"))
    assert b'"action"' in content
    return 1, spent


@functools.cache
def batch_request(number):
    """Asks for 128 decisions."""
    return request_of("/v1/batch", {"requests": [act_part(f"batch-{number}-{one}") for one in range(128)]})


def act_part(session):
    """A part of a batch that asks for a decision."""
    return {"op": "act", "session": session, "observation": 0}


async def batch(connection, number, turn, made):
    """128 decisions."""
    del turn, made
    content, spent = await timed(connection, batch_request(number))
    assert content.count(b'"action"') == 128
    return 128, spent


async def reward(connection, number, turn, made):
    """A reward that the disk has; the decision before it is not timed, but takes its time of the server."""
    del made
    session = f"reward-{number}"
    content, _ = await timed(connection, act_request(session))
    return await rewarded(connection, session, json.loads(content)["decision_id"], turn)


async def reward_alone(connection, number, turn, made):
    """A reward that the disk has, for a decision that was made before."""
    if turn == len(made[number]):
        return None
    return await rewarded(connection, *made[number][turn], turn)


async def rewarded(connection, session, decision, turn):
    """A reward, and its time."""
    body = b'{"decision_id": "%s", "reward": %d}' % (decision.encode(), turn % 2)
    content, spent = await timed(connection, request_of(f"/v1/sessions/{session}/reward", body))
    assert b'"applied":true' in content
    return 1, spent


async def decided(port, clients, each):
    """Decisions that wait for a reward, as many for each client: their sessions and ids, in the order of their slots."""
    connection, made = await Connection.to(port), [[] for _ in range(clients)]
    for turn in range(each):
        parts = [act_part(f"alone-{number}-{turn // STEPS}") for number in range(clients)]
        for number, answer in enumerate((await connection.post("/v1/batch", {"requests": parts}))["answers"]):
            made[number].append((answer["session"], answer["decision_id"]))
    return made


async def fill(port, sessions):
    """One decision and one reward in each of many sessions."""
    connection = await Connection.to(port)
    for start in range(0, sessions, 500):
        names = [f"many-{number}" for number in range(start, min(start + 500, sessions))]
        acts = [act_part(name) for name in names]
        made = (await connection.post("/v1/batch", {"requests": acts}))["answers"]
        rewards = [{"op": "reward", "session": d["session"], "decision_id": d["decision_id"], "reward": 1} for d in made]
        await connection.post("/v1/batch", {"requests": rewards})


async def first_acts(port, count):
    """The first decisions in sessions that are not in memory, in milliseconds."""
    connection, taken = await Connection.to(port), []
    for number in range(count):
        began = time.perf_counter()
        await connection.post(f"/v1/sessions/many-{number * 7}/act", {"observation": 0})
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def fsync_milliseconds(folder):
    """The median time of one fsync after a small write."""
    taken = []
    with (Path(folder) / "fsync").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - began))
    return round(statistics.median(taken), 2)


def stored(url):
    """How many sessions a store has, their states by name, and the mean bytes of one."""
    from quickstudy.serving.requests import SessionName
    from quickstudy.serving.stores import open_store

    store = open_store(url, serves=False)
    names = [SessionName("default", name) for name in store.names("default", limit=10**7) if name.startswith("many-")]
    states = {name: session.state for name, session in store.load(names).items()}
    store.close()
    return states


def restarted(server, url, settings):
    """What a kill and a restart with many sessions cost."""
    asyncio.run(fill(server.port, settings.sessions))
    server.process.kill()
    server.process.wait()
    before = stored(url)
    seconds = server.start()
    count = min(500, settings.sessions // 7)
    cuts = statistics.quantiles(asyncio.run(first_acts(server.port, count)), n=100)
    server.stop()
    return {
        "sessions": len(before),
        "ready_seconds": round(seconds, 2),
        "first_act_p99_ms": round(cuts[98], 2),
        "bytes_a_session": round(statistics.mean(map(len, before.values()))),
    }


def live(settings, folder):
    """The memory of a server with many sessions, each with a decision and a reward."""
    server = Server(settings.bundle, f"sqlite:{folder}/live.db")
    try:
        empty = server.megabytes()
        asyncio.run(fill(server.port, settings.live))
        return {"sessions": settings.live, "empty_megabytes": empty, "peak_megabytes": server.megabytes()}
    finally:
        server.process.kill()
        server.process.wait()


def main(settings: Settings) -> None:
    """Measures, prints, and adds a line to the history."""
    with tempfile.TemporaryDirectory() as folder:
        url = settings.store or f"sqlite:{folder}/sessions.db"
        figures = {
            "fsync_ms": fsync_milliseconds(folder),
            "load": round(os.getloadavg()[0], 1),
            "cores": len(os.sched_getaffinity(0)),
        }
        server = Server(settings.bundle, url)

        def measure(name, clients, one, made=None):
            figures[f"{name}, {clients} clients"] = asyncio.run(measured(server, clients, settings.seconds, one, made))

        try:
            asyncio.run(measured(server, 4, 1.0, act))  # not counted
            if "act" in settings.measures:
                measure("act", 1, act)
                measure("act", 32, act)
            if "batch" in settings.measures:
                measure("batch of 128", 1, batch)
                measure("batch of 128", 4, batch)
            if "reward" in settings.measures:
                measure("durable reward after a decision", 64, reward)
                measure("durable reward", 64, reward_alone, asyncio.run(decided(server.port, 64, int(80 * settings.seconds))))
            if "restart" in settings.measures:
                figures["restart"] = restarted(server, url, settings)
                server.start()
            figures["server_megabytes"] = server.megabytes()
        finally:
            server.process.kill()
            server.process.wait()
        if "live" in settings.measures:
            figures["live"] = live(settings, folder)
        if "abuse" in settings.measures:
            from serving_abuse import abused

            figures["abuse"] = abused(settings, folder)
    for name, value in figures.items():
        print(name, value)
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.processor(),
        **figures,
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings))
