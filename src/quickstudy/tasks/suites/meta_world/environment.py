"""Environments of Meta-World in the process that steps them; each is made once and set to one task after another.

Only `distribution.open_environment` imports this file, since it needs the suite. Two things differ from the suite's own loop:

- Steps are faster (`fast_step`), by the same operations in the same order.
- Every episode of a lifetime starts from a copy of the state after the first reset. The suite simulates each reset again
  (twice, 50 steps each) and reaches the same state.

Both are exact: tests compare all 50 environments with the suite's own steps and resets, bit by bit.

A reward passes through three functions of these files: `fast_step._step` (the suite's reward), `MetaWorldEnvironment.step` (a
`StepResult` in float64), and the collector that called it.
"""

import pickle
from collections.abc import Mapping
from typing import Any

import metaworld
import mujoco
import numpy as np
from jaxtyping import Float, UInt32
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from numpy.typing import NDArray

from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.host_distribution import StepResult
from quickstudy.tasks.suites.meta_world.fast_step import with_fast_step
from quickstudy.tasks.suites.meta_world.goals import DRAWS

_NAMES = tuple(DRAWS)
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""Everything that the next step of a simulation depends on, including the warm start of the solver."""


class MetaWorldEnvironment:
    """A `HostEnvironment` for any task of a benchmark; it is deterministic once the task is chosen.

    Args:
      goals: by the split (0 for train, 1 for test), then by the environment's name.
      reward: the suite's `reward_function_version`.
    """

    def __init__(self, goals: tuple[Mapping[str, NDArray], Mapping[str, NDArray]], *, reward: str):
        self._goals, self._reward, self._name = goals, reward, ""
        self.suite: Any = None
        self._start: _Start | None = None
        self._closed = False
        _CACHE.users += 1

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Sets an environment of the task's kind to its goal; takes a cached one, or makes one where none is cached."""
        del key
        name = _NAMES[int(task.environment)]
        if name != self._name:
            previous = self._name, self._reward, self.suite
            self.suite = _CACHE.take(name, self._reward) or made(name, reward=self._reward)
            self._name = name
            if previous[-1] is not None:
                _CACHE.put(*previous)
        self._start = None
        set_goal(self.suite, name, self._goals[int(task.held_out)][name][int(task.goal)])

    def reset(self, episode: int) -> Float[np.ndarray, "39"]:
        """The start of every episode of a lifetime is the same."""
        del episode
        if self._start is None:
            observation, _ = self.suite.reset()
            self._start = _Start(self.suite, observation)
            return observation.astype(np.float32)
        return self._start.again(self.suite).astype(np.float32)

    def step(self, slot: int, action: Any) -> StepResult:
        """One step of the suite. It ends no episode: the suite reports only its time limit, which the horizon replaces."""
        del slot
        observation, reward, _, _, info = self.suite.step(np.asarray(action, np.float32))
        return StepResult(observation.astype(np.float32), float(reward), False, False, {"success": float(info["success"])})

    def close(self) -> None:
        """Closes the suite's environment, and, when no environment of this process is left open, the cached ones."""
        suite, self.suite, self._name = self.suite, None, ""
        if not self._closed:
            self._closed = True
            _CACHE.leave()
        if suite is not None:
            suite.close()


class _CachedEnvironments:
    """Environments of the suite that are not in use at present; each takes about 20 MB and most of a second to make.

    All parallel environments of a process share the cache, so that not each of them needs one environment of every kind. The
    cache holds at most as many as there are parallel environments.
    """

    def __init__(self) -> None:
        self.users = 0
        self._kept: list[tuple[str, str, Any]] = []

    def put(self, name: str, reward: str, suite: Any) -> None:
        """Caches one; where the cache is full, the one that was cached first is closed."""
        self._kept.append((name, reward, suite))
        self._make_room()

    def take(self, name: str, reward: str) -> Any:
        """A cached environment of this kind, or None."""
        for index, (kind, function, suite) in enumerate(self._kept):
            if (kind, function) == (name, reward):
                del self._kept[index]
                return suite
        return None

    def leave(self) -> None:
        """Counts one parallel environment less."""
        self.users -= 1
        self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > self.users:
            self._kept.pop(0)[2].close()


_CACHE = _CachedEnvironments()


def made(name: str, *, reward: str, fast: bool = True) -> Any:
    """An environment of the suite.

    Args:
      name: without the version.
      reward: the suite's `reward_function_version`.
      fast: with the fast step; else with the suite's own.
    Raises:
      TaskDistributionError: the installed release draws goals elsewhere.
    """
    kind = ALL_V3_ENVIRONMENTS[f"{name}-v3"]
    environment: Any = (with_fast_step(kind) if fast else kind)(reward_function_version=reward)
    space, draw = environment._random_reset_space, DRAWS[name]
    if not (np.array_equal(space.low, draw.low) and np.array_equal(space.high, draw.high)):
        raise TaskDistributionError(
            f"{name}: the installed Meta-World draws goals within {space.low} and {space.high}, not within {draw.low} and "
            f"{draw.high} as metaworld 3.1.1 does. Install that: pip install 'quickstudy[metaworld]'."
        )
    return environment


def set_goal(environment: SawyerXYZEnv, name: str, goal: NDArray, *, hidden: bool = True) -> None:
    """Sets an environment to a goal through the suite's interface, a task with pickled data; `goal` `[3 or 6]`, metres."""
    data = {"rand_vec": goal, "env_cls": ALL_V3_ENVIRONMENTS[f"{name}-v3"], "partially_observable": hidden}
    environment.set_task(metaworld.Task(env_name=f"{name}-v3", data=pickle.dumps(data)))


class _Start:
    """The state of an environment right after a reset: that of the simulation, and the attributes of the Python object."""

    def __init__(self, suite: Any, observation: NDArray):
        self._observation = observation.copy()
        self._state = np.empty(mujoco.mj_stateSize(suite.model, _STATE))
        mujoco.mj_getState(suite.model, suite.data, self._state, _STATE)
        self._attributes = _copied(suite.__dict__)

    def again(self, suite: Any) -> NDArray:
        """Restores it. Quantities that follow from the state are computed in the next step before anything reads them."""
        mujoco.mj_setState(suite.model, suite.data, self._state, _STATE)
        suite.__dict__.clear()
        suite.__dict__.update(_copied(self._attributes))
        return self._observation.copy()


def _copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which arrays are copied, except for views into the simulation's own arrays."""
    return {name: one.copy() if type(one) is np.ndarray and one.base is None else one for name, one in attributes.items()}
