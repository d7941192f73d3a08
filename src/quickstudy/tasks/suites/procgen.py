"""Procgen: a level of a video game, generated from its number and observed as pixels, with a few episodes to learn it.

- Drawn once per lifetime: the number of a level. The game is the same for all tasks.
- Observation `[64, 64, 3]` of bytes: the frame. Action: one of 15 combinations of buttons. Reward: the game's own.
- A lifetime has `episodes` episodes on the level, and each begins with the same frame. What an agent learns in the first
  episode (the place of the coin, a way that ends at a wall) holds in the second. Procgen has no randomness beyond the number:
  the same actions on the same level give the same episode, to the pixel.

Splits. `train` draws from the levels 0 to `levels - 1`, as Cobbe et al. 2020 do (200 levels of easy games, 500 of hard ones).
`test` draws from the levels 1,000,000 to 2,147,483,646. More than a million training levels are refused, so the two are
disjoint. The paper's test draws from all numbers, the training levels included: one draw in ten million.

The implementation is EnvPool's Procgen; `docs/procgen.md` gives the reasons, a comparison with OpenAI's package, and results
with their commands. EnvPool shows the true last frame of an episode, where OpenAI's package shows the first frame of the next.
Only `open` needs it.

`solved` is the game's own word for a completed level: the coin taken, the boss beaten, all orbs eaten. There is no floor and
no ceiling of a level, and no baseline. `RETURN_RANGES` holds the paper's constants, which make scores that can be averaged
over games.
"""

import dataclasses
from functools import partial
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, UInt8, UInt32

from quickstudy.protocol.errors import MissingExtraError, SpecError, UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import HostDistribution, StepResult
from quickstudy.protocol.records import Spec
from quickstudy.tasks.suites.suite import PROCGEN

SUITE = PROCGEN
TEST_FROM = 1_000_000
"""The first level that `test` draws; levels to train on lie below."""
LEVELS = 2**31 - 1
"""The number after the last level that Procgen can make."""

_GAMES = {
    "bigfish": (6000, (1.0, 40.0), (0.0, 40.0)),
    "bossfight": (4000, (0.5, 13.0), (0.5, 13.0)),
    "caveflyer": (1000, (3.5, 12.0), (2.0, 13.4)),
    "chaser": (1000, (0.5, 13.0), (0.5, 14.2)),
    "climber": (1000, (2.0, 12.6), (1.0, 12.6)),
    "coinrun": (1000, (5.0, 10.0), (5.0, 10.0)),
    "dodgeball": (1000, (1.5, 19.0), (1.5, 19.0)),
    "fruitbot": (1000, (-1.5, 32.4), (-0.5, 27.2)),
    "heist": (1000, (3.5, 10.0), (2.0, 10.0)),
    "jumper": (1000, (3.0, 10.0), (1.0, 10.0)),
    "leaper": (500, (3.0, 10.0), (1.5, 10.0)),
    "maze": (500, (5.0, 10.0), (4.0, 10.0)),
    "miner": (1000, (1.5, 13.0), (1.5, 20.0)),
    "ninja": (1000, (3.5, 10.0), (2.0, 10.0)),
    "plunder": (4000, (4.5, 30.0), (3.0, 30.0)),
    "starpilot": (1000, (2.5, 64.0), (1.5, 35.0)),
}
STEP_LIMITS = {game: limit for game, (limit, _, _) in _GAMES.items()}
"""The 16 games, and the number of steps after which each truncates an episode."""
RETURN_RANGES = {
    "easy": {game: easy for game, (_, easy, _) in _GAMES.items()},
    "hard": {game: hard for game, (_, _, hard) in _GAMES.items()},
}
"""Returns of a whole episode, by mode and game: of a policy trained on blank observations, and the highest possible one.
These are R_min and R_max of Cobbe et al. 2020, appendix C."""


def procgen(
    *, game: str = "coinrun", levels: int = 200, mode: str = "easy", horizon: int = 256, episodes: int = 2
) -> HostDistribution:
    """Levels of one Procgen game, each with several episodes.

    Args:
      game: name of the game, one of the 16, as in `STEP_LIMITS`.
      levels: number of training levels, 1 to 1,000,000.
      mode: `"easy"` or `"hard"`.
      horizon: most steps in one episode, at most the game's own limit. A frame takes 12 KiB, and a lifetime has room for all of
        its slots, twice (observations and successors): 12 MiB with the 2 x 256 of the default, 47 MiB with the 1000 of
        most games. Easy levels of games with a goal can be solved in far fewer than 256 steps. In bigfish, bossfight,
        plunder, miner, chaser and starpilot rewards continue, so returns are below those of whole episodes.
      episodes: number of episodes in one lifetime, all on the same level.
    Raises:
      UnknownNameError: no such game or mode.
      SpecError: a number out of range.
    Example:
      >>> procgen(game="maze").spec.observation_space.shape
      (64, 64, 3)
    Source: Cobbe et al. 2020. Changed: several episodes on a level instead of one; test levels are never training levels; the
      horizon.
    """
    if game not in STEP_LIMITS:
        raise UnknownNameError("Procgen game", game, STEP_LIMITS)
    if mode not in RETURN_RANGES:
        raise UnknownNameError("mode of Procgen", mode, RETURN_RANGES)
    if not 1 <= levels <= TEST_FROM:
        raise SpecError(f"levels must lie between 1 and {TEST_FROM}, where the test levels begin; came {levels}.")
    if horizon > STEP_LIMITS[game]:
        raise SpecError(f"{game} ends every episode after {STEP_LIMITS[game]} steps by itself; came a horizon of {horizon}.")
    spec = Spec(
        observation_space=gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8),
        action_space=gymnasium.spaces.Discrete(15),
        horizon=horizon,
        episodes=episodes,
    )
    return HostDistribution(
        name="procgen",
        config={"game": game, "levels": levels, "mode": mode, "horizon": horizon, "episodes": episodes},
        spec=spec,
        sample=partial(_sample, levels),
        open=partial(ProcgenEnvironment, game=game, mode=mode),
        describe=_describe,
        measures={"solved": "any"},
        camera=_Camera,
    )


