"""The common part of locomotion tasks: loading the robots, numbers that carry their split, and the distribution."""

import dataclasses
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.host_distribution import Camera, HostDistribution
from quickstudy.protocol.task_distribution import GRID_CELLS, SPLIT_CELLS
from quickstudy.tasks.gymnasium import GymnasiumEnvironment, from_gymnasium
from quickstudy.tasks.suites.suite import MUJOCO


def import_robots() -> Any:
    """The module of robots.

    Raises:
      MissingExtraError: MuJoCo, or a package that Gymnasium imports with it, is not installed.
    """
    MUJOCO.check()
    return importlib.import_module("quickstudy.tasks.suites.locomotion.robots")


def marked(generator: np.random.Generator, split: str, splits: tuple[str, ...], shape: tuple[int, ...] = ()) -> np.ndarray:
    """Uniform numbers in [0, 1) that carry their split, drawn with NumPy: the same grid as that of `mark_split`."""
    cells = SPLIT_CELLS * generator.integers(GRID_CELLS, size=shape) + splits.index(split)
    return np.asarray(cells / (SPLIT_CELLS * GRID_CELLS))


def robot_distribution(
    robot: Callable[[], gymnasium.Env],
    sample: Callable[[str, np.random.Generator], Any],
    *,
    name: str,
    splits: tuple[str, ...],
    set_task: Callable[[Any, Any], None],
    describe: Callable[[Any], dict[str, Any]],
    horizon: int,
    episodes: int,
) -> HostDistribution:
    """The distribution of a robot that is made once and set to every task."""

    def make(task: Any) -> gymnasium.Env:
        environment = robot()
        set_task(environment, task)
        return environment

    distribution = from_gymnasium(
        make,
        sample,
        set_task=set_task,
        splits=splits,
        describe=describe,
        horizon=horizon,
        episodes=episodes,
        name=name,
    )
    config = {"horizon": horizon, "episodes": episodes}
    baselines = {"random": partial(random_agent, distribution.spec)}
    return dataclasses.replace(distribution, config=config, camera=_camera, baselines=baselines)


def _camera(environment: GymnasiumEnvironment) -> Camera:
    """A camera that follows the robot."""
    cameras = importlib.import_module("quickstudy.tasks.suites.mujoco_camera")  # which needs MuJoCo
    return cameras.MujocoCamera(lambda: environment.environment.unwrapped, view="track")  # type: ignore[union-attr]
