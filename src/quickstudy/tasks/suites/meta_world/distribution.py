"""Meta-World: a robot arm at a table must find out its job and the position of its goal (ML1, ML10, ML45).

Drawn once per lifetime: one environment of the suite and one of its 50 goals in a split, both by number. So tasks are drawn,
stored and compared without the suite. Only the processes that step it need it (`pip install 'quickstudy[metaworld]'`).

- Observation `[39]`: the present state (hand position in metres, gripper opening in [0, 1], position and quaternion of two
  objects), the state one step ago, and three zeros in place of the goal.
- Action `[4]` in [-1, 1]: the move of the hand along three axes, and the force of the gripper.
- Reward: the suite's own. v2 lies between 0 and 10; v1 has a scale of its own in every environment.

An episode always lasts `horizon` steps, since the suite does not end it at success, and every episode starts in the same
state. It counts as a success if any of its steps is one. There is no floor and no ceiling; the only baseline is `random`.

Splits are the suite's own, and share no task by construction:

- `metaworld-ml1`: one environment; 50 goals to train on, 50 others to test on, drawn from `goal_seed` and `goal_seed + 1`.
- `metaworld-ml10`, `metaworld-ml45`: 10 or 45 environments to train on, 5 others to test on, 50 goals each, from `goal_seed`.

docs/meta-world.md lists the faults of the suite that are corrected here, and results with their commands.

Source: Yu et al. 2020 (arXiv:1910.10897), the release metaworld 3.1.1 with MuJoCo 3.3.0. Changed: neither
physics nor rewards; tasks are drawn independently, where the suite draws every environment equally often in a batch.
"""

from functools import partial
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.host_distribution import Camera, HostDistribution, HostEnvironment
from quickstudy.protocol.records import Spec, record
from quickstudy.tasks.suites.meta_world.goals import DRAWS, GOALS, ML10_TEST, ML10_TRAIN, ML45_TEST, ML45_TRAIN, goals_of
from quickstudy.tasks.suites.suite import META_WORLD

SUITE = META_WORLD
ENVIRONMENTS = tuple(DRAWS)
LONGEST = 500
"""Most steps of an episode; the suite refuses further ones."""

Reward = Literal["v2", "v1"]


@record
class MetaWorldTask:
    """`environment` `[]`: place in `ENVIRONMENTS`; `goal` `[]`: 0 to 49; `held_out` `[]`: 1 for a test task, 0 for others."""

    environment: Int[np.ndarray, ""]
    goal: Int[np.ndarray, ""]
    held_out: Int[np.ndarray, ""]


def metaworld_ml1(
    *, task: str = "reach", horizon: int = LONGEST, episodes: int = 3, reward: Reward = "v2", goal_seed: int = 0
) -> HostDistribution:
    """ML1: one environment, hidden goals.

    Args:
      task: one of the suite's 50 environments, without its version: reach, push, pick-place, ...
      horizon: steps of an episode, at most 500, the suite's own; fewer make it harder.
      episodes: episodes in one lifetime. For 10 episodes of adaptation and 3 of evaluation give 13, and read the last three.
      reward: the suite's reward function; v2 lies between 0 and 10, v1 has a scale of its own in every environment.
      goal_seed: the seed that the suite's benchmark would be made with.
    Raises:
      UnknownNameError: no such environment or reward.
      SpecError: lengths that the suite does not have, or a negative seed.
    """
    if task not in DRAWS:
        raise UnknownNameError("Meta-World environment", task, DRAWS)
    return _benchmark(
        "metaworld-ml1", (task,), (task,), horizon, episodes, reward, seeds=(goal_seed, goal_seed + 1), own={"task": task}
    )


def metaworld_ml10(*, horizon: int = LONGEST, episodes: int = 3, reward: Reward = "v2", goal_seed: int = 0) -> HostDistribution:
    """ML10: 10 environments to train on, 5 others to test on, hidden goals.

    Args:
      horizon: steps of an episode, at most 500, the suite's own.
      episodes: episodes in one lifetime.
      reward: the suite's reward function.
      goal_seed: the seed that the suite's benchmark would be made with.
    Raises:
      UnknownNameError: no such reward.
      SpecError: lengths that the suite does not have, or a negative seed.
    """
    return _benchmark("metaworld-ml10", ML10_TRAIN, ML10_TEST, horizon, episodes, reward, seeds=(goal_seed, goal_seed))


