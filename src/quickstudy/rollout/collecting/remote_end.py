"""A collector that another process tells what to do: what worker processes and actors on other machines have in common.

Agents are sent once, and called by their digest from then on. A user's own files are sent as text, since their paths may say
nothing on another machine.
"""

import dataclasses
import hashlib
import pickle
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import cloudpickle
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol import registry
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, QuickstudyError
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.collector import Collector

STARTING_SECONDS = 300.0
"""What a collector may take to come up, and an agent that it has not seen to be compiled, beyond the patience there is."""
_AGENTS_KEPT = 4

Kept = TypeVar("Kept")


class AgentCache(Generic[Kept]):
    """The newest few agents by their digests. The two ends of a line keep one each, and let go of the same agents."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def put(self, digest: str, kept: Kept) -> None:
        """Puts an agent in front; the one behind all others goes."""
        self._kept.pop(digest, None)
        self._kept[digest] = kept
        while len(self._kept) > _AGENTS_KEPT:
            del self._kept[next(iter(self._kept))]

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def __getitem__(self, digest: str) -> Kept:
        return self._kept[digest]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserFile:
    """A file that a user's functions came from."""

    path: str
    text: bytes


def user_files() -> tuple[UserFile, ...]:
    """Those that were loaded so far; what they define is known to another process once it has loaded them too."""
    return tuple(UserFile(path=str(path), text=path.read_bytes()) for path in registry.loaded_files())


def packed(agent: Agent) -> tuple[str, bytes]:
    """An agent as it is sent, and the digest that it is called by."""
    content = cloudpickle.dumps(agent)
    return hashlib.sha256(content).hexdigest(), content


def single_threaded() -> dict[str, str]:
    """The variables of the environment that JAX computes on one core with, without an accelerator."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}


class RemoteEnd:
    """The far end. What goes wrong is given back and not raised, so that it arrives as what it is.

    Args:
      beat, holding: as of a `Collector`.
    """

    def __init__(self, *, heartbeat: Callable[[int], None], mark_current: Callable[[int], None]):
        self._collectors = partial(Collector, heartbeat=heartbeat, mark_current=mark_current)
        self._agents = AgentCache[Agent]()
        self._collector: Collector | None = None
        self._folder: tempfile.TemporaryDirectory | None = None

    def open(self, files: Sequence[UserFile], distribution: bytes, lanes: int) -> QuickstudyError | None:
        """Loads the users' files, and unpacks the distribution whose environments will be opened here."""
        try:
            for number, file in enumerate(files):
                registry.load_file(self._placed(number, file))
            self._collector = self._collectors(pickle.loads(distribution), lanes=lanes)
            self._collector.environment(0)  # what is missing is said now, and not when half is done
        except Exception as error:
            return as_own(error)
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
        """Lives a share of a batch; `agent` is None where it was sent before."""
        try:
            if agent is not None:
                self._agents.put(digest, pickle.loads(agent))
            assert self._collector is not None
            return self._collector.run(self._agents[digest], params, tasks, keys, rewards_only=rewards_only)
        except Exception as error:
            return as_own(error)

    def close(self) -> None:
        """Closes the environments."""
        if self._collector is not None:
            self._collector.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _placed(self, number: int, file: UserFile) -> Path:
        """Where a file lies here: at its own path where it is the same there, so that it finds what lies beside it."""
        path = Path(file.path)
        try:
            if path.read_bytes() == file.text:
                return path
        except OSError:
            pass
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="quickstudy-")
        path = Path(self._folder.name) / str(number) / path.name
        path.parent.mkdir()
        path.write_bytes(file.text)
        return path


def as_own(error: Any) -> QuickstudyError:
    """An error that is being handled, as one that both ends know."""
    if isinstance(error, QuickstudyError):
        return error
    return CollectingError(f"a collector failed:\n{traceback.format_exc()}")
