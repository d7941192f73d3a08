"""A video of adaptation: one agent on one task, its first episode beside its last.

The lifetime is the one that `evaluate` measures: the same task of the same list, the same key, the same programs. A camera
takes pictures of it. Rounding may differ in the last bit between a lifetime alone and the same one beside others.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, UInt8, UInt32
from PIL import Image

from quickstudy.evaluation.evaluate import draw_tasks, split_label
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, SpecError, UsageError
from quickstudy.protocol.host_distribution import (
    AnyDistribution,
    Camera,
    HostDistribution,
    HostEnvironment,
    StepResult,
    outside_jax,
)
from quickstudy.rollout.collecting.collector import Collector
from quickstudy.rollout.compiled import check_fit
from quickstudy.rollout.nonfinite import with_nonfinite_guard

WIDEST, HIGHEST = 320, 256
"""Pixels of a picture. Larger pictures are made smaller, much smaller ones larger by a whole number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """A moment of an episode.

    Args:
      step: steps of the episode that are over.
      reward: return of the episode so far, in reward units.
      picture: of the environment at that moment.
    """

    step: int
    reward: float
    picture: UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Two episodes of one lifetime.

    Args:
      title: the agent, the distribution, the task and its split.
      task: what the agent has to find out, by name, as the distribution describes it to people.
      episodes: in the lifetime.
      first, last: frames of the first and the last episode, from before the first step to after the last.
      lifetime_return: of all episodes, in reward units.
    """

    title: str
    task: Mapping[str, Any]
    episodes: int
    first: tuple[Frame, ...]
    last: tuple[Frame, ...]
    lifetime_return: float


def adaptation_video(
    agent: Agent,
    params: PyTree,
    distribution: AnyDistribution,
    *,
    split: str,
    task: int = 0,
    tasks: int = 2000,
    seed: int = 0,
    every: int = 4,
    name: str = "the agent",
    progress: Callable[[float], None] = lambda share: None,
) -> Video:
    """Records the first and the last episode of an agent's lifetime on one task.

    Args:
      agent: its lifetimes may have another number of episodes than the distribution's.
      params: of the agent, of one seed.
      distribution: of tasks outside JAX, with a `camera`.
      split: of the distribution.
      task: number of the task in the list, from 0.
      tasks: length of the list; equal lengths and seeds give the list that `evaluate` measures on.
      seed: of the list and of the lifetimes' keys.
      every: steps from one frame to the next.
      name: of the agent, for the title.
      progress: called with the share of the lifetime that is over.
    Raises:
      UsageError: tasks written in JAX or without a camera, a lifetime of one episode, a number out of range; or nothing can
        be drawn on this machine.
      UnknownNameError: no such split.
      SpecError: the agent was made for other tasks.
      CollectingError: the environment failed during the lifetime.
    """
    outside = outside_jax(distribution, needed_for="a video")
    make_camera = _checked_camera(outside, agent, task=task, tasks=tasks, every=every)
    task_list, keys = draw_tasks(outside, split=split, tasks=tasks, seed=seed)
    chosen = jax.tree.map(lambda leaf: np.asarray(leaf)[task], task_list)
    key = np.asarray(jax.random.key_data(keys[task : task + 1]))
    wanted = (0, agent.spec.episodes - 1)
    environment = outside.open()
    camera = make_camera(environment)
    recorded = _Recorded(environment, camera, wanted=wanted, horizon=outside.spec.horizon, every=every)
    collector = Collector(
        dataclasses.replace(outside, open=lambda: recorded),
        parallel_environments=1,
        heartbeat=lambda steps: progress(steps / agent.spec.lifetime_steps),
    )
    try:
        guarded = with_nonfinite_guard(agent)
        lifetime = collector.run(guarded, params, [outside.as_drawn(chosen)], key, rewards_only=True)
    finally:
        camera.close()
        collector.close()
    if lifetime.lost.any():
        raise CollectingError(f"the environment failed, so there is no video. It said:\n{''.join(lifetime.faults)}")
    return Video(
        title=f"{name} on {outside.name}, task {task} of {split} ({split_label(split)})",
        task=outside.describe(chosen),
        episodes=agent.spec.episodes,
        first=tuple(recorded.frames[wanted[0]]),
        last=tuple(recorded.frames[wanted[1]]),
        lifetime_return=float(lifetime.reward[~lifetime.nonfinite].sum(dtype=np.float64)),
    )


def _checked_camera(
    distribution: HostDistribution, agent: Agent, *, task: int, tasks: int, every: int
) -> Callable[[Any], Camera]:
    """The distribution's camera; raises unless everything that was asked for makes sense."""
    if distribution.camera is None:
        raise UsageError(f"nothing can be seen of {distribution.name}: give its HostDistribution a camera.")
    if agent.spec.episodes < 2:
        raise UsageError("a video shows the first episode beside the last; lifetimes have 1 episode. Make it 2 or more.")
    if not 0 <= task < tasks:
        raise UsageError(f"task must be the number of one of the {tasks} tasks, 0 to {tasks - 1}; came {task}.")
    if every < 1:
        raise UsageError(f"every must be 1 step or more; came {every}.")
    check_fit(agent, dataclasses.replace(distribution.spec, episodes=agent.spec.episodes))
    return distribution.camera


class _Recorded:
    """An environment with a camera that takes frames of some of its episodes."""

    def __init__(self, environment: HostEnvironment, camera: Camera, *, wanted: tuple[int, ...], horizon: int, every: int):
        self._environment, self._camera, self._horizon, self._every = environment, camera, horizon, every
        self.frames: dict[int, list[Frame]] = {episode: [] for episode in wanted}

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Begins the lifetime."""
        self._environment.begin(task, key)

    def reset(self, episode: int) -> Any:
        """Begins an episode, and takes a frame if the episode is wanted."""
        observation = self._environment.reset(episode)
        self._episode, self._step, self._return = episode, 0, 0.0
        self._take(observation)
        return observation

    def step(self, slot: int, action: Any) -> StepResult:
        """Steps, and takes a frame every few steps and at the end."""
        stepped = self._environment.step(slot, action)
        self._step += 1
        self._return += float(np.float32(stepped.reward))
        ended = stepped.terminated or stepped.truncated or self._step == self._horizon
        if ended or self._step % self._every == 0:
            self._take(stepped.observation)
        return stepped

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()

    def _take(self, observation: Any) -> None:
        if self._episode in self.frames:
            picture = _sized(np.asarray(self._camera.take(observation)))
            self.frames[self._episode].append(Frame(step=self._step, reward=self._return, picture=picture))


def _sized(picture: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """A picture in the size of a video.

    Raises:
      SpecError: a camera gave something else.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise SpecError(f"a camera gives pictures uint8 [height, width, 3]; came {picture.dtype} {list(picture.shape)}.")
    height, width = picture.shape[:2]
    scale = min(HIGHEST / height, WIDEST / width)
    if scale >= 1:
        return picture.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
