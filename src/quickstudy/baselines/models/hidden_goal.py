"""Moving on a square grid, and the problem of a goal that is hidden on it.

Cells are numbered row by row from the lower left, cell = row * size + column, so that *up* adds `size` and *right* adds 1. A
move against a wall has no effect.
"""

import dataclasses
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

STAY, UP, RIGHT, DOWN, LEFT = range(5)
ACTIONS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class HiddenGoal:
    """A goal hidden on a grid, the same for a lifetime of episodes that all begin in one cell: what agents know beforehand.

    A step that ends on the goal pays 1, any other `reward_elsewhere`; no episode ends before its horizon.

    Args:
      size: cells along one side, at least 2.
      start: the cell in which every episode begins.
      goals: the cells that may hold the goal, equally likely, at least one.
      horizon: steps of an episode, at least as many as the way from the start to the farthest goal.
      episodes: of a lifetime, at least 1.
      reward_elsewhere: of a step that does not end on the goal, at most 0.
    Raises:
      SpecError: a size or a length out of range.
    """

    size: int
    start: int
    goals: tuple[int, ...]
    horizon: int
    episodes: int
    reward_elsewhere: float

    def __post_init__(self) -> None:
        if not self.goals:
            raise SpecError(f"a grid of size {self.size} has no cell left for a goal. Make it larger.")
        farthest = int(self.steps_to_goal.max())
        if self.horizon < farthest:
            raise SpecError(f"horizon must be {farthest} or more, the way to the farthest goal; came {self.horizon}.")

    @property
    def cells(self) -> int:
        """Cells of the grid, size²."""
        return self.size**2

    @property
    def steps_to_goal(self) -> np.ndarray:
        """`[goals]`: least number of steps from the start that ends on each goal; at least one, also for the start itself."""
        return np.maximum(distances(self.size)[self.start, list(self.goals)], 1)

    @property
    def spec(self) -> Spec:
        """Observations are cells; actions are staying and four moves."""
        return Spec(
            observation_space=gymnasium.spaces.Discrete(self.cells),
            action_space=gymnasium.spaces.Discrete(ACTIONS),
            horizon=self.horizon,
            episodes=self.episodes,
        )

    def lifetime_return(self, steps_on_goal: Any) -> Any:
        """Return, in reward units, of a lifetime with this number of steps on the goal: a number or an array of any shape."""
        return self.episodes * self.horizon * self.reward_elsewhere + (1.0 - self.reward_elsewhere) * steps_on_goal


def distances(size: int) -> np.ndarray:
    """`[cells, cells]`: least number of steps from each cell to each other one."""
    row, column = np.divmod(np.arange(size**2), size)
    return np.abs(row[:, None] - row) + np.abs(column[:, None] - column)


def neighbours(size: int) -> np.ndarray:
    """`[cells, ACTIONS]` int32: the successor of each cell under each action."""
    cell = np.arange(size**2)
    row, column = np.divmod(cell, size)
    led = [
        cell,
        np.where(row < size - 1, cell + size, cell),
        np.where(column < size - 1, cell + 1, cell),
        np.where(row > 0, cell - size, cell),
        np.where(column > 0, cell - 1, cell),
    ]
    return np.stack(led, axis=1).astype(np.int32)


def time_in_cells(size: int, steps: int) -> np.ndarray:
    """`[cells, cells]`: expected number, of `steps` uniformly random actions from the first cell, that end in the second."""
    onward = np.zeros((size**2, size**2))
    np.add.at(onward, (np.arange(size**2)[:, None], neighbours(size)), 1.0 / ACTIONS)
    where, total = np.eye(size**2), np.zeros_like(onward)
    for _ in range(steps):
        where = where @ onward
        total += where
    return total


def action_towards(cell: Int[Array, ""], target: Int[Array, ""], vertically_first: Bool[Array, ""], *, size: int) -> Array:
    """The action `[]` that moves one step closer to a cell, by rows or by columns first; `STAY` in it."""
    rows, columns = target // size - cell // size, target % size - cell % size
    vertical = jnp.where(rows > 0, UP, DOWN)
    horizontal = jnp.where(columns > 0, RIGHT, LEFT)
    moving = jnp.where((columns == 0) | (vertically_first & (rows != 0)), vertical, horizontal)
    return jnp.where(cell == target, STAY, moving).astype(jnp.int32)
