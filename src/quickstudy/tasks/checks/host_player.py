"""An environment outside JAX under inspection: every call is timed, and every result is checked against the spec.

Every call into the user's code goes through a `Clock`. It records which call is running, since when, and how long such calls
take.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gymnasium
import gymnasium.vector.utils
import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.action_spaces import narrow_actions, user_actions
from quickstudy.protocol.casting import host_flag, host_number, host_observation
from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.protocol.spaces import ActionSpace
from quickstudy.tasks.checks.faults import MisfitError
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
    """An opened environment of the distribution; its results are cast to the types of the spec, as in a rollout.

    The attribute `measured` holds the names of the measures that came so far.
    """

    def __init__(self, distribution: HostDistribution, clock: Clock):
        self._distribution, self._clock, self._spec = distribution, clock, distribution.spec
        self.environment = clock.timed("open", distribution.open)
        self.measured = set[str]()

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
        stepped = self._clock.timed("step", self.environment.step, slot, action)
        if not isinstance(stepped, StepResult):
            raise MisfitError(
                f"step gives {type(stepped).__name__}; it must give quickstudy.protocol.host_distribution.StepResult."
            )
        observation, reward, terminated, truncated, measures = stepped
        try:
            reward = host_number("a reward", reward)
            terminated, truncated = host_flag("terminated", terminated), host_flag("truncated", truncated)
            measures = {
                name: host_number(f"the measure {name!r}", measures[name])
                for name in self._distribution.measures
                if name in measures
            }
        except ValueError as error:
            raise MisfitError(str(error)) from error
        self.measured.update(measures)
        with np.errstate(over="ignore"):  # infinite rewards are found by another law
            reward = float(np.float32(reward))
        return StepResult(self._fitting("step", observation), reward, terminated, truncated, measures)

    def close(self) -> None:
        """Closes the environment."""
        self._clock.timed("close", self.environment.close)

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fitting(self, name: str, observation: Any) -> np.ndarray:
        try:
            return host_observation(name, observation, self._spec.given_observations)
        except ValueError as error:
            raise MisfitError(str(error)) from error


def random_actions(space: ActionSpace, generator: np.random.Generator, count: int) -> Sequence[Any]:
    """Actions as environments take them, one after another, each uniform in its space."""
    batch = gymnasium.vector.utils.batch_space(space, count)
    batch.seed(int(generator.integers(2**31)))
    return user_actions(batch.sample(), space)