def metaworld_ml45(*, horizon: int = LONGEST, episodes: int = 3, reward: Reward = "v2", goal_seed: int = 0) -> HostDistribution:
    """ML45: 45 environments to train on, 5 others to test on, hidden goals.

    Args:
      horizon: steps of an episode, at most 500, the suite's own.
      episodes: episodes in one lifetime.
      reward: the suite's reward function.
      goal_seed: the seed that the suite's benchmark would be made with.
    Raises:
      UnknownNameError: no such reward.
      SpecError: lengths that the suite does not have, or a negative seed.
    """
    return _benchmark("metaworld-ml45", ML45_TRAIN, ML45_TEST, horizon, episodes, reward, seeds=(goal_seed, goal_seed))


def _benchmark(
    name: str,
    train: tuple[str, ...],
    test: tuple[str, ...],
    horizon: int,
    episodes: int,
    reward: str,
    *,
    seeds: tuple[int, int],
    own: dict[str, str] | None = None,
) -> HostDistribution:
    if reward not in get_args(Reward):  # the suite treats any other word as v1
        raise UnknownNameError("reward of Meta-World", reward, get_args(Reward))
    if isinstance(horizon, int) and horizon > LONGEST:
        raise SpecError(f"Meta-World refuses to go on after {LONGEST} steps; came horizon {horizon}. Give {LONGEST} or fewer.")
    if not 0 <= seeds[0] < 2**32 - 1:
        raise SpecError(f"goal_seed must be 0 or more and less than 2^32 - 1; came {seeds[0]}.")
    spec = Spec(
        # The suite's own bounds do not hold: observations after a reset can lie outside them.
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (39,), np.float32),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32),
        horizon=horizon,
        episodes=episodes,
    )
    return HostDistribution(
        name=name,
        config={**(own or {}), "horizon": horizon, "episodes": episodes, "reward": reward, "goal_seed": seeds[0]},
        spec=spec,
        sample=partial(_drawn, train, test),
        open=partial(open_environment, train, test, seeds, reward),
        describe=partial(_described, train, test, seeds),
        measures={"success": "any"},
        camera=_camera,
        baselines={"random": partial(random_agent, spec)},
        shown=("environment",) if len(train) > 1 else (),  # the objects on the table can be observed
    )


def _drawn(train: tuple[str, ...], test: tuple[str, ...], split: str, generator: np.random.Generator) -> MetaWorldTask:
    chosen = test if split == "test" else train
    return MetaWorldTask(
        environment=np.asarray(ENVIRONMENTS.index(chosen[generator.integers(len(chosen))]), np.int32),
        goal=np.asarray(generator.integers(GOALS), np.int32),
        held_out=np.asarray(split == "test", np.int32),
    )


def open_environment(train: tuple[str, ...], test: tuple[str, ...], seeds: tuple[int, int], reward: str) -> HostEnvironment:
    """An environment for any task of a benchmark, in the process that steps it.

    Raises:
      MissingExtraError: the suite is not installed where this is called.
    """
    META_WORLD.check()
    from quickstudy.tasks.suites.meta_world.environment import MetaWorldEnvironment

    return MetaWorldEnvironment((goals_of(train, seeds[0]), goals_of(test, seeds[1])), reward=reward)


def _camera(environment: Any) -> Camera:
    """A view of the table from a corner."""
    from quickstudy.tasks.suites.mujoco_camera import MujocoCamera

    return MujocoCamera(lambda: environment.suite, view="corner4", turned=True)


def _described(
    train: tuple[str, ...], test: tuple[str, ...], seeds: tuple[int, int], task: MetaWorldTask
) -> dict[str, NDArray]:
    name, held_out = ENVIRONMENTS[int(task.environment)], int(task.held_out)
    vector = goals_of(test if held_out else train, seeds[held_out])[name][int(task.goal)]
    return {"environment": np.asarray(name), "object and goal (x, y, z each; metres)": vector}
