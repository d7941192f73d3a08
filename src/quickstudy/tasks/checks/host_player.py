"""An environment outside JAX under inspection: every call is timed, and every result is checked against the spec.

Every call into the user's code goes through a `Clock`. It records which call is running, since when, and how long such calls
take.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import gymnasium
import gymnasium.vector.utils
import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.action_spaces import narrow_actions, user_actions
from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.protocol.spaces import ActionSpace
from quickstudy.tasks.checks.faults import MisfitError
from quickstudy.tasks.checks.trees import name_of
from quickstudy.tasks.gymnasium import GymnasiumEnvironment

Result = TypeVar("Result")

BEGIN = "begin (make, set_task)"


class OutOfTimeError(Exception):
    """The budget is spent."""


class Clock:
    """Times calls into a user's code, and names the one that is running."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.longest: dict[str, float] = defaultdict(float)
        self.under_way: tuple[str, float] | None = None
        self.abandoned = False

    def timed(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Calls the function. The first call of each name may compile something, so it does not count as the longest."""
        if self.abandoned:
            raise OutOfTimeError
        start = time.perf_counter()
        self.under_way = name, start
        try:
            return function(*arguments)
        finally:
            taken = time.perf_counter() - start
            self.under_way = None
            self.seconds[name] += taken
            self.longest[name] = max(self.longest[name], taken) if self.calls[name] else 0.0
            self.calls[name] += 1

    def each(self, name: str) -> float:
        """Seconds that one call takes, on average."""
        return self.seconds[name] / max(1, self.calls[name])


class Player:
    """An opened environment of the distribution; its results are checked and narrowed to the types of the spec."""

    def __init__(self, distribution: HostDistribution, clock: Clock):
        self._distribution, self._clock, self._spec = distribution, clock, distribution.spec
        self.environment = clock.timed("open", distribution.open)

    def begin(self, task: PyTree, key: UInt32[np.ndarray, "2"]) -> None:
        """Begins a lifetime on a task of a stack; what the environment was given is `given`."""
        self.given = self._distribution.as_drawn(task)
        self._clock.timed(BEGIN, self.environment.begin, self.given, key)
        if isinstance(self.environment, GymnasiumEnvironment) and self.environment.environment is not None:
            space = narrow_actions(self.environment.environment.action_space)
            if space != self._spec.action_space:
                raise MisfitError(f"the environment of one task takes {space}, that of another {self._spec.action_space}.")

    def reset(self, episode: int) -> np.ndarray:
        """The first observation of an episode."""
        observation = self._clock.timed("reset", self.environment.reset, episode)
        return self._fitting("reset", observation)

    def step(self, slot: int, action: Any) -> StepResult:
        """One step."""
        try:
            stepped = self._clock.timed("step", self.environment.step, slot, action)
        except KeyError as error:
            promised = error.args[:1] and error.args[0] in self._distribution.measures
            if promised and isinstance(self.environment, GymnasiumEnvironment):
                raise MisfitError(f"the info that step returns holds no {error.args[0]!r}, which is measured.") from error
            raise
        if not isinstance(stepped, StepResult):
            raise MisfitError(
                f"step gives {type(stepped).__name__}; it must give quickstudy.protocol.host_distribution.StepResult."
            )
        observation, reward, terminated, truncated, measures = stepped
        if np.ndim(reward) or np.asarray(reward).dtype.kind not in "fiu":
            raise MisfitError(f"step gives a reward {_named(reward)}; it must be one number.")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                raise MisfitError(f"step gives {name} {_named(flag)}; it must be one truth value, True or False.")
        self._check_measures(measures)
        with np.errstate(over="ignore"):  # infinite rewards are found by another law
            reward = float(np.float32(reward))
        return StepResult(self._fitting("step", observation), reward, bool(terminated), bool(truncated), measures)

    def close(self) -> None:
        """Closes the environment."""
        self._clock.timed("close", self.environment.close)

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fitting(self, name: str, observation: Any) -> np.ndarray:
        space = self._spec.observation_space
        try:
            seen = np.asarray(observation)
        except ValueError as error:
            raise MisfitError(f"{name} gives an observation that is no array: {error}.") from error
        if isinstance(space, gymnasium.spaces.Discrete):
            fits, expected = seen.shape == () and seen.dtype.kind in "iu", "a whole number"
        else:
            fits = seen.shape == space.shape and np.can_cast(seen.dtype, space.dtype, "same_kind")
            expected = f"{space.dtype}{list(space.shape)}"
        if not fits:
            raise MisfitError(f"{name} gives an observation {_named(observation)}; the observation space asks for {expected}.")
        with np.errstate(over="ignore"):
            return seen.astype(space.dtype)

    def _check_measures(self, measures: Mapping[str, float]) -> None:
        for name in self._distribution.measures:
            if name not in measures:
                raise MisfitError(f"step measures {sorted(measures)}; {name!r} is promised and missing.")
            if np.asarray(measures[name]).dtype.kind not in "fiub" or np.ndim(measures[name]):
                raise MisfitError(f"step measures {name!r} as {_named(measures[name])}; it must be one number.")


def random_actions(space: ActionSpace, generator: np.random.Generator, count: int) -> Sequence[Any]:
    """Actions as environments take them, one after another, each uniform in its space."""
    batch = gymnasium.vector.utils.batch_space(space, count)
    batch.seed(int(generator.integers(2**31)))
    return user_actions(batch.sample(), space)


def _named(value: Any) -> str:
    """Type and shape of a value, in words."""
    try:
        return name_of(np.asarray(value)) if np.asarray(value).dtype.kind in "biuf" else type(value).__name__
    except ValueError:
        return type(value).__name__
