"""What other tenants notice when one tenant abuses a server: with new sessions, and with bodies that are too large.

    python benchmarks/serving.py --measures abuse

A tenant asks for 200 decisions a second from four connections. Meanwhile another one, in a process of its own, sends 10,000 new
sessions a second in batches of 1,000, or bodies of 100 MB one after another. The server limits each tenant to 500 requests a
second, as `docs/serving.md` shows it. Then the same is measured without the limit.
"""

import asyncio
import multiprocessing
import statistics
import time

from serving_load import Connection, Server, request_of

from quickstudy.serving.http.tokens import new_token
from quickstudy.serving.stores import open_store

PER_SECOND, CONNECTIONS = 200, 4
LARGE = 100 * 2**20
PIECE = b" " * 2**18


def abused(settings, folder):
    """The waits of a tenant alone, beside new sessions, and beside large bodies; with a limit for each tenant and without."""
    return {
        "limited": under(settings, f"{folder}/limited.db", "--rate", "500"),
        "unlimited": under(settings, f"{folder}/unlimited.db"),
    }


def under(settings, path, *flags):
    """The figures of one server."""
    store, tokens = open_store(f"sqlite:{path}"), {}
    for tenant in ("good", "bad"):
        tokens[tenant], stored = new_token(tenant, ("act", "read"))
        store.add_token(stored)
    store.close()
    server = Server(settings.bundle, f"sqlite:{path}", *flags)
    try:
        asyncio.run(waits(server.port, tokens["good"], 1.0))  # not counted
        found = {"alone": asyncio.run(waits(server.port, tokens["good"], settings.seconds))}
        for name, abuse in (("beside new sessions", new_sessions), ("beside bodies of 100 MB", large_bodies)):
            process = multiprocessing.get_context("spawn").Process(target=abuse, args=(server.port, tokens["bad"]), daemon=True)
            process.start()
            time.sleep(1.0)
            found[name] = asyncio.run(waits(server.port, tokens["good"], settings.seconds))
            process.kill()
            process.join()
        return found
    finally:
        server.process.kill()
        server.process.wait()


async def waits(port, token, seconds):
    """How long decisions take at a fixed rate."""
    taken, end = [], time.perf_counter() + seconds

    async def client(number):
        connection, turn, began = await Connection.to(port), 0, time.perf_counter()
        while time.perf_counter() < end:
            await asyncio.sleep(max(0.0, began + turn * CONNECTIONS / PER_SECOND - time.perf_counter()))
            sent = time.perf_counter()
            await connection.post(
                f"/v1/sessions/{number}-{turn % 10}/act", b'{"observation": 0}', Authorization=f"Bearer {token}"
            )
            taken.append(1e3 * (time.perf_counter() - sent))
            turn += 1

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}


def new_sessions(port, token):
    """Ten times a second, a batch of 1,000 sessions that were never there."""

    async def run():
        connection, turn, began = await Connection.to(port), 0, time.perf_counter()
        while True:
            parts = [{"op": "act", "session": f"new-{turn}-{number}", "observation": 0} for number in range(1000)]
            await connection.send(request_of("/v1/batch", {"requests": parts}, Authorization=f"Bearer {token}"))
            turn += 1
            await asyncio.sleep(max(0.0, began + turn / 10 - time.perf_counter()))

    asyncio.run(run())


def large_bodies(port, token):
    """Bodies of 100 MB, one after another, each sent until the server closes the connection."""

    async def run():
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                head = f"POST /v1/sessions/large/act HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                writer.write(f"{head}Content-Length: {LARGE}\r\n\r\n".encode())
                for _ in range(LARGE // len(PIECE)):
                    writer.write(PIECE)
                    await writer.drain()
                await reader.readuntil(b"\r\n\r\n")
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.001)

    asyncio.run(run())
