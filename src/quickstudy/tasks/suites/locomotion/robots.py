"""Gymnasium's MuJoCo robots (version 5) with the rewards of tasks. Importing this needs MuJoCo; see
`distribution.import_robots`.

Models, resets, spaces and endings are those of Gymnasium. Only `step` is new: it computes the reward of the task, with less
Python around the physics (a step of the half-cheetah takes 34 µs, where Gymnasium's takes 45; 32 are physics). Positions are
read from `qpos`, the position of the robot. Gymnasium's ant reads `xpos`, which lags behind by part of a step.
"""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv

Step = tuple[np.ndarray, Any, bool, bool, dict[str, Any]]

CHEETAH_CONTROL_COST = 0.05
WALKER_FRAME_SKIP = 5
HOPPER_HIGHEST_STATE, HOPPER_LOWEST, HOPPER_STEEPEST = 100.0, 0.7, 0.2
WALKER_LOWEST, WALKER_HIGHEST, WALKER_STEEPEST = 0.8, 2.0, 1.0
ANT_LOWEST, ANT_HIGHEST = 0.2, 1.0
FASTEST_SEEN = 10.0
"""Observed velocities of hopper and walker are clipped to this."""


class HalfCheetah(HalfCheetahEnv):
    """A half-cheetah. Observations `[17]`: posture and velocities, without the position.

        reward = pays(goal, speed) - 0.05 |action|²

    Args:
      pays: `(goal, speed in metres per second, forwards) -> reward`.
    """

    def __init__(self, pays: Callable[[float, float], float]):
        super().__init__(ctrl_cost_weight=CHEETAH_CONTROL_COST)
        self.goal = 0.0
        self._pays = pays
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl
        self._seconds = self.dt

    def step(self, action: np.ndarray) -> Step:
        """Five frames of the simulator; never terminates."""
        position = self._position
        before = position[0]
        self._control[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        speed = float(position[0] - before) / self._seconds
        reward = self._pays(self.goal, speed) - CHEETAH_CONTROL_COST * float(action @ action)
        return np.concatenate((position[1:], self._velocity)), reward, False, False, {}


def nearness(goal: float, speed: float) -> float:
    """Minus the distance of a speed from the goal, metres per second."""
    return -abs(speed - goal)


def progress(goal: float, speed: float) -> float:
    """Speed in the direction of the goal, 1 forwards and -1 backwards, metres per second."""
    return goal * speed


class Ant(AntEnv):
    """An ant that is paid for walking in one direction, and for not falling.

        reward = velocity · goal + 1 - 0.5 |action|² - 0.0005 |contact forces within ±1|²

    Observations `[27]`: posture and velocities, without the position. `goal` `[2]` is of length 1.
    """

    def __init__(self) -> None:
        super().__init__(include_cfrc_ext_in_observation=False)
        self.goal = (1.0, 0.0)
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl
        self._seconds = self.dt

    def step(self, action: np.ndarray) -> Step:
        """Five frames of the simulator; terminates where the torso is below 0.2 m or above 1 m. That step pays no 1."""
        position = self._position
        x, y = position[0], position[1]
        self._control[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        moved = (position[0] - x) * self.goal[0] + (position[1] - y) * self.goal[1]
        observation = np.concatenate((position[2:], self._velocity))
        is_up = bool(ANT_LOWEST <= position[2] <= ANT_HIGHEST and np.isfinite(observation).all())
        contact = _within_one(self.data.cfrc_ext)
        cost = 0.5 * float(action @ action) + 5e-4 * float(contact @ contact)
        return observation, float(moved) / self._seconds + is_up - cost, not is_up, False, {}


class AntAtGoal(AntEnv):
    """An ant that is paid for being near a place `goal` `[2]`.

        reward = - |x - goal x| - |y - goal y| - 0.1 |action|² - 0.0005 |contact forces within ±1|²

    Args:
      contact_forces: whether observations hold them. They are `[107]` with and `[29]` without; both hold the position.
    """

    def __init__(self, *, contact_forces: bool):
        # With rewards below 0, an ant that could end its episode by falling would do better than one that walks.
        super().__init__(
            exclude_current_positions_from_observation=False,
            include_cfrc_ext_in_observation=contact_forces,
            terminate_when_unhealthy=False,
        )
        self.goal = (0.0, 0.0)
        self._observes_forces = contact_forces
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl

    def step(self, action: np.ndarray) -> Step:
        """Five frames of the simulator; never terminates."""
        position = self._position
        self._control[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        away = abs(float(position[0]) - self.goal[0]) + abs(float(position[1]) - self.goal[1])
        contact = _within_one(self.data.cfrc_ext)
        cost = 0.1 * float(action @ action) + 5e-4 * float(contact @ contact)
        parts = (position, self._velocity, contact[6:]) if self._observes_forces else (position, self._velocity)
        return np.concatenate(parts), -away - cost, False, False, {}


class Hopper(HopperEnv):
    """A hopper whose body can be set. Observations `[11]`; rewards and endings are those of Gymnasium.

    reward = speed forwards + 1 - 0.001 |action|²
    """

    def __init__(self) -> None:
        super().__init__()
        self.as_built = as_built(self)
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl
        self._seconds = self.dt

    def step(self, action: np.ndarray) -> Step:
        """Four frames; terminates below 0.7 m, tilted by 0.2 rad, or with a speed or angle of 100. That step pays no 1."""
        position, velocity = self._position, self._velocity
        before = position[0]
        self._control[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        is_up = bool(
            position[1] > HOPPER_LOWEST
            and abs(position[2]) < HOPPER_STEEPEST
            and np.abs(velocity).max() < HOPPER_HIGHEST_STATE
            and np.abs(position[2:]).max() < HOPPER_HIGHEST_STATE
        )
        reward = float(position[0] - before) / self._seconds + is_up - 1e-3 * float(action @ action)
        return _seen(position, velocity), reward, not is_up, False, {}


class Walker(Walker2dEnv):
    """A walker whose body can be set. Observations `[17]`; rewards and endings are those of Gymnasium.

    reward = speed forwards + 1 - 0.001 |action|²
    """

    def __init__(self) -> None:
        super().__init__(frame_skip=WALKER_FRAME_SKIP)
        self.as_built = as_built(self)
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl
        self._seconds = self.dt

    def step(self, action: np.ndarray) -> Step:
        """Five frames; terminates below 0.8 m, above 2 m, or tilted by 1 rad. That step pays no 1."""
        position = self._position
        before = position[0]
        self._control[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        is_up = bool(WALKER_LOWEST < position[1] < WALKER_HIGHEST and abs(position[2]) < WALKER_STEEPEST)
        reward = float(position[0] - before) / self._seconds + is_up - 1e-3 * float(action @ action)
        return _seen(position, self._velocity), reward, not is_up, False, {}


def as_built(robot: MujocoEnv) -> dict[str, np.ndarray]:
    """The numbers of a robot's body that can be set, as its file has them."""
    model = robot.model
    return {name: getattr(model, name).copy() for name in ("body_mass", "body_inertia", "dof_damping", "geom_friction")}


def set_body(
    robot: Hopper | Walker,
    *,
    mass: np.ndarray,
    inertia: np.ndarray,
    damping: np.ndarray,
    friction: np.ndarray,
) -> None:
    """Sets the body of a robot, always relative to its file, so that no earlier body has an effect.

    Args:
      mass: factor for each body.
      inertia: the same.
      damping: factor for each joint that is damped.
      friction: factor for each shape, the floor first.
    """
    model, built = robot.model, robot.as_built
    model.body_mass[1:] = built["body_mass"][1:] * mass
    model.body_inertia[1:] = built["body_inertia"][1:] * np.asarray(inertia)[:, None]
    damped = built["dof_damping"] > 0
    model.dof_damping[damped] = built["dof_damping"][damped] * damping
    model.geom_friction[:, 0] = built["geom_friction"][:, 0] * friction
    # Numbers that the compiler of models derives from masses: without them contacts stay as stiff as for the old body.
    mujoco.mj_setConst(model, robot.data)


def parts_of(robot: Hopper | Walker) -> tuple[list[str], list[str], list[str]]:
    """Names of bodies, damped joints and shapes, in the order of `set_body`."""
    model = robot.model
    bodies = [model.body(number).name for number in range(1, model.nbody)]
    damped = [model.joint(int(model.dof_jntid[dof])).name for dof in np.flatnonzero(robot.as_built["dof_damping"])]
    return bodies, damped, [model.geom(number).name for number in range(model.ngeom)]


def _seen(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    return np.concatenate((position[1:], np.minimum(np.maximum(velocity, -FASTEST_SEEN), FASTEST_SEEN)))


def _within_one(forces: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(forces, -1.0), 1.0).ravel()
