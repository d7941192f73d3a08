"""The fast step of Meta-World: the same floating-point operations in the same order as the suite, with less Python.

The suite spends three quarters of a step in Python. It makes an object of every contact, checks every rotation matrix with
SciPy, looks positions up by name, and stacks observations from many small arrays. Here positions are read by number, contacts
are searched as arrays, quaternions are computed without the check, and an observation is written into one array. Forces that
nothing reads (`mj_rnePostConstraint`) are left out. Rewards are computed by the suite's own code.

A test compares all 50 environments with the suite, bit by bit: observations, rewards and successes.
"""

import math
from types import FunctionType, SimpleNamespace
from typing import Any

import mujoco
import numpy as np
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from numpy.typing import NDArray


def with_fast_step(kind: type[SawyerXYZEnv]) -> type[SawyerXYZEnv]:
    """A subclass of an environment class of the suite that computes the same steps faster."""
    methods: dict[str, Any] = {
        "__init__": lambda self, **settings: _init(self, kind, **settings),
        "get_endeff_pos": _hand,
        "tcp_center": property(_between_fingers),
        "get_body_com": _body,
        "_get_site_pos": _site,
        "touching_object": _touching,
        "set_xyz_action": _move_hand,
        "do_simulation": _simulate,
        "_get_curr_obs_combined_no_goal": _state_now,
        "_get_obs": _observation,
        "step": _step,
    }
    quaternions_of = kind._get_quat_objects
    if "Rotation" in quaternions_of.__globals__:
        faster = {**quaternions_of.__globals__, "Rotation": SimpleNamespace(from_matrix=_Rotation)}
        methods["_get_quat_objects"] = FunctionType(
            quaternions_of.__code__, faster, quaternions_of.__name__, quaternions_of.__defaults__
        )
    return type(f"Fast{kind.__name__}", (kind,), methods)


class _Rotation:
    """A rotation with only the method that the suite calls: its quaternion, by SciPy's operations in SciPy's order."""

    def __init__(self, matrix: NDArray):
        self._matrix = matrix

    def as_quat(self) -> NDArray:
        """`[x, y, z, w]`."""
        m: list[list[float]] = self._matrix.tolist()
        trace = m[0][0] + m[1][1] + m[2][2]
        decisions = [m[0][0], m[1][1], m[2][2], trace]
        i = decisions.index(max(decisions))
        if i == 3:
            quaternion = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1], 1 + trace]
        else:
            j, k = (i + 1) % 3, (i + 2) % 3
            quaternion = [0.0, 0.0, 0.0, m[k][j] - m[j][k]]
            quaternion[i] = 1 - trace + 2 * m[i][i]
            quaternion[j], quaternion[k] = m[j][i] + m[i][j], m[k][i] + m[i][k]
        x, y, z, w = quaternion
        norm = math.sqrt(x * x + y * y + z * z + w * w)
        return np.array([x / norm, y / norm, z / norm, w / norm])


def _init(self: Any, kind: type, **settings: Any) -> None:
    self._bodies, self._sites, self._geoms = {}, {}, {}
    kind.__init__(self, **settings)  # type: ignore[misc]


def _number(self: Any, known: dict[str, int], sort: Any, name: str) -> int:
    """The number of a body, site or geom, looked up once."""
    if name not in known:
        known[name] = mujoco.mj_name2id(self.model, sort, name)
        if known[name] < 0:
            raise KeyError(name)
    return known[name]


def _body(self: Any, body_name: str) -> NDArray:
    return self.data.xpos[_number(self, self._bodies, mujoco.mjtObj.mjOBJ_BODY, body_name)]


def _site(self: Any, site_name: str) -> NDArray:
    return self.data.site_xpos[_number(self, self._sites, mujoco.mjtObj.mjOBJ_SITE, site_name)].copy()


def _hand(self: Any) -> NDArray:
    return _body(self, "hand")


def _between_fingers(self: Any) -> NDArray:
    return (_site(self, "rightEndEffector") + _site(self, "leftEndEffector")) / 2.0


def _touching(self: Any, object_geom_id: int) -> bool:
    """Whether both finger pads press on the object."""
    contact = self.data.contact
    one, other, address = contact.geom1.tolist(), contact.geom2.tolist(), contact.efc_address.tolist()
    forces = []
    for name in ("leftpad_geom", "rightpad_geom"):
        pad = _number(self, self._geoms, mujoco.mjtObj.mjOBJ_GEOM, name)
        met = [a for x, y, a in zip(one, other, address, strict=True) if pad in (x, y) and object_geom_id in (x, y)]
        forces.append(sum(self.data.efc_force[a] for a in met) if met else 0)
    return min(forces) > 0


def _move_hand(self: Any, action: NDArray) -> None:
    moved = np.minimum(np.maximum(action, -1), 1) * self.action_scale
    self.data.mocap_pos[0] = np.minimum(np.maximum(self.data.mocap_pos[0] + moved, self.mocap_low), self.mocap_high)
    self.data.mocap_quat[:] = (1, 0, 1, 0)


def _simulate(self: Any, ctrl: Any, n_frames: int) -> None:
    self.data.ctrl[:] = ctrl
    mujoco.mj_step(self.model, self.data, nstep=n_frames)


def _state_now(self: Any) -> NDArray:
    """Hand position, gripper opening, and position and quaternion of each object, `[18]`; metres, opening in [0, 1]."""
    seen = np.zeros(4 + self._obs_obj_max_len)
    seen[:3] = _hand(self)
    opening = _body(self, "rightclaw") - _body(self, "leftclaw")
    seen[3] = min(max(math.sqrt(opening.dot(opening)) / 0.1, 0.0), 1.0)
    places, quaternions = self._get_pos_objects(), self._get_quat_objects()
    for number in range(len(places) // 3):
        at = 4 + 7 * number
        seen[at : at + 3] = places[3 * number : 3 * number + 3]
        seen[at + 3 : at + 7] = quaternions[4 * number : 4 * number + 4]
    return seen


def _observation(self: Any) -> NDArray:
    """The present state, the state one step ago, and the goal or zeros, `[39]`, metres."""
    goal = self._get_pos_goal()
    seen = self._get_curr_obs_combined_no_goal()
    observation = np.zeros(2 * len(seen) + len(goal))
    observation[: len(seen)] = seen
    observation[len(seen) : 2 * len(seen)] = self._prev_obs
    if not self._partially_observable:
        observation[2 * len(seen) :] = goal
    self._prev_obs = seen
    return observation


def _step(self: Any, action: NDArray) -> tuple[NDArray, Any, bool, bool, dict[str, Any]]:
    if not self._set_task_called:
        raise RuntimeError("You must call env.set_task before using env.step")
    self.set_xyz_action(action[:3])
    if self.curr_path_length >= self.max_path_length:
        raise ValueError("You must reset the env manually once truncate==True")
    self.do_simulation([action[-1], -action[-1]], self.frame_skip)
    self.curr_path_length += 1
    for site, place in self._target_site_config:
        self._set_pos_site(site, place)
    mujoco.mj_forward(self.model, self.data)
    space = self.sawyer_observation_space
    self._last_stable_obs = np.minimum(np.maximum(self._get_obs(), space.low), space.high)
    reward, info = self.evaluate_state(self._last_stable_obs, action)
    truncated = self.curr_path_length == self.max_path_length
    return self._last_stable_obs.copy(), reward, False, truncated, info
