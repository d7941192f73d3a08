"""Hopper and walker on MuJoCo with unknown bodies: masses, inertias, damping and friction differ from task to task.

The setting of `rand_param_envs`, which Rothfuss et al. 2019 (ProMP) and Rakelly et al. 2019 (PEARL, `Walker-2D-Params`) run.

- Drawn once per lifetime: factors on the numbers of the robot's file. They are 1.5^u for the mass and the inertia of each body
  and the friction of each shape, and 1.3^u for the damping of each joint, with independent u uniform in [-3, 3].
- Observation `[11]` (hopper) or `[17]` (walker): posture and velocities, without the position; radians, metres, and per
  second.
- Action `[3]` or `[6]`: torques, within -1 and 1. Episodes have at most 200 steps.
- Reward: speed forwards + 1 - 0.001 |action|², speeds in m/s. An episode terminates when the robot falls: hopper below 0.7 m
  or tilted by 0.2 rad, walker below 0.8 m, above 2 m or tilted by 1 rad.

Splits:

- `train`, `test`: as above, disjoint by construction: `marked` writes the number of the split into every u.
- `ood:heavier`: u of every mass in [3, 4], so that each body is 3.4 to 5.1 times as heavy as in the file.

Changed: the source draws a factor for each of a body's three inertias and of a shape's three frictions. Here one factor serves
all three inertias, and only sliding friction is drawn. The dynamics have the same distribution: robots in a plane turn about
one axis, and contacts here use sliding friction alone. Quantities that MuJoCo derives from masses are computed again for every
task (`mj_setConst`); the source keeps the old ones. Both feet of the walker have the same friction (as in Gymnasium's version
5), the step that falls does not pay the 1, and a step of the walker is five frames as in the source, where Gymnasium's has
four. The source ran on MuJoCo 1.3.

There is no floor and no ceiling, since the best return is not known exactly. The only baseline is `random`. Results and their
commands stand in docs/locomotion.md.
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.records import record
from quickstudy.tasks.suites.locomotion.distribution import import_robots, marked, robot_distribution
from quickstudy.tasks.suites.suite import MUJOCO

SUITE = MUJOCO
SPLITS = ("train", "test", "ood:heavier")
BASE, DAMPING_BASE = 1.5, 1.3
REACH, HEAVY_REACH = 3.0, 4.0
"""Largest absolute exponent of `train` and `test`, and largest exponent of a mass in `ood:heavier`."""


@record
class BodyTask:
    """Factors on the numbers of the robot's file.

    `mass`, `inertia` `[bodies]`: of each body. `damping` `[joints]`: of each joint that is damped. `friction` `[shapes]`:
    sliding, of each shape, the floor first; a contact has the greater of its two.
    """

    mass: Float[Array, "bodies"]
    inertia: Float[Array, "bodies"]
    damping: Float[Array, "joints"]
    friction: Float[Array, "shapes"]


def hopper_parameters(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """A hopper with an unknown body.

    Args:
      horizon: most steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: rand_param_envs, hopper_rand_params.py; Rothfuss et al. 2019. Changed: see above.
    """
    return _of_bodies(import_robots().Hopper, "hopper-parameters", horizon, episodes)


def walker_parameters(*, horizon: int = 200, episodes: int = 2) -> HostDistribution:
    """A walker with an unknown body.

    Args:
      horizon: most steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      MissingExtraError: MuJoCo is not installed.
    Source: rand_param_envs, walker_rand_params.py; Rothfuss et al. 2019; Rakelly et al. 2019. Changed: see above.
    """
    return _of_bodies(import_robots().Walker, "walker-parameters", horizon, episodes)


def _of_bodies(robot: Any, name: str, horizon: int, episodes: int) -> HostDistribution:
    example = robot()
    bodies, joints, shapes = import_robots().parts_of(example)
    example.close()
    words = [", ".join(names) for names in (bodies, joints, shapes)]

    def sample(split: str, generator: np.random.Generator) -> BodyTask:
        def factors(base: float, names: list[str], low: float = -REACH, high: float = REACH) -> Any:
            exponents = low + (high - low) * marked(generator, split, SPLITS, (len(names),))
            return (base**exponents).astype(np.float32)

        heavy = (REACH, HEAVY_REACH) if split == "ood:heavier" else (-REACH, REACH)
        return BodyTask(
            mass=factors(BASE, bodies, *heavy),
            inertia=factors(BASE, bodies),
            damping=factors(DAMPING_BASE, joints),
            friction=factors(BASE, shapes),
        )

    def describe(task: BodyTask) -> dict[str, Any]:
        return {
            f"mass (times; {words[0]})": task.mass,
            f"inertia (times; {words[0]})": task.inertia,
            f"damping (times; {words[1]})": task.damping,
            f"friction (times; {words[2]})": task.friction,
        }

    return robot_distribution(
        robot,
        sample,
        name=name,
        splits=SPLITS,
        set_task=_set_body,
        describe=describe,
        horizon=horizon,
        episodes=episodes,
    )


def _set_body(environment: Any, task: BodyTask) -> None:
    import_robots().set_body(environment, mass=task.mass, inertia=task.inertia, damping=task.damping, friction=task.friction)
