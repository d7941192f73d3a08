"""The connection of this program to a Ray cluster, shared by all its worker pools."""

import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.protocol.machine import usable_cores
from quickstudy.protocol.printable import first_line
from quickstudy.rollout.collecting.process_groups import forget_processes, guard_processes

_ANSWERING_SECONDS = 5.0
_TRIES = 3
"""Attempts to reach a cluster from a machine that is no part of it."""
_lock = threading.Lock()
_users, _ours = 0, False
_cluster: set[int] = set()
"""Processes of a cluster that this process started, and it alone."""


def connect(address: str, *, cores: int = 0) -> None:
    """Connects to a cluster unless this program is connected already; call `disconnect` afterwards.

    Args:
      address: as in `CollectingConfig.collectors`.
      cores: of a cluster that is started here; 0 stands for those of this machine.
    Raises:
      MissingExtraError: Ray, or its client, is not installed.
      UsageError: no cluster answers, or one of another version.
    """
    global _users, _ours
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("Ray", "ray") from error
    with _lock:
        if _users == 0:
            _ours = not ray.is_initialized()
            if _ours:
                with warnings.catch_warnings():  # Ray forks to start processes that run no code of this one
                    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                    _start(ray, address.removeprefix("ray").removeprefix(":"), cores)
        _users += 1


def disconnect() -> None:
    """Ends one use of the cluster; the last one ends the connection, and a cluster that was started here."""
    global _users
    import ray

    with _lock:
        _users -= 1
        if _users == 0 and _ours:
            ray.shutdown()
            forget_processes(_cluster)
            _cluster.clear()


def guard_cluster() -> None:
    """All processes of a cluster that was started here end if this process is killed, even those that are stopped.

    Call it after actors have started.
    """
    heads = [child for child in _children(os.getpid()) if child in _cluster]
    _cluster.update(child for head in heads for child in _children(head))  # what these have started, their own guards end
    if _cluster:
        guard_processes(_cluster)


def cores_alive() -> int:
    """Cores of all nodes that are alive now."""
    import ray

    return int(sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]))


def _start(ray: Any, where: str, cores: int) -> None:
    """`ray.init` at an address without the part `ray:`; without an address, at a cluster found here or started here."""
    quiet = {"logging_level": logging.ERROR}
    # Actors of a cluster that is started here get the priority of worker processes; Ray's default is a lower one.
    os.environ.setdefault("RAY_worker_niceness", "0")
    asked = where or os.environ.get("RAY_ADDRESS", "")
    shown = f"ray:{where}" if where else asked or "this machine"
    try:
        _check_that_a_server_answers(asked)
        if asked:
            if asked.startswith("//"):
                _connect_from_afar(ray, f"ray:{asked}", quiet)
            else:
                ray.init(address=asked, **quiet)
            return
        try:
            others = set(_children(os.getpid()))
            with _ending_soon():
                ray.init(include_dashboard=False, num_cpus=cores or usable_cores(), **quiet)
            _cluster.update(child for child in _children(os.getpid()) if child not in others)
            guard_cluster()
        except ValueError:  # a cluster runs on this machine already, and has its own count of cores
            ray.init(**quiet)
    except ImportError as error:
        raise MissingExtraError("Ray's client", "ray") from error
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"no Ray cluster answers at {shown}: {first_line(error)}. Start one with `ray start --head`, "
            "and name it: ray:HOST:6379 from a machine that is part of it, ray://HOST:10001 from any other. `ray` alone "
            "starts one here where RAY_ADDRESS is not set."
        ) from error


def _connect_from_afar(ray: Any, address: str, quiet: dict[str, Any]) -> None:
    """`ray.init` as a client. The cluster starts a process for each client. If that crashes at its start, another is asked for.

    Without disconnecting after a failure, Ray would believe that it is connected, and refuse every later cluster.
    """
    from ray.util.client_connect import disconnect as leave

    for left in reversed(range(_TRIES)):
        try:
            ray.init(address=address, **quiet)
            return
        except BaseException as error:
            leave()
            if not (left and isinstance(error, ConnectionAbortedError)):
                raise


@contextmanager
def _ending_soon() -> Iterator[None]:
    """Processes of a cluster that is started inside end soon after its head; two of Ray's wait for a minute by default."""
    name = "RAY_gcs_rpc_server_reconnect_timeout_s"
    given = name in os.environ
    os.environ.setdefault(name, "2")
    try:
        yield
    finally:
        if not given:
            del os.environ[name]


def _children(process: int) -> Iterator[int]:
    """The processes that a process has started and that are living. None where there is no /proc."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # a thread may end meanwhile
            yield from map(int, children.read_text(encoding="ascii").split())


def _check_that_a_server_answers(address: str) -> None:
    """Raises `OSError` if not. Ray itself waits long before it gives up, and may end the program."""
    host, _, port = address.removeprefix("ray:").removeprefix("//").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERING_SECONDS).close()
