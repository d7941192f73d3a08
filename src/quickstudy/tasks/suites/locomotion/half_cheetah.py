"""Half-cheetah on MuJoCo: the speed to run at, or the direction to run in, has to be found out from rewards.

Both settings are those of Finn et al. 2017 (MAML, section 5.3) as Rakelly et al. 2019 (PEARL) and Zintgraf et al. 2020
(VariBAD) run them: episodes of 200 steps that nothing ends early. A step lasts 0.05 s; speeds are in metres per second.

`half-cheetah-velocity`: reward = - |speed - goal| - 0.05 |action|², goals uniform in [0, 3]. (MAML's paper has [0, 2].)

- `train`, `test`: as above, disjoint by construction: `marked` stamps the split's number on every goal.
- `ood:faster`: goals in [3, 4].

`half-cheetah-direction`: reward = direction x speed - 0.05 |action|², forwards or backwards with even chances.

- `train`, `test`: **there are two tasks, and both splits hold both**, as in all papers. So that a list of tasks says what it
  is for, `test` pays progress 1.000001 times; no agent could tell. A result on `test` says how well the two are told apart,
  and nothing about tasks never met.

The coefficient of the control cost, 0.05, is that of the code of PEARL (rlkit/envs/half_cheetah_vel.py, half_cheetah_dir.py:
0.5 x 0.1) and VariBAD; Gymnasium's own half-cheetah takes 0.1. Changed: observations have Gymnasium's 17 numbers. Those of
PEARL and VariBAD have 20: the same, and where the torso is, which neither task needs. Simulated by the MuJoCo that is
installed, where they had 1.5 or 2: their returns are near to, not equal to, what can be had here.

No floor or ceiling: nobody knows the best return exactly.
"""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.records import record
from quickstudy.tasks.suites.locomotion.distribution import import_robots, marked, robot_distribution

SPEED_SPLITS = ("train", "test", "ood:faster")
DIRECTION_SPLITS = ("train", "test")
FASTEST, FASTER = 3.0, 4.0
"""Goals of `train` and `test` lie below the first, those of `ood:faster` from there to the second; metres per second."""


@record
class SpeedTask:
    """`speed` `[]`: to run at, in metres per second, forwards."""

    speed: Float[Array, ""]


@record
class SideTask:
    """`direction` `[]`: 1 forwards, -1 backwards; in `test` a millionth more."""

    direction: Float[Array, ""]


def half_cheetah_velocity(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """A half-cheetah that looks for the speed it is wanted at.

    Args:
      horizon: steps in one episode.
      episodes: in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: Finn et al. 2017, section 5.3; Rakelly et al. 2019; Zintgraf et al. 2020. Changed: see above.
    """
    robots = import_robots()
    return robot_distribution(
        partial(robots.HalfCheetah, robots.nearness),
        _sample_speed,
        name="half-cheetah-velocity",
        splits=SPEED_SPLITS,
        set_task=_set_speed,
        describe=lambda task: {"speed (m/s)": task.speed},
        horizon=horizon,
        episodes=episodes,
    )


def half_cheetah_direction(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """A half-cheetah that looks for the direction it is wanted to run in.

    Args:
      horizon: steps in one episode.
      episodes: in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: Finn et al. 2017, section 5.3; Rakelly et al. 2019; Zintgraf et al. 2020. Changed: see above.
    """
    robots = import_robots()
    return robot_distribution(
        partial(robots.HalfCheetah, robots.progress),
        _sample_direction,
        name="half-cheetah-direction",
        splits=DIRECTION_SPLITS,
        set_task=_set_direction,
        describe=lambda task: {"direction (1 forwards, -1 backwards)": task.direction},
        horizon=horizon,
        episodes=episodes,
    )


def _sample_speed(split: str, generator: np.random.Generator) -> SpeedTask:
    share = marked(generator, split, SPEED_SPLITS)
    speed = FASTEST + (FASTER - FASTEST) * share if split == "ood:faster" else FASTEST * share
    return SpeedTask(speed=np.float32(speed))  # type: ignore[arg-type]


def _sample_direction(split: str, generator: np.random.Generator) -> SideTask:
    mark = 1.0 + DIRECTION_SPLITS.index(split) * 2.0**-20
    return SideTask(direction=np.float32(mark * generator.choice((-1.0, 1.0))))  # type: ignore[arg-type]


def _set_speed(environment: Any, task: SpeedTask) -> None:
    environment.goal = float(task.speed)


def _set_direction(environment: Any, task: SideTask) -> None:
    environment.goal = float(task.direction)
