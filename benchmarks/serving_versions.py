"""A promotion and a roll-back under load, and how long many sessions take to be replayed onto another version.

    python benchmarks/serving_versions.py

A server follows an alias of a registry while clients ask for 500 decisions a second. The alias is promoted and rolled back.
Then it is promoted once more, and each of 10,000 sessions, which have a decision left in their lifetime, is asked for: that
replays it. Each run adds a line to `benchmarks/serving_versions.jsonl`.
"""

import asyncio
import dataclasses
import datetime
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import tyro
from serving_load import ROOT, Connection, Server

from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.registry import Registry

HISTORY = Path(__file__).with_name("serving_versions.jsonl")
AT_ONCE = 500
"""Sessions in a batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    bundles: tuple[str, str] = (str(ROOT / "bundles" / "quick-n10-k5"), str(ROOT / "bundles" / "bandit-n10-k5"))
    """Two versions of an agent, with the same spaces."""
    sessions: int = 10_000
    """Sessions that are replayed."""
    steps: int = 9
    """Decisions of each of them before."""
    per_second: int = 500
    """Requests during promotions."""
    seconds: float = 8.0
    """That requests go on for."""


def load(path, seed, envelope):
    """An agent for the registry."""
    assert envelope is None
    return served_from_bundle(str(path), policy=SessionPolicy(), seed=seed)


async def paced(port, settings, statuses, agents):
    """Requests at a fixed rate from 16 connections; counts the statuses of answers, and the versions in them."""
    connections, end = 16, time.perf_counter() + settings.seconds

    async def client(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn, began = 0, time.perf_counter()
        while time.perf_counter() < end:
            await asyncio.sleep(max(0.0, began + turn * connections / settings.per_second - time.perf_counter()))
            body = b'{"observation": 0}'
            head = f"POST /v1/sessions/paced-{number}-{turn % 50}/act HTTP/1.1\r\nHost: x\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            content = json.loads(await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])))
            statuses[int(answer[9:12])] += 1
            agents[content.get("agent", "")[:12]] += 1
            turn += 1

    await asyncio.gather(*(client(number) for number in range(connections)))


async def promoted_under_load(port, registry, digests, settings):
    """Statuses, and decisions by version, while the alias is promoted and rolled back."""
    statuses, agents = Counter(), Counter()
    load = asyncio.create_task(paced(port, settings, statuses, agents))
    await asyncio.sleep(settings.seconds / 4)
    await asyncio.to_thread(registry.promote, "bandit", digests[1], moves="replay")
    await asyncio.sleep(settings.seconds / 2)
    await asyncio.to_thread(registry.rollback, "bandit")
    await load
    return {
        "requests": sum(statuses.values()),
        "of_500_or_above": sum(count for status, count in statuses.items() if status >= 500),
        "decisions_by_version": dict(agents),
    }


async def in_batches(port, settings, ask):
    """The answers to one request for every session."""
    connection, answers = await Connection.to(port), []
    for start in range(0, settings.sessions, AT_ONCE):
        names = [f"many-{number}" for number in range(start, min(start + AT_ONCE, settings.sessions))]
        answers += (await connection.post("/v1/batch", {"requests": [ask(name) for name in names]}))["answers"]
    return answers


def act(name):
    """A decision."""
    return {"op": "act", "session": name, "observation": 0}


async def replayed(port, registry, digests, settings):
    """Seconds until every session has decided with the other version, on the memory of a replay."""
    for _ in range(settings.steps):
        paid = {answer["session"]: answer["decision_id"] for answer in await in_batches(port, settings, act)}
        await in_batches(
            port, settings, lambda name, paid=paid: {"op": "reward", "session": name, "decision_id": paid[name], "reward": 1.0}
        )
    registry.promote("bandit", digests[1], moves="replay")
    connection = await Connection.to(port)
    while (await connection.post("/v1/sessions/watch/act", {"observation": 0}))["agent"] != digests[1]:
        await asyncio.sleep(0.05)
    began = time.perf_counter()
    answers = await in_batches(port, settings, act)
    seconds = time.perf_counter() - began
    assert all(answer["agent"] == digests[1] and answer["slot"] == settings.steps for answer in answers)
    return {"sessions": settings.sessions, "steps_each": settings.steps, "seconds": round(seconds, 2)}


def main(settings: Settings) -> None:
    """Measures, prints, and adds a line to the history."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(f"{folder}/agents")
        digests = [registry.put("bandit", bundle, seed=0, load=load) for bundle in settings.bundles]
        registry.promote("bandit", digests[0], moves="replay")
        figures = {"load": round(os.getloadavg()[0], 1), "cores": len(os.sched_getaffinity(0))}
        server = Server("bandit@champion", f"sqlite:{folder}/sessions.db", "--registry", str(registry.folder))
        try:
            figures["promotions"] = asyncio.run(promoted_under_load(server.port, registry, digests, settings))
            figures["replay"] = asyncio.run(replayed(server.port, registry, digests, settings))
        finally:
            server.process.kill()
            server.process.wait()
    for name, value in figures.items():
        print(name, value)
    line = {"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **figures}
    with HISTORY.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings))
