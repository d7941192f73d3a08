"""The goals of Meta-World, drawn as the suite draws them, without the suite.

The suite sets NumPy's generator to a seed, resets each of a benchmark's environments 50 times, in the benchmark's order, and
keeps each draw. A reset draws twice and keeps the second; a draw is rejected where object and goal lie too close. A draw is a
uniform vector: the position of the object (the first three numbers) and, where the environment varies it, the position of the
goal (the last three), in metres. Bounds and distances are those of metaworld 3.1.1; a test compares all of it with the suite,
bit by bit.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float64

GOALS = 50
"""Goals of each environment in each split."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """The distribution of the draws of one environment.

    Args:
      low, high: bounds of the uniform vector, in metres.
      apart: the least distance on the table between object and goal.
      place: the goal that the object is kept away from, where it is not the drawn one.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    apart: float = 0.0
    place: tuple[float, float] | None = None


# fmt: off
DRAWS = {
    "assembly": Draw((0.0, 0.6, 0.02, -0.1, 0.75, 0.1), (0.0, 0.6, 0.02, 0.1, 0.85, 0.1), apart=0.1),
    "basketball": Draw((-0.1, 0.6, 0.0299, -0.1, 0.85, 0.0), (0.1, 0.7, 0.0301, 0.1, 0.9000001, 0.0), apart=0.15),
    "bin-picking": Draw((-0.21, 0.65, 0.02, 0.1199, 0.699, -0.001), (-0.03, 0.75, 0.02, 0.1201, 0.701, 0.001)),
    "box-close": Draw((-0.05, 0.5, 0.02, -0.1, 0.7, 0.133), (0.05, 0.55, 0.02, 0.1, 0.8, 0.133), apart=0.25),
    "button-press-topdown": Draw((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press-topdown-wall": Draw((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press": Draw((-0.1, 0.85, 0.115), (0.1, 0.9, 0.115)),
    "button-press-wall": Draw((-0.05, 0.85, 0.1149), (0.05, 0.9, 0.1151)),
    "coffee-button": Draw((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "coffee-pull": Draw((-0.05, 0.7, -0.001, -0.1, 0.55, -0.001), (0.05, 0.75, 0.001, 0.1, 0.65, 0.001), apart=0.15),
    "coffee-push": Draw((-0.1, 0.55, -0.001, -0.05, 0.7, -0.001), (0.1, 0.65, 0.001, 0.05, 0.75, 0.001), apart=0.15),
    "dial-turn": Draw((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "disassemble": Draw((0.0, 0.6, 0.025, -0.1, 0.6, 0.1699), (0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701), apart=0.1),
    "door-close": Draw((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-lock": Draw((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "door-open": Draw((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-unlock": Draw((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "hand-insert": Draw((-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201), (0.1, 0.7, 0.05, 0.04, 0.88, -0.0199), apart=0.15),
    "drawer-close": Draw((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "drawer-open": Draw((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "faucet-open": Draw((-0.05, 0.8, 0.0), (0.05, 0.85, 0.0)),
    "faucet-close": Draw((-0.1, 0.8, 0.0), (0.1, 0.85, 0.0)),
    "hammer": Draw((-0.1, 0.4, 0.0), (0.1, 0.5, 0.0)),
    "handle-press-side": Draw((-0.35, 0.65, -0.001), (-0.25, 0.75, 0.001)),
    "handle-press": Draw((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "handle-pull-side": Draw((-0.35, 0.65, 0.0), (-0.25, 0.75, 0.0)),
    "handle-pull": Draw((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "lever-pull": Draw((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "pick-place-wall": Draw((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), apart=0.15),
    "pick-out-of-hole": Draw((0.0, 0.75, 0.02, -0.1, 0.5, 0.15), (0.0, 0.75, 0.02, 0.1, 0.6, 0.3), apart=0.15),
    "pick-place": Draw((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), apart=0.15),
    "plate-slide": Draw((0.0, 0.6, 0.0, -0.1, 0.85, 0.0), (0.0, 0.6, 0.0, 0.1, 0.9, 0.0)),
    "plate-slide-side": Draw((0.0, 0.6, 0.0, -0.3, 0.54, 0.0), (0.0, 0.6, 0.0, -0.25, 0.66, 0.0)),
    "plate-slide-back": Draw((0.0, 0.85, 0.0, -0.1, 0.6, 0.015), (0.0, 0.85, 0.0, 0.1, 0.6, 0.015)),
    "plate-slide-back-side": Draw((-0.25, 0.6, 0.0, -0.05, 0.6, 0.015), (-0.25, 0.6, 0.0, 0.15, 0.6, 0.015)),
    "peg-insert-side": Draw((0.0, 0.5, 0.02, -0.35, 0.4, -0.001), (0.2, 0.7, 0.02, -0.25, 0.7, 0.001), apart=0.1),
    "peg-unplug-side": Draw((-0.25, 0.6, -0.001), (-0.15, 0.8, 0.001)),
    "soccer": Draw((-0.1, 0.6, 0.03, -0.1, 0.8, 0.0), (0.1, 0.7, 0.03, 0.1, 0.9, 0.0), apart=0.15),
    "stick-push": Draw((-0.08, 0.58, 0.0, 0.399, 0.55, 0.1319), (-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321), apart=0.1),
    "stick-pull": Draw((-0.1, 0.55, 0.0, 0.35, 0.45, 0.0199), (0.0, 0.65, 0.001, 0.45, 0.55, 0.0201), apart=0.1),
    "push": Draw((-0.1, 0.6, 0.02, -0.1, 0.8, 0.01), (0.1, 0.7, 0.02, 0.1, 0.9, 0.02), apart=0.15),
    "push-wall": Draw((-0.05, 0.6, 0.015, -0.05, 0.85, 0.01), (0.05, 0.65, 0.015, 0.05, 0.9, 0.02), apart=0.15),
    "push-back": Draw((-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199), (0.1, 0.85, 0.02, 0.1, 0.7, 0.0201), apart=0.15),
    "reach": Draw((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), apart=0.15),
    "reach-wall": Draw((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), apart=0.15),
    "shelf-place": Draw((-0.1, 0.5, 0.019, -0.1, 0.8, 0.299), (0.1, 0.6, 0.021, 0.1, 0.9, 0.301), apart=0.1),
    "sweep-into": Draw((-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199), (0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201), apart=0.15,
                       place=(0.0, 0.84)),
    "sweep": Draw((-0.1, 0.6, 0.02), (0.1, 0.7, 0.02)),
    "window-open": Draw((-0.1, 0.7, 0.16), (0.1, 0.9, 0.16)),
    "window-close": Draw((0.0, 0.75, 0.2), (0.0, 0.9, 0.2)),
}
"""Every environment of the suite, in its order, by its name without the version."""

ML10_TRAIN = (
    "reach", "push", "pick-place", "door-open", "drawer-close", "button-press-topdown", "peg-insert-side", "window-open",
    "sweep", "basketball",
)
ML10_TEST = ("drawer-open", "door-close", "shelf-place", "sweep-into", "lever-pull")
ML45_TRAIN = (
    "assembly", "basketball", "button-press-topdown", "button-press-topdown-wall", "button-press", "button-press-wall",
    "coffee-button", "coffee-pull", "coffee-push", "dial-turn", "disassemble", "door-close", "door-open", "drawer-close",
    "drawer-open", "faucet-open", "faucet-close", "hammer", "handle-press-side", "handle-press", "handle-pull-side",
    "handle-pull", "lever-pull", "pick-place-wall", "pick-out-of-hole", "push-back", "pick-place", "plate-slide",
    "plate-slide-side", "plate-slide-back", "plate-slide-back-side", "peg-insert-side", "peg-unplug-side", "soccer",
    "stick-push", "stick-pull", "push-wall", "push", "reach-wall", "reach", "shelf-place", "sweep-into", "sweep",
    "window-open", "window-close",
)
ML45_TEST = ("bin-picking", "box-close", "hand-insert", "door-lock", "door-unlock")
# fmt: on


@functools.cache
def goals_of(environments: tuple[str, ...], seed: int) -> dict[str, Float64[np.ndarray, "goals numbers"]]:
    """The suite's draws for these environments, in this order, from this seed: for each `[50, 3 or 6]`, metres."""
    generator = np.random.RandomState(seed)
    return {name: np.stack([_at_reset(DRAWS[name], generator) for _ in range(GOALS)]) for name in environments}


def _at_reset(draw: Draw, generator: np.random.RandomState) -> np.ndarray:
    _first, second = _accepted(draw, generator), _accepted(draw, generator)
    return second


def _accepted(draw: Draw, generator: np.random.RandomState) -> np.ndarray:
    while True:
        vector = generator.uniform(draw.low, draw.high, size=len(draw.low))
        goal = vector[3:5] if draw.place is None else draw.place
        if not draw.apart or np.linalg.norm(vector[:2] - goal) >= draw.apart:
            return vector
