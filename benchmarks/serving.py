"""How fast a server of sessions answers: decisions, batches, durable rewards, and the restart with many sessions.

    python benchmarks/serving.py
    python benchmarks/serving.py --store postgresql://USER@HOST/DATABASE

The server is a process of its own, and the clients are one other process. Beside the figures stand the time of one fsync and
the load of the machine, because both decide them. Each run adds a line to `benchmarks/serving.jsonl`.
"""

import asyncio
import dataclasses
import datetime
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import tyro

HISTORY = Path(__file__).with_name("serving.jsonl")
ROOT = Path(__file__).parents[1]
MAIN = "import sys; from quickstudy.cli import main; sys.exit(main())"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    bundle: str = str(ROOT / "bundles" / "bandit-n100-k5-taught")
    store: str = ""
    """Of the server; a new SQLite file if not given."""
    seconds: float = 5.0
    """Of each measurement."""
    sessions: int = 50_000
    """Sessions that are there when the server is killed; 0 leaves the restart out."""


class Server:
    """`quickstudy serve` as a process."""

    def __init__(self, bundle, store, *flags):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.command = [
            sys.executable,
            "-c",
            MAIN,
            "serve",
            bundle,
            "--store",
            store,
            "--port",
            str(self.port),
            "--at-end",
            "new",
            *flags,
        ]
        self.start()

    def start(self):
        """Starts it; returns the seconds until it was ready."""
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).read()
                return time.perf_counter() - began
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.02)

    def megabytes(self):
        """The most memory that it has used."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)


class Connection:
    """One connection that is kept open; HTTP without anything that costs time."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port):
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path, body):
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        assert answer[9:12] in (b"200", b"201", b"202"), content
        return json.loads(content)


async def measured(port, clients, seconds, one):
    """`one(connection, number, turn)` again and again from some clients; it returns how much it counts for, and its seconds."""
    connections = [await Connection.to(port) for _ in range(clients)]
    taken, counted = [], [0]

    async def run(connection, number):
        turn, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            count, spent = await one(connection, number, turn)
            counted[0] += count
            taken.append(spent)
            turn += 1

    began = time.perf_counter()
    await asyncio.gather(*(run(connection, number) for number, connection in enumerate(connections)))
    whole = time.perf_counter() - began
    cuts = statistics.quantiles(taken, n=100)
    return {
        "clients": clients,
        "per_second": round(counted[0] / whole),
        "p50_ms": round(1e3 * cuts[49], 2),
        "p99_ms": round(1e3 * cuts[98], 2),
    }


async def act(connection, number, turn):
    """A decision in one of ten sessions of a client."""
    began = time.perf_counter()
    await connection.post(f"/v1/sessions/act-{number}-{turn % 10}/act", {"observation": 0})
    return 1, time.perf_counter() - began


async def batch(connection, number, turn):
    """128 decisions."""
    del turn
    requests = [{"op": "act", "session": f"batch-{number}-{one}", "observation": 0} for one in range(128)]
    began = time.perf_counter()
    await connection.post("/v1/batch", {"requests": requests})
    return 128, time.perf_counter() - began


async def reward(connection, number, turn):
    """A reward that the disk has; the decision before it is not timed, but takes its time of the server."""
    session = f"/v1/sessions/reward-{number}"
    decision = await connection.post(f"{session}/act", {"observation": 0})
    began = time.perf_counter()
    await connection.post(f"{session}/reward", {"decision_id": decision["decision_id"], "reward": turn % 2})
    return 1, time.perf_counter() - began


async def fill(port, sessions):
    """One decision and one reward in each of many sessions."""
    connection = await Connection.to(port)
    for start in range(0, sessions, 500):
        names = [f"many-{number}" for number in range(start, min(start + 500, sessions))]
        acts = [{"op": "act", "session": name, "observation": 0} for name in names]
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
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()
    return {
        "sessions": len(before),
        "ready_seconds": round(seconds, 2),
        "first_act_p99_ms": round(cuts[98], 2),
        "bytes_a_session": round(statistics.mean(map(len, before.values()))),
    }


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
        try:
            asyncio.run(measured(server.port, 4, 1.0, act))  # not counted
            for name, clients, one in (
                ("act", 1, act),
                ("act", 32, act),
                ("batch of 128", 1, batch),
                ("durable reward", 64, reward),
            ):
                figures[f"{name}, {clients} clients"] = asyncio.run(measured(server.port, clients, settings.seconds, one))
            if settings.sessions:
                figures["restart"] = restarted(server, url, settings)
                server.start()
            figures["server_megabytes"] = server.megabytes()
        finally:
            server.process.kill()
            server.process.wait()
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
