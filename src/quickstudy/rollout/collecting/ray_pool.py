"""Collectors on many machines: one Ray actor each, one core each, spread over the nodes of a cluster.

Tasks and parameters go to the actors, whole lifetimes come back. Agents and parameters are put into Ray's object store once,
and every node fetches them once. The learner stays one program in this process. A node may go at any time: what its actors had
in hand is lived once more by actors on the nodes that are left. The cluster's head may not go, nor this machine.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import jax

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, QuickstudyError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.pool import CollectingConfig, Job, WorkerLostError
from quickstudy.rollout.collecting.ray_connection import connect, cores_alive, disconnect, first_line
from quickstudy.rollout.collecting.remote_end import (
    STARTING_SECONDS,
    AgentCache,
    RemoteEnd,
    as_own,
    packed,
    single_threaded,
    user_files,
)

_ASKING_SECONDS = 0.5
_ANSWERING_SECONDS = 5.0
_PLACING_SECONDS = 60.0
"""How long a replacement waits for a core of its own before it shares one."""
_TRIES = 3
"""How often an actor is started whose node goes while it starts."""
_FETCHING_SECONDS = 600.0


class RayPool:
    """The collectors of one team on a cluster, and what all of them are sent.

    Args:
      distribution: whose environments they open.
      config: the cluster's address, the number of collectors, lanes, patience.
    Raises:
      MissingExtraError: Ray is not installed.
      UsageError: no cluster answers at this address.
    """

    def __init__(self, distribution: HostDistribution, config: CollectingConfig):
        self._config, self._files, self._distribution = config, user_files(), cloudpickle.dumps(distribution)
        self._lock = threading.Lock()
        self._agents: dict[int, tuple[Agent, str, Any]] = {}
        self._params: tuple[Any, Any] = (None, None)
        self._present: list[RayActor] = []
        connect(config.collectors, cores=config.workers)
        cores = cores_alive()
        self.workers = config.workers or max(cores, 1)
        self._hired = 0
        if self.workers > cores:
            sys.stderr.write(
                f"quickstudy: {self.workers} collectors are asked for, and the Ray cluster has {cores} cores at present; "
                f"waiting for more for up to {STARTING_SECONDS:.0f} s.\n"
            )

    def spawn(self) -> "RayActor":
        """A new collector, once it has come up.

        Raises:
          CollectingError: there is no core for it, or it does not come up; says why.
        """
        import ray

        with self._lock:
            replaces, self._hired = self._hired >= self.workers, self._hired + 1
        alone, died = True, False
        for _ in range(_TRIES):
            with self._lock:
                alone = alone and not (replaces and cores_alive() <= len(self._present))
                actor = RayActor(self, self._config, cores=1 if alone else 0)
                self._present.append(actor)
            try:
                limits: dict[str, Any] = {"seconds": STARTING_SECONDS}
                if replaces and alone:
                    limits = {"seconds": _PLACING_SECONDS, "hopeless": self._crowded}
                if actor.open(self._files, self._distribution, **limits):
                    return actor
                reason = f"no core was free for it; there are {cores_alive()} in the cluster."
                alone = False
            except ray.exceptions.RayError as error:
                reason, died = f"{type(error).__name__}: {error}", not isinstance(error, ray.exceptions.RayTaskError)
            except BaseException:
                actor.close(kill=True)
                raise
            actor.close(kill=True)
            if not (replaces or died):  # what it raised itself it would raise again
                break
        raise CollectingError(
            f"a collector on Ray did not come up: {reason}\n"
            "Every node needs this version of quickstudy and what the environments are made of."
        )

    def _crowded(self) -> bool:
        """Whether there are fewer cores than collectors; a node that went may be counted among the others for some seconds."""
        return cores_alive() < len(self._present)

    def leave(self, actor: "RayActor") -> None:
        """An actor has ended."""
        with self._lock, suppress(ValueError):
            self._present.remove(actor)

    def agent(self, agent: Agent) -> tuple[str, Any]:
        """An agent's digest, and where it lies in the object store."""
        import ray

        with self._lock:
            if id(agent) not in self._agents:
                digest, content = packed(agent)
                self._agents = dict(list(self._agents.items())[-1:]) | {id(agent): (agent, digest, ray.put(content))}
            return self._agents[id(agent)][1:]

    def params(self, params: Any) -> Any:
        """Where parameters lie in the object store: all shares of a batch are lived with the same."""
        import ray

        with self._lock:
            if self._params[0] is not params:
                self._params = (params, ray.put(params))
            return self._params[1]

    def close(self) -> None:
        """Ends whoever is left, and the cluster if it was started here."""
        for actor in list(self._present):
            actor.close(kill=True)
        self._agents, self._params = {}, (None, None)
        disconnect()


