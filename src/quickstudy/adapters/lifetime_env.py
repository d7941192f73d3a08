"""A whole lifetime on one task as one episode of Gymnasium, for agents of other libraries.

The observation has everything that quickstudy's agents receive between two decisions: the action, the reward, whether an
episode of the task has ended, and the observation that followed. An agent with a recurrent policy can learn to
adapt from it.

    episode of Gymnasium     lifetime on one task
    reset()                  a new task is drawn
    truncated                the lifetime is over
"""

from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.protocol.action_spaces import user_action
from quickstudy.protocol.casting import host_flag, host_number, host_observation
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.given_actions import GivenActions
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.records import blank_observation
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.nonfinite import LARGEST_REWARD
from quickstudy.rollout.session import end_of_episode, next_slot

NOT_ENDED, TERMINATED, TRUNCATED = range(3)
"""Values of `ended` in an observation."""


class _Followed(NamedTuple):
    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


class LifetimeEnv(gymnasium.Env):
    """An environment whose episodes are lifetimes on tasks of a distribution.

    An observation is a dict:

        observation     that the next action is for; the first of an episode where one has just ended
        action          the last action; an arbitrary element of the action space before the first
        reward          `[1]`, that followed it
        ended           0, or how an episode of the task ended with it: 1 terminated, 2 truncated
        successor       the observation that followed it; at the end of an episode the true last one

    Args:
      distribution: of the tasks, of either kind. Tasks outside JAX are opened in this process.
      split: that tasks are drawn from.
      seed: of tasks and environments, until `reset(seed=...)` gives another one.
    Raises:
      UsageError: no such split, or no task distribution.
    Example:
      >>> import quickstudy as qs
      >>> env = LifetimeEnv(qs.tasks.make("bernoulli-bandit", arms=2, pulls=3))
      >>> first, _ = env.reset(seed=0)
      >>> [env.step(0)[3] for _ in range(3)]
      [False, False, True]
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(self, distribution: AnyDistribution, *, split: str = "train", seed: int = 0):
        if not isinstance(distribution, TaskDistribution | HostDistribution):
            raise UsageError(f"tasks must be a task distribution, as qs.tasks.make(NAME) gives; came {distribution!r:.80}.")
        self.distribution, self.split = distribution, split
        spec = distribution.spec
        if split not in distribution.splits:
            raise UsageError(f"{distribution.name} has no split {split!r}; it has {', '.join(distribution.splits)}.")
        self.action_space = spec.action_space
        self.observation_space = gymnasium.spaces.Dict(
            {
                "observation": spec.observation_space,
                "action": spec.action_space,
                "reward": gymnasium.spaces.Box(-LARGEST_REWARD, LARGEST_REWARD, (1,), np.float32),
                "ended": gymnasium.spaces.Discrete(3),
                "successor": spec.observation_space,
            }
        )
        blank = blank_observation(spec)
        self._kind, self._actions = blank.dtype, GivenActions(spec.action_space)
        self._where: _Compiled | _Host = (
            _Host(distribution) if isinstance(distribution, HostDistribution) else _Compiled(distribution)
        )
        self._seed, self._over = seed, True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """A new lifetime on a new task.

        Args:
          seed: of everything from here on.
          options: `task`, to begin on this task; `key`, the randomness of the lifetime as `run_lifetime` takes it.
        Returns:
          The first observation; and a dict with the `task`, which no agent may be shown.
        Raises:
          UnknownNameError: another option.
        """
        for name in set(options or {}) - {"task", "key"}:
            raise UnknownNameError("option of reset", str(name), ("task", "key"))
        super().reset(seed=seed if seed is not None or self._np_random is not None else self._seed)
        options = options or {}
        drawn = [jax.random.key(int(self.np_random.integers(2**31))) for _ in range(2)]
        key = options.get("key", drawn[0])
        task = options["task"] if "task" in options else self._drawn_task(drawn[1])
        self._slot, self._over = 0, False
        self._where.begin(task, jax.random.split(key)[1])
        first = self._seen(self._where.reset(0))
        told = {"action": _first_element(self.action_space), "reward": np.zeros(1, np.float32), "ended": np.int64(NOT_ENDED)}
        return {"observation": first, "successor": first.copy(), **told}, {"task": task}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        """One step of the lifetime; `truncated` at its end.

        Raises:
          UsageError: the lifetime is over.
          SpecError: no element of the action space.
        """
        if self._over:
            raise UsageError("the lifetime is over, or none was begun. Call reset().")
        taken = self._actions.cast(action)
        followed = self._where.step(self._slot, taken)
        spec, slot = self.distribution.spec, self._slot
        flags = (np.bool_(followed.terminated), np.bool_(followed.truncated))
        terminated, truncated = map(bool, end_of_episode(slot, *flags, horizon=spec.horizon))
        self._slot = int(next_slot(slot, terminated or truncated, horizon=spec.horizon))
        self._over = self._slot >= spec.lifetime_steps
        successor = self._seen(followed.observation)
        following = successor.copy()
        if (terminated or truncated) and not self._over:
            following = self._seen(self._where.reset(self._slot // spec.horizon))
        observation = {
            "observation": following,
            "action": user_action(taken, spec.action_space),
            "reward": np.asarray([followed.reward], np.float32),
            "ended": np.int64(TERMINATED if terminated else TRUNCATED if truncated else NOT_ENDED),
            "successor": successor,
        }
        return observation, followed.reward, False, self._over, {"slot": slot, "episode": slot // spec.horizon}

    def close(self) -> None:
        """Closes the environment of tasks outside JAX."""
        self._where.close()

    def _drawn_task(self, key: PRNGKeyArray) -> PyTree:
        tasks = self.distribution.sample_tasks(self.split, key, tasks=1)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[0], tasks)

    def _seen(self, observation: Any) -> Any:
        """An observation as Gymnasium has elements of the space: a whole number of a Discrete one, else an array."""
        seen = np.array(observation, self._kind)
        space = self.distribution.spec.observation_space
        return np.int64(seen) if isinstance(space, gymnasium.spaces.Discrete) else seen.astype(space.dtype)


class _Compiled:
    """Tasks written in JAX; the randomness of each step is that of `run_lifetime`."""

    def __init__(self, distribution: TaskDistribution):
        self._spec = distribution.spec
        self._reset, self._step = jax.jit(distribution.reset), jax.jit(distribution.step)

    def begin(self, task: PyTree, key: PRNGKeyArray) -> None:
        key_reset, key_step = jax.random.split(key)
        self._task = task
        self._keys_reset = jax.random.split(key_reset, self._spec.episodes)
        self._keys_step = jax.random.split(key_step, self._spec.lifetime_steps)

    def reset(self, episode: int) -> np.ndarray:
        self._state, observation = self._reset(self._task, self._keys_reset[episode])
        return np.asarray(observation)

    def step(self, slot: int, action: Any) -> _Followed:
        self._state, outcome = self._step(self._task, self._state, action, self._keys_step[slot])
        seen, reward, *ends = jax.device_get((outcome.observation, outcome.reward, outcome.terminated, outcome.truncated))
        return _Followed(seen, float(reward), *map(bool, ends))

    def close(self) -> None:
        pass


class _Host:
    """Tasks outside JAX, in an environment that is opened here."""

    def __init__(self, distribution: HostDistribution):
        self._distribution, self._environment = distribution, distribution.open()

    def begin(self, task: PyTree, key: PRNGKeyArray) -> None:
        self._environment.begin(self._distribution.as_drawn(task), np.asarray(jax.random.key_data(key)))

    def reset(self, episode: int) -> np.ndarray:
        return host_observation("reset", self._environment.reset(episode), self._distribution.spec.given_observations)

    def step(self, slot: int, action: Any) -> _Followed:
        came = self._environment.step(slot, user_action(action, self._distribution.spec.action_space))
        seen = host_observation("step", came.observation, self._distribution.spec.given_observations)
        flags = (host_flag(name, getattr(came, name)) for name in ("terminated", "truncated"))
        return _Followed(seen, host_number("reward", came.reward), *flags)

    def close(self) -> None:
        self._environment.close()


def _first_element(space: gymnasium.Space) -> Any:
    """An element of a space that is the same every time."""
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(_first_element(part) for part in space.spaces)
    if isinstance(space, gymnasium.spaces.Dict):
        return {name: _first_element(part) for name, part in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.int64(space.start)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return space.start.astype(space.dtype)
    if isinstance(space, gymnasium.spaces.Box):
        finite = np.where(np.isfinite(space.low), space.low, 0.0)
        return np.minimum(finite, space.high).astype(space.dtype)
    return np.zeros(space.shape or (), space.dtype)
