"""The side of Meta-World that steps: environments of the suite, each made once and set to one task after another.

Nothing but `meta_world.open_environment` imports this file, since it needs the suite. What differs from the suite's own loop:

- Steps are computed by the same operations in the same order, without detours through Python: `swift`.
- An episode starts from a copy of the first start of its lifetime. The suite simulates its start anew every time (twice, 50
  steps each), and gets the same.

Both are exact: tests compare all 50 environments with the suite's own steps and resets, bit by bit.
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
from quickstudy.tasks.suites.meta_world.fast_step import swift
from quickstudy.tasks.suites.meta_world.goals import DRAWS

_NAMES = tuple(DRAWS)
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""All that the next step of a simulation depends on, the solver's warm start among it."""


class MetaWorldEnvironment:
    """Any task of a benchmark, as a `HostEnvironment`; nothing is random in it once the task is chosen.

    Args:
      goals: by the split (0 for train, 1 for test), then by the environment's name.
      reward: the suite's `reward_function_version`.
    """

    def __init__(self, goals: tuple[Mapping[str, NDArray], Mapping[str, NDArray]], *, reward: str):
        self._goals, self._reward, self._name = goals, reward, ""
        self.suite: Any = None
        self._start: _Start | None = None
        self._closed = False
        _SPARES.users += 1

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Sets the environment of this task to its goal; one is made where no other environment has left one of its kind."""
        del key
        name = _NAMES[int(task.environment)]
        if name != self._name:
            before = self._name, self._reward, self.suite
            self.suite = _SPARES.take(name, self._reward) or made(name, reward=self._reward)
            self._name = name
            if before[-1] is not None:
                _SPARES.put(*before)
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
        """One step of the suite. It never says that an episode has ended, except at its limit, which is the driver's."""
        del slot
        observation, reward, _, _, said = self.suite.step(np.asarray(action, np.float32))
        return StepResult(observation.astype(np.float32), float(reward), False, False, {"success": float(said["success"])})

    def close(self) -> None:
        """Closes the suite's environment, and with the last of these objects those that were kept for later tasks."""
        suite, self.suite, self._name = self.suite, None, ""
        if not self._closed:
            self._closed = True
            _SPARES.leave()
        if suite is not None:
            suite.close()


class _Spares:
    """Environments of the suite that are not in use at present: each takes some 20 MB, and a good part of a second to make.

    All parallel environments of a process share them, so that not each needs one of every kind. No more are kept than are in
    use.
    """

    def __init__(self) -> None:
        self.users = 0
        self._kept: list[tuple[str, str, Any]] = []

    def put(self, name: str, reward: str, suite: Any) -> None:
        """Keeps one; the one that was longest without a user gives way."""
        self._kept.append((name, reward, suite))
        self._make_room()

    def take(self, name: str, reward: str) -> Any:
        """One of this kind, or None."""
        for place, (kind, function, suite) in enumerate(self._kept):
            if (kind, function) == (name, reward):
                del self._kept[place]
                return suite
        return None

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > self.users:
            self._kept.pop(0)[2].close()


_SPARES = _Spares()


def made(name: str, *, reward: str, hurried: bool = True) -> Any:
    """An environment of the suite.

    Args:
      name: without the version.
      reward: the suite's `reward_function_version`.
      hurried: with `swift` steps.
    Raises:
      TaskDistributionError: the installed release draws goals elsewhere.
    """
    kind = ALL_V3_ENVIRONMENTS[f"{name}-v3"]
    environment: Any = (swift(kind) if hurried else kind)(reward_function_version=reward)
    space, draw = environment._random_reset_space, DRAWS[name]
    if not (np.array_equal(space.low, draw.low) and np.array_equal(space.high, draw.high)):
        raise TaskDistributionError(
            f"{name}: the installed Meta-World draws goals within {space.low} and {space.high}, not within {draw.low} and "
            f"{draw.high} as metaworld 3.1.1 does. Install that: pip install 'quickstudy[metaworld]'."
        )
    return environment


def set_goal(environment: SawyerXYZEnv, name: str, goal: NDArray, *, hidden: bool = True) -> None:
    """Sets an environment to a goal by the suite's own door, a task with pickled data."""
    data = {"rand_vec": goal, "env_cls": ALL_V3_ENVIRONMENTS[f"{name}-v3"], "partially_observable": hidden}
    environment.set_task(metaworld.Task(env_name=f"{name}-v3", data=pickle.dumps(data)))


class _Start:
    """An environment right after its reset: the simulation's state, and what the environment knows of it."""

    def __init__(self, suite: Any, observation: NDArray):
        self._observation = observation.copy()
        self._state = np.empty(mujoco.mj_stateSize(suite.model, _STATE))
        mujoco.mj_getState(suite.model, suite.data, self._state, _STATE)
        self._knows = _copied(suite.__dict__)

    def again(self, suite: Any) -> NDArray:
        """Puts the environment back there. What follows from the state is computed in the next step before anybody reads it."""
        mujoco.mj_setState(suite.model, suite.data, self._state, _STATE)
        suite.__dict__.clear()
        suite.__dict__.update(_copied(self._knows))
        return self._observation.copy()


def _copied(knows: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays are copied, unless they look into the simulation's own."""
    return {name: one.copy() if type(one) is np.ndarray and one.base is None else one for name, one in knows.items()}
