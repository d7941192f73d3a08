"""Workers on many machines: Ray actors with one core each, spread over the nodes of a cluster.

Tasks and parameters go to the actors, and whole lifetimes come back. Agents and parameters are put into Ray's object store
once, and every node fetches them once. The learner stays one program in this process. A node may fail at any time: actors on
the other nodes run the shares of its actors once more. The cluster's head may not fail, nor may this machine.
"""

import sys
import threading
from contextlib import suppress
from typing import Any

import cloudpickle

from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.ray_connection import connect, cores_alive, disconnect, guard_cluster
from quickstudy.rollout.collecting.ray_worker import RayWorker, SharedObjects
from quickstudy.rollout.collecting.remote_end import STARTING_SECONDS
from quickstudy.rollout.collecting.user_code import user_code

_PLACING_SECONDS = 60.0
"""Seconds that a replacement waits for a core of its own before it shares one."""
_TRIES = 3
"""Attempts to start a worker whose node fails while it starts."""


class RayPool:
    """The Ray workers of one worker pool.

    Args:
      distribution: whose environments they open.
      config: the cluster's address, the number of workers, parallel environments, patience.
    Raises:
      MissingExtraError: Ray is not installed.
      UsageError: no cluster answers at this address.
    """

    def __init__(self, distribution: HostDistribution, config: CollectingConfig):
        self._config, self._code, self._distribution = config, user_code(), cloudpickle.dumps(distribution)
        self._lock, self._objects = threading.Lock(), SharedObjects()
        self._present: list[RayWorker] = []
        connect(config.collectors, cores=config.workers)
        cores = cores_alive()
        self.workers = config.workers or max(cores, 1)
        self._spawned = 0
        if self.workers > cores:
            sys.stderr.write(
                f"quickstudy: {self.workers} workers are asked for, and the Ray cluster has {cores} cores at present; "
                f"waiting for more for up to {STARTING_SECONDS:.0f} s.\n"
            )

    def spawn(self) -> RayWorker:
        """A new worker, once it has started.

        Raises:
          CollectingError: there is no core for it, or it does not start; the message says why.
        """
        import ray

        with self._lock:
            replaces, self._spawned = self._spawned >= self.workers, self._spawned + 1
        alone, died = True, False
        for _ in range(_TRIES):
            with self._lock:
                alone = alone and not (replaces and cores_alive() <= len(self._present))
                worker = RayWorker(self._objects, self._config, cores=1 if alone else 0, on_close=self._remove)
                self._present.append(worker)
            try:
                limits: dict[str, Any] = {"seconds": STARTING_SECONDS}
                if replaces and alone:
                    limits = {"seconds": _PLACING_SECONDS, "stop_waiting": self._too_few_cores}
                if worker.open(self._code, self._distribution, **limits):
                    guard_cluster()
                    return worker
                reason = f"no core was free for it; there are {cores_alive()} in the cluster."
                alone = False
            except ray.exceptions.RayError as error:
                reason, died = f"{type(error).__name__}: {error}", not isinstance(error, ray.exceptions.RayTaskError)
            except BaseException:
                worker.close(kill=True)
                raise
            worker.close(kill=True)
            if not (replaces or died):  # an error of its own would come again
                break
        raise CollectingError(
            f"a worker on Ray did not start: {reason}\n"
            "Every node needs this version of quickstudy and the packages of the environments."
        )

    def close(self) -> None:
        """Ends the workers that are left, and the cluster if it was started here."""
        for worker in list(self._present):
            worker.close(kill=True)
        self._objects.clear()
        disconnect()

    def _too_few_cores(self) -> bool:
        """Whether there are fewer cores than workers. Ray may count a failed node for some seconds more."""
        return cores_alive() < len(self._present)

    def _remove(self, worker: RayWorker) -> None:
        with self._lock, suppress(ValueError):
            self._present.remove(worker)
