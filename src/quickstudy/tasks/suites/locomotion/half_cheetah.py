"""Half-cheetah on MuJoCo: the speed, or the direction, to run at must be found out from rewards.

Both settings are those of Finn et al. 2017 (MAML, section 5.3) as Rakelly et al. 2019 (PEARL) and Zintgraf et al. 2020
(VariBAD) run them.

- Drawn once per lifetime: the goal speed in m/s (`half-cheetah-velocity`), or the direction, 1 forwards or -1 backwards with
  the same probability (`half-cheetah-direction`).
- Observation `[17]`: posture and velocities, without the position; radians, metres, and per second.
- Action `[6]`: torques, within -1 and 1. A step lasts 0.05 s; an episode has 200 steps and never terminates.
- Reward: - |speed - goal| - 0.05 |action|², or direction x speed - 0.05 |action|²; speeds in m/s.

Splits of `half-cheetah-velocity`:

- `train`, `test`: goals uniform in [0, 3] (MAML's paper has [0, 2]), disjoint by construction (`marked`).
- `ood:faster`: goals in [3, 4].

Splits of `half-cheetah-direction`:

- `train`, `test`: **there are two tasks, and both splits hold both**, as in all papers. So that a list of tasks names its
  split, `test` multiplies the direction by 1.000001, which no agent can notice. A result on `test` shows how well an agent
  distinguishes the two tasks, and nothing about new tasks.

The coefficient of the control cost, 0.05, is that of the code of PEARL (rlkit/envs/half_cheetah_vel.py, half_cheetah_dir.py:
0.5 x 0.1) and VariBAD; Gymnasium's own half-cheetah takes 0.1. Changed: observations are the 17 numbers of Gymnasium. Those of
PEARL and VariBAD have 20, with the position of the torso, which neither task needs. The simulator is the installed MuJoCo,
where the papers had 1.5 or 2, so their returns are close to those here and not equal.

There is no floor and no ceiling, since the best return is not known exactly. The only baseline is `random`. Results and their
commands stand in docs/locomotion.md.
"""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.records import record
from quickstudy.tasks.suites.locomotion.distribution import import_robots, marked, robot_distribution
from quickstudy.tasks.suites.suite import MUJOCO

SUITE = MUJOCO
SPEED_SPLITS = ("train", "test", "ood:faster")
DIRECTION_SPLITS = ("train", "test")
FASTEST, FASTER = 3.0, 4.0
"""Upper bounds of the goals of `train` and `test`, and of `ood:faster`, in metres per second."""


@record
class SpeedTask:
    """`speed` `[]`: the goal, in metres per second, forwards."""

    speed: Float[Array, ""]


@record
class CheetahDirectionTask:
    """`direction` `[]`: 1 forwards, -1 backwards; in `test` times 1.000001."""

    direction: Float[Array, ""]


def half_cheetah_velocity(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """A half-cheetah with a hidden goal speed.

    Args:
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
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
    """A half-cheetah with a hidden direction.

    Args:
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
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


def _sample_direction(split: str, generator: np.random.Generator) -> CheetahDirectionTask:
    mark = 1.0 + DIRECTION_SPLITS.index(split) * 2.0**-20
    return CheetahDirectionTask(direction=np.float32(mark * generator.choice((-1.0, 1.0))))  # type: ignore[arg-type]


def _set_speed(environment: Any, task: SpeedTask) -> None:
    environment.goal = float(task.speed)


def _set_direction(environment: Any, task: CheetahDirectionTask) -> None:
    environment.goal = float(task.direction)
