"""A worker process, connected by one socket: parameters and tasks go in, whole lifetimes come out."""

import mmap
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import jax

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, UsageError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.process_main import SHARED_CELL
from quickstudy.rollout.collecting.remote_end import STARTING_SECONDS, AgentCache, packed, single_threaded, user_files
from quickstudy.rollout.collecting.worker import Job, WorkerLostError


class WorkerProcess:
    """A process that runs `quickstudy.rollout.collecting.process_main`.

    Args:
      distribution: whose environments it opens.
      config: parallel environments, patience, the interpreter.
    Raises:
      UsageError: there is no such interpreter.
      CollectingError: the process does not start.
    """

    def __init__(self, distribution: HostDistribution, config: CollectingConfig):
        self._patience, self._known = config.patience_seconds, AgentCache[None]()
        self._packed: tuple[Agent, str, bytes] | None = None
        python = config.worker_python or sys.executable
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as cell:
            cell.truncate(SHARED_CELL.size)
            self._cell = mmap.mmap(cell.fileno(), SHARED_CELL.size)
            SHARED_CELL.pack_into(self._cell, 0, -1)
            descriptors = [theirs.fileno(), cell.fileno()]
            command = [python, "-m", "quickstudy.rollout.collecting.process_main", *map(str, descriptors)]
            environment = _environment(own=not config.worker_python)
            try:
                self._process = subprocess.Popen(command, pass_fds=descriptors, env=environment, stdin=subprocess.DEVNULL)
            except OSError as error:
                ours.close()
                raise UsageError(f"the worker's Python {python!r} cannot be started: {error.strerror}.") from error
        self._connection = Connection(ours.detach())
        try:
            kind, content = self._received(STARTING_SECONDS)
            if kind != "ready" or content != list(sys.version_info[:2]):
                raise CollectingError(
                    f"the worker's Python {python!r} has version {content}, this one {list(sys.version_info[:2])}. "
                    "Agents are sent between equal versions only: make the worker's environment with the same Python."
                )
            self._send("open", user_files(), cloudpickle.dumps(distribution), config.parallel_environments)
            kind, content = self._received(STARTING_SECONDS)
            if kind == "raised":
                raise content
        except BaseException as error:
            self.close(kill=True)
            if not isinstance(error, WorkerLostError):
                raise
            raise CollectingError(f"a worker process did not start ({error}). Its own message stands above.") from error

    def run(self, job: Job, report_steps: Callable[[int], None]) -> CollectedBatch:
        """Runs a share there.

        Raises:
          WorkerLostError: the process died, or it sent nothing for too long.
          QuickstudyError: what it refuses, such as a suite that is not installed there.
        """
        if self._packed is None or self._packed[0] is not job.agent:
            self._packed = job.agent, *packed(job.agent)
        _, digest, agent = self._packed
        known = digest in self._known
        patience = self._patience + (0.0 if known else STARTING_SECONDS)
        SHARED_CELL.pack_into(self._cell, 0, -1)
        self._send("run", digest, None if known else agent, job.params, job.tasks, job.keys, job.rewards_only)
        if not known:
            self._known.put(digest, None)
        while True:
            kind, content = self._received(patience)
            if kind == "collected":
                return content
            if kind == "raised":
                raise content
            report_steps(content)
            patience = self._patience if content else patience  # once it takes steps, it has compiled

    def close(self, *, kill: bool = False) -> None:
        """Lets the process end by itself; ends it if `kill`."""
        self._connection.close()
        try:
            if kill:
                self._process.kill()
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, *message: Any) -> None:
        try:
            # Tasks may be of a class that a script defines, which no other process can import.
            self._connection.send_bytes(cloudpickle.dumps(message, protocol=5))
        except OSError as error:
            raise self._loss(self._end()) from error

    def _received(self, patience_seconds: float) -> tuple[str, Any]:
        try:
            if not self._connection.poll(patience_seconds):
                raise self._loss(f"process {self._process.pid} sent nothing for {patience_seconds:.0f} s")
            return pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._loss(self._end()) from error

    def _loss(self, how: str) -> WorkerLostError:
        (lifetime,) = SHARED_CELL.unpack_from(self._cell, 0)
        return WorkerLostError(how, None if lifetime < 0 else lifetime)

    def _end(self) -> str:
        """How the process ended, for a message."""
        deadline = time.monotonic() + 5
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        status = self._process.returncode
        how = f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        return f"process {self._process.pid} {how}"


def _environment(*, own: bool) -> dict[str, str]:
    """Environment variables of a worker: one thread, no accelerator; the same module path if it is this interpreter."""
    variables = dict(os.environ) | single_threaded()
    cache = jax.config.values["jax_compilation_cache_dir"]
    if cache:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    if own:
        variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return variables