def normalised_return(
    returns: Float[np.ndarray, "*episodes"], *, game: str, mode: str = "easy"
) -> Float[np.ndarray, "*episodes"]:
    """Returns of episodes on a scale on which scores of several games can be averaged.

        normalised = (return - R_min) / (R_max - R_min)

    Args:
      returns: of whole episodes, reward units. A horizon below the game's own limit makes them lower than the paper's.
      game: name of the game, one of the 16.
      mode: `"easy"` or `"hard"`.
    Returns:
      0 for a policy without observations, 1 for the highest possible return; not clipped.
    Raises:
      UnknownNameError: no such game or mode.
    Example:
      >>> float(normalised_return(np.float32(7.5), game="coinrun"))
      0.5
    Source: Cobbe et al. 2020, section 2.2 and appendix C. Changed: nothing.
    """
    if mode not in RETURN_RANGES:
        raise UnknownNameError("mode of Procgen", mode, RETURN_RANGES)
    if game not in RETURN_RANGES[mode]:
        raise UnknownNameError("Procgen game", game, RETURN_RANGES[mode])
    low, high = RETURN_RANGES[mode][game]
    return (returns - low) / (high - low)


@dataclasses.dataclass
class ProcgenEnvironment:
    """A level of Procgen as a `HostEnvironment`.

    Every episode has a pool of its own, made in a millisecond: a pool cannot change its level, and a game that is merely reset
    may carry something over from the last episode (dodgeball does).

    Raises:
      MissingExtraError: EnvPool is not installed.
      UsageError: a library that it needs for drawing is not installed.
    """

    game: str
    mode: str

    def __post_init__(self) -> None:
        self._make = _suite().make
        self._name = f"{self.game.capitalize()}{self.mode.capitalize()}-v0"
        self._pool: Any = None
        self._level = 0

    def begin(self, task: Any, key: UInt32[np.ndarray, "2"]) -> None:
        """Sets the level of the next episodes."""
        del key  # a level has no randomness
        self._level = int(task)

    def reset(self, episode: int) -> UInt8[np.ndarray, "64 64 3"]:
        """The first frame, the same in every episode."""
        del episode
        self.close()
        where = {"num_levels": 1, "start_level": self._level}
        size = {"num_envs": 1, "num_threads": 1, "channel_first": False, "max_episode_steps": STEP_LIMITS[self.game]}
        self._pool = self._make(self._name, env_type="gymnasium", seed=0, **where, **size)
        return self._pool.reset()[0][0]

    def step(self, slot: int, action: Any) -> StepResult:
        """One step. The pool resets only when it is stepped after an end, so the last frame is the true one."""
        del slot
        frame, reward, terminated, truncated, info = self._pool.step(np.asarray(action, np.int32).reshape(1))
        measures = {"solved": float(info["prev_level_complete"][0])}
        return StepResult(frame[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), measures)

    def close(self) -> None:
        """Closes the pool and its thread."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class _Camera:
    """Pictures are the frames that the agent observes."""

    def __init__(self, environment: ProcgenEnvironment):
        del environment

    def take(self, observation: Any) -> UInt8[np.ndarray, "64 64 3"]:
        return observation

    def close(self) -> None:
        pass


def _sample(levels: int, split: str, generator: np.random.Generator) -> np.int32:
    low, high = (0, levels) if split == "train" else (TEST_FROM, LEVELS)
    return generator.integers(low, high, dtype=np.int32)


def _describe(task: Any) -> dict[str, Any]:
    return {"level": task}


def _suite() -> ModuleType:
    """EnvPool, with its Procgen loaded."""
    try:
        import envpool
    except ImportError as error:
        raise MissingExtraError(PROCGEN.title, PROCGEN.extra) from error
    try:
        import envpool.procgen
    except ImportError as error:
        raise UsageError(
            f"Procgen is installed but does not load: {error}. It draws with Qt 5, which is not a Python package; "
            "on Debian and Ubuntu: apt-get install --no-install-recommends libqt5gui5"
        ) from error
    return envpool
