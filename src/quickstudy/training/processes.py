"""Several processes, on one host or on several, that share the lifetimes of every update of one run.

Every process runs the same program on the same arguments, as JAX requires, and holds the whole state of the run. So all of them
must decide the same about the next computation. They agree on decisions that depend on a clock or on a signal
(`agreed`). Process 0 alone reads and writes the run folder. With one process, nothing here communicates or computes anything.
"""

import dataclasses
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from quickstudy.protocol.errors import LostProcessError, UsageError
from quickstudy.protocol.printable import first_line
from quickstudy.protocol.setting_values import Count
from quickstudy.training.interrupts import end_with_command

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_BROKEN = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): ")
"""How JAX begins the message of a computation that failed while it ran, unless it had too little memory."""
_JOINING_SECONDS = 300
_LAST_SAVING_SECONDS = 7 * 24 * 3600
"""Process 0 saves and measures baselines while the others wait for it at the end."""
_LEAVING_SECONDS = 5.0
"""Seconds that a process which failed waits for the others, in case that they fail alike."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessesConfig:
    """The processes of a run. Start the same command once for each, with a number of its own.

    Raises:
      UsageError: a setting out of its range, or one that is missing.
    """

    processes: Count = 1
    """Processes that share the lifetimes of an update, one for each host. Only --process-id differs in their commands."""
    process_id: int = 0
    """Number of this process, from 0. Process 0 shows the run and writes its folder."""
    coordinator: str = ""
    """HOST:PORT of process 0, as all others reach it, with a port that is free there."""

    def __post_init__(self) -> None:
        if not 0 <= self.process_id < self.processes:
            allowed = "0 with one process" if self.processes == 1 else f"from 0 to {self.processes - 1}"
            raise UsageError(f"process_id must be {allowed}; came {self.process_id}.")
        found = _ADDRESS.fullmatch(self.coordinator)
        if self.coordinator and not (found and 0 < int(found[2]) < 65_536):
            raise UsageError(
                f"coordinator must be HOST:PORT, such as 10.0.0.1:8476, with a port below 65536; came {self.coordinator!r}."
            )
        if self.processes > 1 and not self.coordinator:
            raise UsageError(
                f"{self.processes} processes need a coordinator. Give --coordinator HOST:PORT of process 0 to all."
            )


@contextmanager
def joined(config: ProcessesConfig) -> Iterator[None]:
    """Inside this context the devices of all processes are devices of JAX. Enter it before JAX computes anything.

    If not all processes come within five minutes, the program ends with status 2: JAX would end it without a clear message. A
    process that ends the context in order waits until all others do. One that failed does not wait for those that are lost.

    Args:
      config: of the processes; of one, this does nothing.
    Raises:
      UsageError: JAX has started already, or process 0 cannot have its port.
    """
    if config.processes == 1:
        yield
        return
    try:
        with _ended_if_not_all_come(config):
            jax.distributed.initialize(
                config.coordinator,
                config.processes,
                config.process_id,
                cluster_detection_method="deactivate",
                initialization_timeout=2 * _JOINING_SECONDS,
                shutdown_timeout_seconds=_LAST_SAVING_SECONDS,
            )
            agreed()  # connects the processes
    except RuntimeError as error:
        end_with_command()
        raise UsageError(
            f"the {config.processes} processes at {config.coordinator} could not be joined: {first_line(error)}"
        ) from error
    try:
        yield
    except LostProcessError:
        end_with_command()
        raise
    except BaseException:
        leaving = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        leaving.start()
        leaving.join(_LEAVING_SECONDS)
        if leaving.is_alive():
            end_with_command()
        raise
    else:
        jax.distributed.shutdown()


def is_first() -> bool:
    """Whether this is process 0, which alone reads and writes the run folder."""
    return jax.process_index() == 0


def agreed(*values: int) -> tuple[int, ...]:
    """For each value the largest that any process gave. All processes call this with as many values.

    Args:
      values: from 0 to 2³² − 1; yes is 1.
    """
    if jax.process_count() == 1:
        return tuple(int(value) for value in values)
    given = multihost_utils.process_allgather(np.array(values, np.uint32))
    return tuple(int(value) for value in given.max(0, initial=0))


def all_or_none(attempt: Callable[[], Any]) -> Any:
    """What `attempt` gives, unless it fails in any process: then it fails in all, and no process waits for another.

    Args:
      attempt: what every process does by itself; it must not wait for other processes.
    Raises:
      UsageError: it failed in another process, whose own message says why.
      Exception: what `attempt` raised here.
    """
    if jax.process_count() == 1:
        return attempt()
    try:
        result = attempt()
    except Exception:
        agreed(1)
        raise
    if agreed(0) == (1,):
        raise UsageError("another process of this run refused to begin. Its own message says what was wrong and what to do.")
    return result


def from_first(tree: PyTree) -> PyTree:
    """The arrays and random keys that process 0 has, in every process.

    Args:
      tree: of the same structure, shapes and types in all processes.
    """
    if jax.process_count() == 1:
        return tree
    is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    given = multihost_utils.broadcast_one_to_all(
        jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf), tree)
    )
    restored = lambda like, data: (  # noqa: E731
        jax.random.wrap_key_data(data, impl=jax.random.key_impl(like)) if is_key(like) else jax.numpy.asarray(data, like.dtype)
    )
    return jax.tree.map(restored, tree, given)


@contextmanager
def naming_lost_processes(latest_checkpoint: Callable[[], str]) -> Iterator[None]:
    """Errors of computations that processes share become LostProcessError. With one process, they stay what they are.

    Args:
      latest_checkpoint: describes the newest checkpoint of the run.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # JAX raises either, depending on when it sees the fault
        if jax.process_count() == 1 or not _BROKEN.match(str(error)):
            raise
        others = ", ".join(str(number) for number in range(jax.process_count()) if number != jax.process_index())
        known = f"; {latest_checkpoint()}" if is_first() else ""
        raise LostProcessError(
            f"process {jax.process_index()} lost the connection to another process of this run (of {others}), so the run "
            f"ends{known}. Look at the output of the others for the cause, then start all of them again with --resume. "
            f"What JAX says: {first_line(error)}"
        ) from error


@contextmanager
def _ended_if_not_all_come(config: ProcessesConfig) -> Iterator[None]:
    """Inside this context the program ends after a time, also while the main thread waits in compiled code."""

    def end() -> None:
        said = (
            f"process {config.process_id} waited {_JOINING_SECONDS} s for all {config.processes} processes at "
            f"{config.coordinator}, and not all came. Start every one of them, each with its own --process-id, and let every "
            "host reach that port."
        )
        os.write(2, f"quickstudy: {said}\n".encode())
        os._exit(2)

    timer = threading.Timer(_JOINING_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
