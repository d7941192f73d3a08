"""A PostgreSQL server for tests: started on a free port of this machine, and stopped at the end.

Where it is not installed and this process may install it, it is installed. Where that fails, the tests that need it are
skipped; `QUICKSTUDY_NEEDS_POSTGRES`, which `.ci/run` sets, makes them fail instead.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)
    found = [folders[0]] if folders else [Path(one) for one in [shutil.which("pg_ctl")] if one]
    return found[0].parent if found else None


def install() -> None:
    with Path(tempfile.gettempdir(), "quickstudy-install-postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if programs() is not None:
            return
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(command, check=False, env=environment, capture_output=True, timeout=600)


def missing(reason):
    if os.environ.get("QUICKSTUDY_NEEDS_POSTGRES"):
        pytest.fail(f"{reason}, and QUICKSTUDY_NEEDS_POSTGRES is set")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Postgres:
    """A server with its data in a folder of its own."""

    def __init__(self, bin_folder: Path):
        self._bin, self.port = bin_folder, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="quickstudy-postgres-"))
        self.folder.chmod(0o777)
        self.run("initdb", "-A", "trust", "-U", "postgres", "-D", self.folder / "data", "--no-sync")
        self.start()

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=60"
        self.run("pg_ctl", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-w", "-D", self.folder / "data", "-m", mode, "stop")

    def run(self, program, *arguments):
        command = [str(self._bin / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Into files: the server inherits them, and a pipe would never end.
        with (self.folder / "out").open("a") as out:
            subprocess.run(command, check=True, stdout=out, stderr=out, cwd=self.folder, timeout=120)

    def database(self, name: str) -> str:
        """The address of a new database."""
        import psycopg

        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f'create database "{name}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def started() -> Postgres:
    if programs() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install()
    found = programs()
    if found is None:
        missing("PostgreSQL is not installed, and could not be installed: apt-get install postgresql")
    return Postgres(found)
