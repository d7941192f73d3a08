"""A worker process, connected by one socket: parameters and tasks go in, whole lifetimes come out."""

import mmap
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import cloudpickle
import jax

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, UsageError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.process_channel import Channel
from quickstudy.rollout.collecting.process_groups import end_group, guard_group
from quickstudy.rollout.collecting.process_main import SHARED_CELL
from quickstudy.rollout.collecting.remote_end import STARTING_SECONDS, AgentCache, packed, single_threaded
from quickstudy.rollout.collecting.user_code import module_path, own_folders, user_code
from quickstudy.rollout.collecting.worker import Job, WorkerLostError

_CLOSING_SECONDS = 5.0
"""Seconds that a process may take to close its environments."""
_ENDING_SECONDS = 1.0
"""Seconds between the end of a connection and that of its process, where the process is ending."""


class WorkerProcess:
    """A process that runs `quickstudy.rollout.collecting.process_main`.

    Args:
      distribution: whose environments it opens.
      config: parallel environments, patience, the interpreter.
    Raises:
      UsageError: there is no such interpreter.
      CollectingError: the process does not start.
    The process ends when this one does, or, on Linux, when the thread that made it does.
    """

    def __init__(self, distribution: HostDistribution, config: CollectingConfig):
        self._patience, self._known = config.patience_seconds, AgentCache[None]()
        self._packed: tuple[Agent, str, bytes] | None = None
        python, code = config.worker_python or sys.executable, user_code()
        self._cell, self._process, ours, self._lifeline = _started(python, own=not config.worker_python)
        self._channel = Channel(ours, self._process)
        try:
            guard_group(self._process.pid)
            kind, content = self._received(STARTING_SECONDS)
            if kind != "ready" or content != list(sys.version_info[:2]):
                raise CollectingError(
                    f"the worker's Python {python!r} has version {content}, this one {list(sys.version_info[:2])}. "
                    "Agents are sent between equal versions only: make the worker's environment with the same Python."
                )
            self._send("open", code, cloudpickle.dumps(distribution), config.parallel_environments)
            kind, content = self._received(STARTING_SECONDS)
            if kind == "raised":
                raise content
        except BaseException as error:
            self.close(kill=True)
            if not isinstance(error, WorkerLostError):
                raise
            raise CollectingError(f"a worker process did not start ({error}). Its own message is printed above.") from error

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
        """Lets the process close its environments and end; ends it at once if `kill`. What it started ends with it."""
        self._channel.close()
        try:
            if kill:
                self._process.kill()
            self._process.wait(timeout=_CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            end_group(self._process.pid)
            self._lifeline.close()

    def _send(self, *message: Any) -> None:
        try:
            # Tasks may be of a class that a script defines, which no other process can import.
            self._channel.send(cloudpickle.dumps(message, protocol=5), self._patience)
        except EOFError as error:
            raise self._loss(self._end()) from error
        except TimeoutError as error:
            raise self._loss(f"process {self._process.pid} took nothing for {self._patience:.0f} s") from error

    def _received(self, patience_seconds: float) -> tuple[str, Any]:
        try:
            return pickle.loads(self._channel.receive(patience_seconds))
        except EOFError as error:
            raise self._loss(self._end()) from error
        except TimeoutError as error:
            raise self._loss(f"process {self._process.pid} sent nothing for {patience_seconds:.0f} s") from error

    def _loss(self, how: str) -> WorkerLostError:
        (lifetime,) = SHARED_CELL.unpack_from(self._cell, 0)
        return WorkerLostError(how, None if lifetime < 0 else lifetime)

    def _end(self) -> str:
        """How the process ended, for a message."""
        try:
            status = self._process.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return f"process {self._process.pid} closed its connection"
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"process {self._process.pid} {how}"


def _started(python: str, *, own: bool) -> tuple[mmap.mmap, subprocess.Popen, socket.socket, socket.socket]:
    """A process of this interpreter: the cell shared with it, the process, this end of its socket, and of its lifeline.

    It leads a session of its own, so signals of the terminal do not reach it.

    Raises:
      UsageError: there is no such interpreter.
    """
    ours, theirs = socket.socketpair()
    lifeline, watched = socket.socketpair()
    with theirs, watched, tempfile.TemporaryFile() as file:
        file.truncate(SHARED_CELL.size)
        cell = mmap.mmap(file.fileno(), SHARED_CELL.size)
        SHARED_CELL.pack_into(cell, 0, -1)
        descriptors = [theirs.fileno(), file.fileno(), watched.fileno()]
        # -P: nothing of the working folder is imported.
        command = [python, "-P", "-m", "quickstudy.rollout.collecting.process_main", *map(str, [os.getpid(), *descriptors])]
        try:
            process = subprocess.Popen(
                command, pass_fds=descriptors, env=_environment(own=own), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException as error:
            ours.close()
            lifeline.close()
            if not isinstance(error, OSError):
                raise
            raise UsageError(f"the worker's Python {python!r} cannot be started: {error.strerror}.") from error
    return cell, process, ours, lifeline


def _environment(*, own: bool) -> dict[str, str]:
    """Environment variables of a worker: one thread, no accelerator; the same module path if it is this interpreter.

    The script's folder and the working folder are not on the path; the worker puts them at its end.
    """
    variables = dict(os.environ) | single_threaded()
    cache = jax.config.values["jax_compilation_cache_dir"]
    if cache:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    folders = module_path() if own else variables.get("PYTHONPATH", "").split(os.pathsep)
    last = own_folders()
    variables["PYTHONPATH"] = os.pathsep.join(path for path in folders if path and os.path.abspath(path) not in last)
    return variables