class RayActor:
    """One collector on a cluster, seen from here.

    Args:
      crew: it belongs to.
      config: patience and lanes.
      cores: that Ray keeps free for it; 0 where there are none left, and it shares one.
    """

    def __init__(self, crew: RayPool, config: CollectingConfig, *, cores: int):
        import ray

        self._crew, self._config, self._known, self._jobs = crew, config, AgentCache[None](), 0
        made = ray.remote(concurrency_groups={"signs": 1})(_marked(ray))
        environment = {"env_vars": single_threaded()}
        self._actor = made.options(num_cpus=cores, scheduling_strategy="SPREAD", runtime_env=environment).remote()

    def open(self, files: Any, distribution: bytes, *, seconds: float, hopeless: Callable[[], bool] = lambda: False) -> bool:
        """Whether it has come up within so long; it is not waited for any more once that is hopeless."""
        import ray

        cache, began = jax.config.values["jax_compilation_cache_dir"], time.monotonic()
        opened = self._actor.open.remote(files, distribution, self._config.lanes, cache and str(cache))
        while not ray.wait([opened], timeout=_ASKING_SECONDS)[0]:
            if time.monotonic() - began > seconds or hopeless():
                return False
        refused = ray.get(opened)
        if refused is not None:
            raise refused
        return True

    def run(self, job: Job, tell: Callable[[int], None]) -> CollectedBatch:
        """Lives a share there.

        Raises:
          MemberLostError: the actor or its node died, or nothing moved for too long.
          QuickstudyError: whatever it refuses, such as a suite that is not installed there.
        """
        import ray

        try:
            return self._lived(job, tell)
        except ray.exceptions.RayTaskError as error:
            raise as_own(error) from error
        except ray.exceptions.RayError as error:
            raise WorkerLostError(f"{type(error).__name__}, {first_line(error)}") from error

    def close(self, *, kill: bool = False) -> None:
        """Lets it close its environments, or ends it at once."""
        import ray

        with suppress(Exception):  # it may have gone already, and the cluster with it
            if not kill:
                ray.wait([self._actor.close.remote()], timeout=_ANSWERING_SECONDS)
            ray.kill(self._actor)
        self._crew.leave(self)

    def _lived(self, job: Job, tell: Callable[[int], None]) -> CollectedBatch:
        import ray

        digest, content = self._crew.agent(job.agent)
        known, self._jobs = digest in self._known, self._jobs + 1
        patience = self._config.patience_seconds + (0.0 if known else STARTING_SECONDS)
        share = (job.tasks, job.keys, job.rewards_only)
        answer = self._actor.run.remote(self._jobs, digest, None if known else content, self._crew.params(job.params), *share)
        if not known:
            self._known.put(digest, None)
        sign, heard, held, moved = None, 0, -1, time.monotonic()
        while not ray.wait([answer], timeout=_ASKING_SECONDS, fetch_local=False)[0]:
            if sign is None:
                sign = self._actor.signs.remote()
            elif ray.wait([sign], timeout=0)[0]:
                (number, beats, steps, lifetime), sign = ray.get(sign), None
                held = lifetime if number == self._jobs else -1
                if number == self._jobs and beats > heard:
                    heard, moved = beats, time.monotonic()
                    patience = self._config.patience_seconds if steps else patience  # once it takes steps, it has compiled
                    tell(steps)
            if time.monotonic() - moved > patience:
                raise WorkerLostError(f"an actor did nothing for {patience:.0f} s", None if held < 0 else held)
        lived = ray.get(answer, timeout=_FETCHING_SECONDS)
        if isinstance(lived, QuickstudyError):
            raise lived
        return lived


class _Actor:
    """A collector on a cluster, over there.

    Its lifetimes are lived by one and the same thread, since simulators may hold on to theirs; another one says how many steps
    were taken.
    """

    def __init__(self) -> None:
        self._now, self._held = (0, 0, 0), -1
        self._outpost = RemoteEnd(heartbeat=self._beat, mark_current=self._hold)

    def open(self, files: Any, distribution: bytes, lanes: int, cache: str | None) -> QuickstudyError | None:
        """Opens the distribution; compiled programs are kept in the folder `cache` where it can be had."""
        if cache:
            with suppress(OSError):
                Path(cache).mkdir(parents=True, exist_ok=True)
                jax.config.update("jax_compilation_cache_dir", cache)
        return self._outpost.open(files, distribution, lanes)

    def run(self, number: int, *job: Any) -> CollectedBatch | QuickstudyError:
        """Lives the share of this number."""
        self._now, self._held = (number, 0, 0), -1
        return self._outpost.run(*job)

    def signs(self) -> tuple[int, int, int, int]:
        """The number of the share in hand, how often there was progress in it, the steps taken, and the lifetime at work."""
        return (*self._now, self._held)

    def close(self) -> None:
        """Closes the environments."""
        self._outpost.close()

    def _beat(self, steps: int) -> None:
        number, beats, _ = self._now
        self._now = (number, beats + 1, steps)

    def _hold(self, lifetime: int) -> None:
        self._held = lifetime


def _marked(ray: Any) -> type:
    """`_Actor` with the mark of Ray's that gives the signs of life a thread of their own."""

    class Marked(_Actor):  # of this function, so that it is sent as it is, with the mark; the Ray client knows no other way
        @ray.method(concurrency_group="signs")
        def signs(self) -> tuple[int, int, int, int]:
            return _Actor.signs(self)

    return Marked
