"""A collector that another process commands: the part that worker processes and Ray actors have in common.

Agents are sent once; after that, their digest is.
"""

import hashlib
import pickle
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import cloudpickle
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, QuickstudyError
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.collector import Collector
from quickstudy.rollout.collecting.user_code import UserCode, install

STARTING_SECONDS = 300.0
"""Seconds that a worker may take to start, and to compile a new agent beyond `patience_seconds`."""
_AGENTS_KEPT = 4

Kept = TypeVar("Kept")


class AgentCache(Generic[Kept]):
    """The newest few agents by their digests. Both ends of a connection keep one, and both drop the same agents."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def put(self, digest: str, kept: Kept) -> None:
        """Adds an agent as the newest; the oldest is dropped where there are too many."""
        self._kept.pop(digest, None)
        self._kept[digest] = kept
        while len(self._kept) > _AGENTS_KEPT:
            del self._kept[next(iter(self._kept))]

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def __getitem__(self, digest: str) -> Kept:
        return self._kept[digest]


def packed(agent: Agent) -> tuple[str, bytes]:
    """The digest of an agent, and the agent as it is sent."""
    content = cloudpickle.dumps(agent)
    return hashlib.sha256(content).hexdigest(), content


def single_threaded() -> dict[str, str]:
    """Environment variables under which JAX computes on one core, without an accelerator."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}


class RemoteEnd:
    """The commanded end of a connection. Errors are returned and not raised, so that they keep their type on the way back.

    Args:
      heartbeat, mark_current: as of a `Collector`.
    """

    def __init__(self, *, heartbeat: Callable[[int], None], mark_current: Callable[[int], None]):
        self._collectors = partial(Collector, heartbeat=heartbeat, mark_current=mark_current)
        self._agents = AgentCache[Agent]()
        self._collector: Collector | None = None

    def open(self, code: UserCode, distribution: bytes, parallel_environments: int) -> QuickstudyError | None:
        """Installs the user's code, and unpacks the distribution whose environments are opened here; an error, or None."""
        try:
            install(code)
            self._collector = self._collectors(pickle.loads(distribution), parallel_environments=parallel_environments)
            self._collector.environments[0]  # so that what is missing is reported before training begins
        except Exception as error:
            return as_quickstudy_error(error)
        return None

    def run(
        self,
        digest: str,
        agent: bytes | None,
        params: PyTree,
        tasks: Sequence,
        keys: np.ndarray,
        rewards_only: bool,
    ) -> CollectedBatch | QuickstudyError:
        """Runs a share of a batch; `agent` is None where it was sent before."""
        try:
            if agent is not None:
                self._agents.put(digest, pickle.loads(agent))
            assert self._collector is not None
            return self._collector.run(self._agents[digest], params, tasks, keys, rewards_only=rewards_only)
        except Exception as error:
            return as_quickstudy_error(error)

    def close(self) -> None:
        """Closes the environments."""
        if self._collector is not None:
            self._collector.close()


def as_quickstudy_error(error: Any) -> QuickstudyError:
    """An exception that is being handled, as a class that both ends know."""
    if isinstance(error, QuickstudyError):
        return error
    return CollectingError(f"a worker failed:\n{traceback.format_exc()}")
