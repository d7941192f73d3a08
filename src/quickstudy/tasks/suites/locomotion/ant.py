"""Ant on MuJoCo: the direction to walk in, or the place to walk to, has to be found out from rewards.

As in the code of Rakelly et al. 2019 (PEARL: rlkit/envs/ant_dir.py and ant_goal.py), which Zintgraf et al. 2020 (VariBAD)
took over: episodes of 200 steps, 0.05 s each. Directions are uniform on the whole circle (their `Ant-Fwd-Back` has two of
them).

`ant-direction`: reward = speed in the direction + 1 - 0.5 |action|² - 0.0005 |contact forces within ±1|². An episode
terminates where the torso is below 0.2 m or above 1 m. Observations have 27 numbers, without contact forces, as in the
papers.

- `train`, `test`: disjoint by construction: `marked` stamps the split's number on every angle. No `ood:` split: nothing lies
  beyond a circle.

`ant-goal`: reward = - |x - goal x| - |y - goal y| - 0.1 |action|² - 0.0005 |contact forces within ±1|², goals uniform on the
disc of radius 3 m. Nothing terminates. Observations show where the ant is, and contact forces: 107 numbers. The papers' 113
hold six more for the world's own body, which are always 0. `contact_forces=False` leaves 29.

- `train`, `test`: disjoint in the same way.
- `ood:farther`: goals at 3 to 4 m.

Changed: where the torso is is read from `qpos`; the papers and Gymnasium read `xpos`, which the integrator leaves up to 3 mm
away. The step that falls does not pay the 1 (Gymnasium's version 5 mended that). Whoever ran the papers' code with MuJoCo 2
under mujoco-py had contact forces of 0 throughout; here they are what MuJoCo computes.

No floor or ceiling: nobody knows the best return exactly.
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

DIRECTION_SPLITS = ("train", "test")
GOAL_SPLITS = ("train", "test", "ood:farther")
RADIUS, FAR_RADIUS = 3.0, 4.0
"""Of the disc that goals lie on, and of the ring around it, in metres."""


@record
class DirectionTask:
    """`direction` `[2]`: of length 1, x and y."""

    direction: Float[Array, "2"]


@record
class PlaceTask:
    """`goal` `[2]`: x and y, in metres from where an episode begins, give or take 0.1."""

    goal: Float[Array, "2"]


def ant_direction(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """An ant that looks for the direction it is wanted to walk in.

    Args:
      horizon: most steps in one episode.
      episodes: in one lifetime.
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
    """An ant that looks for the place it is wanted at.

    Args:
      contact_forces: whether observations show them.
      horizon: steps in one episode.
      episodes: in one lifetime.
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


def _circle(share: np.ndarray) -> np.ndarray:
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
