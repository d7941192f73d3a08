"""Draws a task of XLand-MiniGrid: the grid at the start of an episode, the goal and the rules. It needs `.[xland]`.

    python benchmarks/xland_task.py [SEED]

Writes `docs/pictures/xland-task.svg`.
"""

import sys
from pathlib import Path as FilePath
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from quickstudy import tasks
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.reports import canvas
from quickstudy.reports.canvas import GRID, INK, MUTED, Picture
from quickstudy.tasks.suites.xland.distribution import VIEW, XLandState, XLandTask
from quickstudy.tasks.suites.xland.rulesets import SHAPES, in_words, leads_to_goal

PATH = FilePath(__file__).parents[1] / "docs" / "pictures" / "xland-task.svg"

_COLOURS = {
    1: "#d62728", 2: "#2ca02c", 3: "#1f5fd6", 4: "#7b3fc4", 5: "#e6c700", 6: "#8a8a8a",
    8: "#ff8c1a", 9: "#ffffff", 10: "#8b5a2b", 11: "#ec5fa4",
}  # fmt: skip
_KEY = Path.make_compound_path(
    Path.circle((-0.45, 0.0), 0.4),
    Path([(-0.05, -0.12), (0.9, -0.12), (0.9, 0.12), (-0.05, 0.12), (-0.05, -0.12)]),
    Path([(0.55, -0.12), (0.9, -0.12), (0.9, -0.45), (0.55, -0.45), (0.55, -0.12)]),
)
_MARKS = {3: "o", 4: "s", 5: "^", 7: _KEY, 11: "h", 12: "*"}
_LARGER = {7: 1.25, 12: 1.4}
_FLOOR, _WALL, _DOORS = 1, 2, (8, 9, 10)
_AHEAD = ((-1, 0), (0, 1), (1, 0), (0, -1))
_HEADING = ("^", ">", "v", "<")
_ROW = 0.42


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    distribution = tasks.make("xland-minigrid", size=11, rooms="R4", depth=2)
    task = distribution.sample("test", jax.random.key(seed))
    PATH.write_text(task_picture(distribution, task, jax.random.key(seed)).svg, encoding="utf-8")
    print(f"Drawn: {PATH}")


def task_picture(distribution: TaskDistribution, task: XLandTask, key: PRNGKeyArray) -> Picture:
    """The grid on the left, with the observed cells framed; on the right the goal and the rules, dead ends in grey."""
    state, _ = distribution.reset(task, key)
    goal, rules = np.asarray(task.goal), [rule for rule in np.asarray(task.rules) if rule[0]]
    goal_in_words, rules_in_words = in_words(goal, np.asarray(task.rules))
    useful = leads_to_goal(goal, rules)
    height = max(2.6, _ROW * (len(rules) + 3))
    with canvas.style_context():
        figure = Figure(figsize=(6.4, height))
        axes = figure.add_axes((0.01, 1 - 2.5 / height, 2.4 / 6.4, 2.4 / height))
        _draw_grid(axes, state)
        told = figure.add_axes((2.6 / 6.4, 0.0, 3.75 / 6.4, 1.0))
        told.set_xlim(0, 3.75)
        told.set_ylim(-height, 0)
        told.axis("off")
        _heading(told, 0.25, "goal")
        _line(told, 0.25 + _ROW, _tiles(goal[1:]), "", goal_in_words, colour=INK)
        _heading(told, 0.25 + 2 * _ROW, "rules, dead ends in grey" if not all(useful) else "rules" if rules else "no rules")
        for row, (rule, words, used) in enumerate(zip(rules, rules_in_words, useful, strict=True), start=3):
            _line(told, 0.25 + row * _ROW, _tiles(rule[1:]), "→", words, colour=INK if used else MUTED)
        return canvas.finish(
            figure,
            name="task",
            title="A task of XLand-MiniGrid",
            caption=f"Left: the start of an episode; framed: the {VIEW} x {VIEW} observed cells. Right: the hidden task.",
            alternative=f"Goal: {goal_in_words}. Rules: {'; '.join(rules_in_words) or 'none'}.",
        )


def _tiles(numbers: np.ndarray) -> list[np.ndarray]:
    """The objects of an encoding in the order of the words: of two parts, the second comes first."""
    tiles = [tile for tile in numbers.reshape(-1, 2) if tile[0]]
    parts = 2 if len(numbers) == 4 else len(tiles) - 1
    return tiles[:parts][::-1] + tiles[parts:]


def _draw_grid(axes: Axes, state: XLandState) -> None:
    grid, position = np.asarray(state.grid), np.asarray(state.position)
    size = len(grid)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.axis("off")
    scale = 2.4 * 72 / size * 0.6
    for row, column in np.ndindex(size, size):
        tile = grid[row, column]
        wall = tile[0] == _WALL
        face = MUTED if wall else "none"
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=face, edgecolor=GRID, linewidth=0.8))
        if tile[0] in _DOORS:
            door: dict[str, Any] = {"facecolor": "none", "edgecolor": _COLOURS.get(int(tile[1]), INK), "linewidth": 2.0}
            axes.add_patch(Rectangle((column - 0.35, row - 0.35), 0.7, 0.7, **door))
        elif int(tile[0]) in SHAPES:
            _object(axes, column, row, tile, scale)
    direction = int(state.direction)
    axes.plot(position[1], position[0], marker=_HEADING[direction], color=INK, markersize=0.8 * scale, linestyle="none")
    centre = position + (VIEW // 2) * np.array(_AHEAD[direction])
    corner = (centre[1] - VIEW / 2, centre[0] - VIEW / 2)
    axes.add_patch(
        Rectangle(corner, VIEW, VIEW, facecolor="none", edgecolor=canvas.LIGHT[0], linewidth=1.8, linestyle=(0, (4, 2)))
    )


def _object(axes: Axes, x: float, y: float, tile: np.ndarray, scale: float) -> None:
    shape, colour = int(tile[0]), _COLOURS.get(int(tile[1]), INK)
    style: dict[str, Any] = {"markerfacecolor": colour, "markeredgecolor": INK, "markeredgewidth": 0.7}
    axes.plot(x, y, marker=_MARKS[shape], markersize=scale * _LARGER.get(shape, 1.0), linestyle="none", clip_on=False, **style)


def _heading(axes: Axes, y: float, words: str) -> None:
    axes.text(0, -y, words, color=MUTED, fontsize=9, verticalalignment="center")


def _line(axes: Axes, y: float, tiles: list[np.ndarray], last: str, words: str, *, colour: str) -> None:
    """The objects of a goal or a rule, with the sign `last` before the last of them, and its words."""
    signs = ["", *["+"] * (len(tiles) - 1)]
    signs[-1] = last or signs[-1]
    for place, (tile, sign) in enumerate(zip(tiles, signs, strict=True)):
        _object(axes, 0.12 + 0.34 * place, -y, tile, 11)
        middle: Any = {"horizontalalignment": "center", "verticalalignment": "center"}
        axes.text(0.34 * place - 0.05, -y, sign, color=colour, fontsize=8, **middle)
    axes.text(1.02, -y, words, color=colour, fontsize=8, verticalalignment="center")


if __name__ == "__main__":
    main()
