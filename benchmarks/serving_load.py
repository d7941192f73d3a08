"""A server of sessions as a process, and clients that cost little: what the benchmarks of servers share."""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAIN = "import sys; from quickstudy.cli import main; sys.exit(main())"


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

    def seconds(self):
        """The processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Stops it in good order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def megabytes(self):
        """The most memory that it has used."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)


class Connection(asyncio.Protocol):
    """One connection that is kept open; HTTP without anything that costs time. One request at a time."""

    def __init__(self):
        self._came, self._answer = b"", None

    @classmethod
    async def to(cls, port):
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, error):
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(str(error)))

    def data_received(self, data):
        self._came += data
        head = self._came.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._came.find(b"content-length: ") + 16
        if len(self._came) >= head + 4 + int(self._came[at : self._came.index(b"\r", at)]):
            came, self._came = self._came, b""
            self._answer.set_result((int(came[9:12]), came[head + 4 :]))

    def send(self, request):
        """A future of the status and the content that answer a request."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    async def post(self, path, body, **headers):
        status, content = await self.send(request_of(path, body, **headers))
        assert status in (200, 201, 202), content
        return json.loads(content)


def request_of(path, body, **headers):
    """A request as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def measured(server, clients, seconds, one, made=None):
    """`one(connection, number, turn, made)` again and again; it returns how much it counts for, and its seconds.

    A client stops earlier when it returns None.
    """
    connections = [await Connection.to(server.port) for _ in range(clients)]
    taken, counted = [], [0]

    async def run(connection, number):
        turn, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            result = await one(connection, number, turn, made)
            if result is None:
                return
            counted[0] += result[0]
            taken.append(result[1])
            turn += 1

    spent, own, began = server.seconds(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(run(connection, number) for number, connection in enumerate(connections)))
    whole, own, spent = time.perf_counter() - began, time.process_time() - own, server.seconds() - spent
    cuts = statistics.quantiles(taken, n=100)
    return {
        "clients": clients,
        "per_second": round(counted[0] / whole),
        "p50_ms": round(1e3 * cuts[49], 2),
        "p99_ms": round(1e3 * cuts[98], 2),
        "server_cpu_us": round(1e6 * spent / counted[0]),
        "clients_cpu_us": round(1e6 * own / counted[0]),
    }
