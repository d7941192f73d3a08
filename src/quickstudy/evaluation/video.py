"""A film of adaptation: one agent on one task, its first episode beside its last.

The lifetime is the one that `evaluate` measures: the same task of the same list, the same key, the same programs. Only someone
looks on. Computed beside other lifetimes or alone, the same numbers may be rounded differently in their last bit.
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
from quickstudy.protocol.host_distribution import AnyDistribution, Camera, HostDistribution, HostEnvironment, StepResult
from quickstudy.rollout.collecting.collector import Collector
from quickstudy.rollout.compiled import check_fit

WIDEST, HIGHEST = 320, 256
"""Points of a picture in a film. Larger ones are made smaller, much smaller ones larger by a whole number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """A moment of an episode: how many of its steps were over, what they had returned, what stood there then."""

    step: int
    reward: float
    picture: UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Two episodes of one lifetime.

    Args:
      title: who lives where.
      task: what the agent had to find out, by name, as the distribution describes it to people.
      episodes: in the lifetime.
      first, last: shots of the first and the last episode, from before the first step to after the last.
      lifetime_return: of all episodes.
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
    """Films an agent's lifetime on one task.

    Args:
      agent: who lives; it may have another number of episodes than the distribution.
      params: of the agent, of one seed.
      distribution: of tasks that live outside and can be seen: its `camera` is given.
      split: of the distribution.
      task: which one of the list, from 0.
      tasks: length of the list; equal lengths and seeds give the list that `evaluate` measures on.
      seed: of the list and its luck.
      every: steps from one shot to the next.
      name: what the agent is called.
      progress: called with the share of the lifetime that is over.
    Raises:
      UsageError: tasks written in JAX or without a camera, a lifetime of one episode, a number out of range; or nothing can
        be drawn on this machine.
      UnknownNameError: no such split.
      SpecError: the agent was made for other tasks.
      CollectingError: the lifetime was lost.
    """
    if not isinstance(distribution, HostDistribution):
        raise UsageError(f"films are made of tasks that live outside; those of {distribution.name} are written in JAX.")
    if distribution.camera is None:
        raise UsageError(f"nothing can be seen of {distribution.name}: give its HostDistribution a camera.")
    if agent.spec.episodes < 2:
        raise UsageError("a film shows the first episode beside the last; lifetimes of 1 episode have one. Make it 2 or more.")
    if not 0 <= task < tasks:
        raise UsageError(f"task must be the number of one of the {tasks} tasks, 0 to {tasks - 1}; came {task}.")
    if every < 1:
        raise UsageError(f"every must be 1 step or more; came {every}.")
    check_fit(agent, dataclasses.replace(distribution.spec, episodes=agent.spec.episodes))
    task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=seed)
    chosen = jax.tree.map(lambda leaf: np.asarray(leaf)[task], task_list)
    key = np.asarray(jax.random.key_data(keys[task : task + 1]))
    wanted = (0, agent.spec.episodes - 1)
    environment = distribution.open()
    camera = distribution.camera(environment)
    recorded = _Recorded(environment, camera, wanted=wanted, horizon=distribution.spec.horizon, every=every)
    collector = Collector(
        dataclasses.replace(distribution, open=lambda: recorded),
        parallel_environments=1,
        heartbeat=lambda steps: progress(steps / agent.spec.lifetime_steps),
    )
    try:
        lived = collector.run(agent, params, [chosen], key, rewards_only=True)
    finally:
        camera.close()
        collector.close()
    if lived.lost.any():
        raise CollectingError(f"the lifetime was lost, and the film with it. What came up:\n{''.join(lived.faults)}")
    return Video(
        title=f"{name} on {distribution.name}, task {task} of {split} ({split_label(split)})",
        task=distribution.describe(chosen),
        episodes=agent.spec.episodes,
        first=tuple(recorded.shots[wanted[0]]),
        last=tuple(recorded.shots[wanted[1]]),
        lifetime_return=float(lived.reward.sum(dtype=np.float64)),
    )


class _Recorded:
    """An environment that a camera looks at while it is stepped."""

    def __init__(self, environment: HostEnvironment, camera: Camera, *, wanted: tuple[int, ...], horizon: int, every: int):
        self._environment, self._camera, self._horizon, self._every = environment, camera, horizon, every
        self.shots: dict[int, list[Frame]] = {episode: [] for episode in wanted}

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Begins the lifetime."""
        self._environment.begin(task, key)

    def reset(self, episode: int) -> Any:
        """Begins an episode, and looks if it is wanted."""
        observation = self._environment.reset(episode)
        self._episode, self._step, self._return = episode, 0, 0.0
        self._look(observation)
        return observation

    def step(self, slot: int, action: Any) -> StepResult:
        """Steps, and looks now and then and at the end."""
        stepped = self._environment.step(slot, action)
        self._step += 1
        self._return += float(np.float32(stepped.reward))
        ended = stepped.terminated or stepped.truncated or self._step == self._horizon
        if ended or self._step % self._every == 0:
            self._look(stepped.observation)
        return stepped

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()

    def _look(self, observation: Any) -> None:
        if self._episode in self.shots:
            picture = _sized(np.asarray(self._camera.take(observation)))
            self.shots[self._episode].append(Frame(step=self._step, reward=self._return, picture=picture))


def _sized(picture: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """A picture in the size of a film.

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
