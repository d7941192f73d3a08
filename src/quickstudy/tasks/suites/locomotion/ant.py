"""Ant on MuJoCo: the direction to walk in, or the place to walk to, must be found out from rewards.

As in the code of Rakelly et al. 2019 (PEARL: rlkit/envs/ant_dir.py and ant_goal.py), which Zintgraf et al. 2020 (VariBAD) took
over. Episodes have 200 steps of 0.05 s.

- Drawn once per lifetime: a direction, uniform on the whole circle (the source's `Ant-Fwd-Back` has only two), or a goal,
  uniform on the disc of radius 3 m.
- Action `[8]`: torques, within -1 and 1.

`ant-direction`: reward = speed in the direction + 1 - 0.5 |action|² - 0.0005 |contact forces clipped to ±1|², speeds in m/s.
An episode terminates where the torso is below 0.2 m or above 1 m. Observation `[27]`: posture and velocities, without contact
forces, as in the papers.

- `train`, `test`: disjoint by construction (`marked`). There is no `ood:` split, since a circle has no outside.

`ant-goal`: reward = - |x - goal x| - |y - goal y| - 0.1 |action|² - 0.0005 |contact forces clipped to ±1|², in metres. No
episode terminates. Observation `[107]`: posture, velocities, position and contact forces. The papers' 113 hold six more for
the world's own body, which are always 0. With `contact_forces=False` there are 29.

- `train`, `test`: disjoint by construction (`marked`).
- `ood:farther`: goals at 3 to 4 m.

Changed: the position of the torso is read from `qpos`; the papers and Gymnasium read `xpos`, which the integrator leaves up to
3 mm away. The step that falls does not pay the 1 (as in Gymnasium's version 5). With MuJoCo 2 under mujoco-py, the papers'
code had contact forces of 0 throughout; here they are those that MuJoCo computes.

There is no floor and no ceiling, since the best return is not known exactly. The only baseline is `random`. Results and their
commands stand in docs/locomotion.md.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.records import record
from quickstudy.tasks.suites.locomotion.distribution import import_robots, marked, robot_distribution
from quickstudy.tasks.suites.suite import MUJOCO

SUITE = MUJOCO
DIRECTION_SPLITS = ("train", "test")
GOAL_SPLITS = ("train", "test", "ood:farther")
RADIUS, FAR_RADIUS = 3.0, 4.0
"""Radii of the disc of goals, and of the ring around it, in metres."""


@record
class DirectionTask:
    """`direction` `[2]`: x and y of a vector of length 1."""

    direction: Float[Array, "2"]


@record
class PlaceTask:
    """`goal` `[2]`: x and y in metres; episodes begin within 0.1 of the origin."""

    goal: Float[Array, "2"]


def ant_direction(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """An ant with a hidden direction.

    Args:
      horizon: most steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: Rakelly et al. 2019 and their code. Changed: see above.
    """
    return robot_distribution(
        import_robots().Ant,
        _sample_direction,
        name="ant-direction",
        splits=DIRECTION_SPLITS,
        set_task=_set_direction,
        describe=_describe_direction,
        horizon=horizon,
        episodes=episodes,
    )


def ant_goal(*, contact_forces: bool = True, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """An ant with a hidden goal.

    Args:
      contact_forces: whether observations hold the contact forces.
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: Rakelly et al. 2019 and their code. Changed: see above.
    """
    distribution = robot_distribution(
        partial(import_robots().AntAtGoal, contact_forces=contact_forces),
        _sample_goal,
        name="ant-goal",
        splits=GOAL_SPLITS,
        set_task=_set_goal,
        describe=lambda task: {"goal (x, y; m)": task.goal},
        horizon=horizon,
        episodes=episodes,
    )
    return dataclasses.replace(distribution, config={"contact_forces": contact_forces, **distribution.config})


def _circle(share: float | Float[np.ndarray, ""]) -> Float[np.ndarray, "2"]:
    """The point of the circle at this share of a turn."""
    return np.stack([np.cos(2 * math.pi * share), np.sin(2 * math.pi * share)])


def _sample_direction(split: str, generator: np.random.Generator) -> DirectionTask:
    direction = _circle(marked(generator, split, DIRECTION_SPLITS))
    return DirectionTask(direction=direction.astype(np.float32))  # type: ignore[arg-type]


def _sample_goal(split: str, generator: np.random.Generator) -> PlaceTask:
    turn, share = marked(generator, split, GOAL_SPLITS, (2,))
    inner, outer = (RADIUS, FAR_RADIUS) if split == "ood:farther" else (0.0, RADIUS)
    away = math.sqrt(inner**2 + (outer**2 - inner**2) * share)
    return PlaceTask(goal=(away * _circle(turn)).astype(np.float32))  # type: ignore[arg-type]


def _describe_direction(task: DirectionTask) -> dict[str, Any]:
    x, y = np.moveaxis(np.asarray(task.direction), -1, 0)
    return {"direction (degrees, to the left of x)": np.rad2deg(np.arctan2(y, x))}


def _set_direction(environment: Any, task: DirectionTask) -> None:
    environment.goal = tuple(map(float, task.direction))


def _set_goal(environment: Any, task: PlaceTask) -> None:
    environment.goal = tuple(map(float, task.goal))
