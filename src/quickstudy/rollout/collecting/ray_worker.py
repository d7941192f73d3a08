"""One worker on a Ray cluster: an actor with a collector in it."""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

import quickstudy
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.protocol.printable import first_line
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.remote_end import (
    STARTING_SECONDS,
    AgentCache,
    as_quickstudy_error,
    packed,
    single_threaded,
)
from quickstudy.rollout.collecting.user_code import UserCode
from quickstudy.rollout.collecting.worker import Job, WorkerLostError

_ASKING_SECONDS = 0.5
_ANSWERING_SECONDS = 5.0
_FETCHING_SECONDS = 600.0


class SharedObjects:
    """Agents and parameters in Ray's object store, put there once for all workers of a pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._agents: dict[int, tuple[Agent, str, Any]] = {}
        self._params: tuple[Any, Any] = (None, None)

    def agent(self, agent: Agent) -> tuple[str, Any]:
        """An agent's digest, and its reference in the object store."""
        import ray

        with self._lock:
            if id(agent) not in self._agents:
                digest, content = packed(agent)
                self._agents = dict(list(self._agents.items())[-1:]) | {id(agent): (agent, digest, ray.put(content))}
            return self._agents[id(agent)][1:]

    def params(self, params: Any) -> Any:
        """The reference of parameters in the object store; all shares of a batch have the same."""
        import ray

        with self._lock:
            if self._params[0] is not params:
                self._params = (params, ray.put(params))
            return self._params[1]

    def clear(self) -> None:
        """Drops all references."""
        self._agents, self._params = {}, (None, None)


class RayWorker:
    """One worker on a cluster, as this process sees it.

    Args:
      objects: what all workers of its pool are sent.
      config: patience and parallel environments.
      cores: that Ray reserves for it; 0 where there are none left, and it shares one.
      on_close: called with this worker when it has ended.
    """

    def __init__(
        self, objects: SharedObjects, config: CollectingConfig, *, cores: int, on_close: Callable[["RayWorker"], None]
    ):
        ray: Any = importlib.import_module("ray")
        self._objects, self._config, self._on_close = objects, config, on_close
        self._known, self._jobs = AgentCache[None](), 0
        actor_class = ray.remote(concurrency_groups={"progress": 1})(_actor_class(ray))
        environment = {"env_vars": single_threaded()}
        self._actor = actor_class.options(num_cpus=cores, scheduling_strategy="SPREAD", runtime_env=environment).remote(
            _not_in_front()
        )

    def open(
        self, code: UserCode, distribution: bytes, *, seconds: float, stop_waiting: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether it started within this many seconds, and before `stop_waiting` returned True."""
        import ray

        cache, began = jax.config.values["jax_compilation_cache_dir"], time.monotonic()
        opened = self._actor.open.remote(code, distribution, self._config.parallel_environments, cache and str(cache))
        while not ray.wait([opened], timeout=_ASKING_SECONDS)[0]:
            if time.monotonic() - began > seconds or stop_waiting():
                return False
        error = ray.get(opened)
        if error is not None:
            raise error
        return True

    def run(self, job: Job, report_steps: Callable[[int], None]) -> CollectedBatch:
        """Runs a share there.

        Raises:
          WorkerLostError: the actor or its node died, or it made no progress for too long.
          QuickstudyError: what it refuses, such as a suite that is not installed there.
        """
        import ray

        try:
            return self._collected(job, report_steps)
        except ray.exceptions.RayTaskError as error:
            raise as_quickstudy_error(error) from error
        except ray.exceptions.RayError as error:
            raise WorkerLostError(f"{type(error).__name__}, {first_line(error)}") from error

    def close(self, *, kill: bool = False) -> None:
        """Lets it close its environments first; ends it at once if `kill`."""
        import ray

        with suppress(Exception):  # it may have ended already, and the cluster with it
            if not kill:
                ray.wait([self._actor.close.remote()], timeout=_ANSWERING_SECONDS)
            ray.kill(self._actor)
        self._on_close(self)

    def _collected(self, job: Job, report_steps: Callable[[int], None]) -> CollectedBatch:
        import ray

        digest, content = self._objects.agent(job.agent)
        known, self._jobs = digest in self._known, self._jobs + 1
        patience = self._config.patience_seconds + (0.0 if known else STARTING_SECONDS)
        share = (job.tasks, job.keys, job.rewards_only)
        params = self._objects.params(job.params)
        answer = self._actor.run.remote(self._jobs, digest, None if known else content, params, *share)
        if not known:
            self._known.put(digest, None)
        asked, last_heartbeats, current, moved = None, 0, -1, time.monotonic()
        while not ray.wait([answer], timeout=_ASKING_SECONDS, fetch_local=False)[0]:
            if asked is None:
                asked = self._actor.progress.remote()
            elif ray.wait([asked], timeout=0)[0]:
                (number, heartbeats, steps, lifetime), asked = ray.get(asked), None
                current = lifetime if number == self._jobs else -1
                if number == self._jobs and heartbeats > last_heartbeats:
                    last_heartbeats, moved = heartbeats, time.monotonic()
                    patience = self._config.patience_seconds if steps else patience  # once it takes steps, it has compiled
                    report_steps(steps)
            if time.monotonic() - moved > patience:
                raise WorkerLostError(f"an actor did nothing for {patience:.0f} s", None if current < 0 else current)
        result = ray.get(answer, timeout=_FETCHING_SECONDS)
        if isinstance(result, QuickstudyError):
            raise result
        return result


def _actor_class(ray: Any) -> type:
    """The class of the actors. It is sent whole, as every class inside a function is, and imports nothing before it is made.

    Ray puts the script's folder and the working folder in front of the module path of its processes. They are taken from there
    before anything is imported; `install` puts them at the end.
    """

    class Sent:
        def __init__(self, not_in_front: list[str]) -> None:
            import sys

            sys.path[:] = [folder for folder in sys.path if folder not in not_in_front]
            from quickstudy.rollout.collecting.ray_actor import Actor

            self._actor = Actor()

        def open(self, *asked: Any) -> Any:
            return self._actor.open(*asked)

        def run(self, *job: Any) -> Any:
            return self._actor.run(*job)

        @ray.method(concurrency_group="progress")
        def progress(self) -> Any:
            return self._actor.progress()

        def close(self) -> None:
            self._actor.close()

    return Sent


def _not_in_front() -> list[str]:
    """The folders that Ray puts in front, except the one that this package was imported from."""
    home = str(Path(quickstudy.__file__).parents[1])
    return [folder for folder in (os.path.abspath(os.curdir), os.path.dirname(os.path.realpath(sys.argv[0]))) if folder != home]
