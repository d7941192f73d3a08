"""Task distributions from Gymnasium environments, made from a factory and a sampler of tasks."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from quickstudy.protocol.action_spaces import narrow_actions, to_declared
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, TaskDistributionError, UsageError
from quickstudy.protocol.host_distribution import HostDistribution, Reduction, StepResult, Task
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import COMPOSITE, Form, Space, form_of, in_words

Make = Callable[[Task], gymnasium.Env]
SetTask = Callable[[gymnasium.Env, Task], None]


def from_gymnasium(
    make: Make,
    sample_task: Callable[[str, np.random.Generator], Task],
    *,
    episodes: int,
    horizon: int | None = None,
    set_task: SetTask | None = None,
    splits: tuple[str, ...] = ("train", "test"),
    measures: Mapping[str, Reduction] | None = None,
    describe: Callable[[Task], dict[str, Any]] | None = None,
    baselines: Mapping[str, Callable[[], Agent]] | None = None,
    floor: Callable[[Task], Array] | None = None,
    ceiling: Callable[[Task], Array] | None = None,
    shown: tuple[str, ...] = (),
    action_mask: bool = False,
    name: str = "unnamed",
) -> HostDistribution:
    """A distribution of tasks from any Gymnasium environment.

    An environment is made for every lifetime. Where `set_task` is given, it is made once and set to the task of each lifetime.
    Observations of a Dict or Tuple are flattened to one Box (`protocol/flat_observations.py`).
    Episodes are reset with seeds that follow from the lifetime's key, so the same task with the same key gives the same
    lifetime in every process. Observations and rewards become 32-bit numbers. Videos show the result of `render()` of
    environments that `make` made with `render_mode="rgb_array"`.

    Args:
      make: `(task) -> environment`, for a task as `sample_task` draws it. It is called once here, for the spaces.
      sample_task: `(split, generator) -> task`, a number, an array, or a dict, tuple or dataclass of them.
      episodes: episodes in one lifetime.
      horizon: most steps in one episode; the environment's own limit if not given.
      set_task: `(environment, task) -> None`, which turns an environment for one task into one for another, as `make` would
        have made it; for environments that are slow to make.
      splits: names of the splits; `"train"` and `"test"` are among them.
      measures: entries of the environment's `info` that are recorded beside the reward, and how each is reduced over an
        episode: `{"success": "any"}`. A step whose `info` lacks one counts as not measured, so an entry may come with the last
        step of an episode alone.
      describe: `(task) -> dict` of named arrays, for people.
      baselines: makers of classical agents, by name.
      floor: `(task) -> []`, expected lifetime return of random actions in reward units, written in JAX; None if not known.
      ceiling: the same of an agent that knows the task.
      shown: leaves of the task, by name, that observations show on purpose.
      action_mask: whether the last numbers of an observation say which Discrete actions are allowed, as in `Spec`.
      name: of the distribution.
    Raises:
      SpecError: spaces that no agent can be made for, or no horizon.
    Example:
      >>> import gymnasium, quickstudy as qs
      >>> def make(task):
      ...     return gymnasium.make("Pendulum-v1", g=float(task["gravity"]))
      >>> def sample_task(split, generator):
      ...     low, high = (5.0, 9.0) if split == "train" else (9.0, 12.0)
      ...     return {"gravity": generator.uniform(low, high)}
      >>> pendulums = qs.from_gymnasium(make, sample_task, episodes=3)
      >>> pendulums.spec.horizon, pendulums.spec.action_space.shape
      (200, (1,))
    """
    example = make(sample_task("train", np.random.default_rng(0)))
    try:
        limit = horizon if horizon is not None else getattr(example.spec, "max_episode_steps", None)
        if limit is None:
            raise SpecError("the environment has no limit of steps of its own. Give one: from_gymnasium(..., horizon=200).")
        _say_what_is_rounded(example.observation_space)
        spec = Spec(
            observation_space=_narrow_observations(example.observation_space),
            action_space=narrow_actions(example.action_space),
            horizon=int(limit),
            episodes=episodes,
            action_mask=action_mask,
        )
        forms = form_of(example.observation_space), form_of(example.action_space)
    finally:
        example.close()
    wanted = tuple(measures or {})
    return HostDistribution(
        name=name,
        spec=spec,
        splits=splits,
        sample=sample_task,
        open=lambda: GymnasiumEnvironment(make, set_task, measures=wanted, forms=forms),
        describe=describe,  # type: ignore[arg-type]
        measures=dict(measures or {}),
        camera=GymnasiumCamera,
        baselines=dict(baselines or {}),
        floor=floor,
        ceiling=ceiling,
        shown=shown,
    )


def _narrow_observations(space: gymnasium.Space) -> Any:
    """`narrow`, but a Dict or Tuple stays as it is: the spec flattens it to real numbers of 32 bits."""
    return space if isinstance(space, COMPOSITE) else narrow(space)


def narrow(space: gymnasium.Space) -> Space:
    """A space with the types that JAX computes with: 64-bit numbers become 32-bit ones.

    Whole numbers whose bounds 32 bits do not hold become real numbers. Those above 16,777,216 are then rounded.

    Raises:
      SpecError: a space other than Discrete, MultiDiscrete or Box.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return gymnasium.spaces.Discrete(int(space.n), start=int(space.start))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        ids = np.dtype(np.int32) if np.dtype(space.dtype).itemsize == 8 else np.dtype(space.dtype)
        return gymnasium.spaces.MultiDiscrete(space.nvec, dtype=ids.type, start=space.start)
    if not isinstance(space, gymnasium.spaces.Box):
        raise SpecError(
            f"an agent needs Discrete, MultiDiscrete or Box spaces, or a Dict or Tuple of these; came {space!r}. Wrap the "
            "environment, for instance in gymnasium.wrappers.FlattenObservation."
        )
    kind = np.dtype(space.dtype)
    if kind.kind in "iu" and kind.itemsize == 8:
        known = np.iinfo(np.int32)
        fits = space.low.min(initial=0) >= known.min and space.high.max(initial=0) <= known.max
        kind = np.dtype(np.int32 if fits else np.float32)
    elif kind.kind == "f" and kind.itemsize != 4:
        kind = np.dtype(np.float32)
    with np.errstate(over="ignore"):  # what 32 bits cannot hold is no bound
        low, high = (np.asarray(bound).astype(kind) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(low, high, space.shape, kind.type)


def _say_what_is_rounded(space: gymnasium.Space) -> None:
    """Names observations whose bounds 32 bits do not hold as whole numbers."""
    if isinstance(space, gymnasium.spaces.Box) and space.dtype.kind in "iu" and narrow(space).dtype == np.float32:
        sys.stderr.write(
            f"quickstudy: observations are declared as {space.dtype} from {space.low.min()} to {space.high.max()}, more than "
            "32 bits hold. They are read as real numbers of 32 bits: whole numbers above 16,777,216 are rounded.\n"
        )


@dataclasses.dataclass(kw_only=False)
class GymnasiumEnvironment:
    """A Gymnasium environment as a `HostEnvironment`."""

    make: Make
    set_task: SetTask | None
    measures: tuple[str, ...] = ()
    forms: tuple[Form, Form] | None = None
    """Of the observations and the actions that every task must have; any where not given."""
    environment: gymnasium.Env | None = None

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Makes the environment for this task, or sets it to the task where that can be done."""
        if self.environment is not None and self.set_task is not None:
            self.set_task(self.environment, task)
        else:
            self.close()
            self.environment = self.make(task)
        self._check_forms()
        self._to_declared = to_declared(self.environment.action_space)
        self._words = [int(word) for word in key]

    def reset(self, episode: int) -> Any:
        """Every episode has a seed of its own, from the lifetime's key."""
        assert self.environment is not None
        seed = int(np.random.SeedSequence([*self._words, episode]).generate_state(1)[0])
        return self.environment.reset(seed=seed)[0]

    def step(self, slot: int, action: Any) -> StepResult:
        """Steps the environment."""
        del slot
        assert self.environment is not None
        taken = action if self._to_declared is None else self._to_declared(action)
        observation, reward, terminated, truncated, info = self.environment.step(taken)
        # Success is often given at the end of an episode alone.
        measured = {name: info[name] for name in self.measures if name in info} if self.measures else _NOTHING
        return StepResult(observation, reward, terminated, truncated, measured)  # type: ignore[arg-type]  # cast by the driver

    def _check_forms(self) -> None:
        """Raises TaskDistributionError where this task's observations or actions are of another form than the others'."""
        environment = self.environment
        assert environment is not None
        spaces = (("observation_space", environment.observation_space), ("action_space", environment.action_space))
        for (name, space), wanted in zip(spaces, self.forms or (), strict=False):
            if form_of(space) != wanted:
                raise TaskDistributionError(
                    f"{name} of one task is {in_words(wanted)}, that of another {in_words(form_of(space))}. All tasks of a "
                    "distribution have the same spaces: pad observations to the largest with zeros, offer the largest number "
                    "of actions, and say which of them exist by from_gymnasium(..., action_mask=True)."
                )

    def close(self) -> None:
        """Closes the environment."""
        if self.environment is not None:
            self.environment.close()
            self.environment = None


@dataclasses.dataclass
class GymnasiumCamera:
    """A `Camera` that asks a Gymnasium environment to draw itself."""

    seen: GymnasiumEnvironment

    def take(self, observation: Any) -> UInt8[np.ndarray, "height width 3"]:
        """The picture that `render()` returns.

        Raises:
          UsageError: it returns no picture, or cannot draw on this machine.
        """
        del observation
        environment = self.seen.environment
        assert environment is not None
        if environment.render_mode != "rgb_array":
            raise UsageError(
                f"{environment} cannot be drawn: its render_mode is {environment.render_mode!r}. "
                'Let make(task) make it with render_mode="rgb_array".'
            )
        try:
            return np.asarray(environment.render())
        except Exception as error:
            raise UsageError(
                f"{environment} could not draw itself: {type(error).__name__}: {error}. Where there is no screen, environments "
                "on MuJoCo draw with MUJOCO_GL=egl or MUJOCO_GL=osmesa, those on Pygame with SDL_VIDEODRIVER=dummy."
            ) from error

    def close(self) -> None:
        """The environment closes its own renderer."""


_NOTHING: dict[str, float] = {}
