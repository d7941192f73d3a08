"""The half-circle: a point must find its goal on a half-circle around the start, and is paid only near it.

The sparse point robot of Rakelly et al. 2019 (PEARL), as in the code that its authors published.

- Drawn once per lifetime: the goal, at radius 1 in a direction between 0 and 180 degrees.
- Observation `[2]`: the position of the point. Every episode begins at the origin and has 20 steps.
- Action `[2]`: the move, at most 0.1 a step along each axis. Lengths have no unit.
- Reward: 1 minus the distance to the goal for a step that ends within 0.2 of it, else 0.

A whole half-circle cannot be searched in one episode: from the origin the nearest paid places are 6 to 8 steps away, and a
quarter of the circle takes 14. So an agent must remember from episode to episode where it was paid and where it was not.

Changed: goals are drawn from the whole half-circle, where the paper has 100 fixed ones, 80 for training; directions are
rounded (see `mark_split`). The published code meta-trains with dense rewards and adapts from sparse ones; here all rewards are
sparse.

Splits are disjoint by construction: `mark_split` writes the number of the split into the direction of the goal.

- `train`, `test`: as above.
- `ood:other-half`: directions between 180 and 360 degrees.
- `ood:far-goals`: radius 1.5.

`ceiling` is exact: moving at full speed along both axes is nearest at every step at once. `floor` is computed without
simulation. After t steps the coordinates of a random walk are independent, and each is a sum of t uniform numbers. Their
density is integrated over the 0.2 around the goal, with an error of at most 0.1 %.

Baselines: random, a search of the half-circle, and a search of the whole circle. Return of four episodes on 500 tasks of
`test` (standard error), and of each episode. Command: `pytest tests/tasks/navigation/test_half_circle.py`.

    agent                 lifetime       1      2      3       4
    ceiling               53.28 (0.14)   13.3   13.3   13.3    13.3
    half-circle search    39.16 (0.36)    3.1    9.5   13.3    13.3
    circle search         37.63 (0.47)    3.5    7.9   13.1    13.2
    floor                  0.0035

So nearly the whole return requires knowing the goal. A systematic search finds it within two episodes and has the return of
the ceiling from the third on. On `ood:other-half` the half-circle search returns 1.99 (0.37), from goals near the ends of its
half, and the search of the whole circle 23.1 (0.7), of 53.28. On `ood:far-goals` both return 0, of 34.93: they search at
radius 1, where nothing is paid.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.navigation.circle_search import circle_search_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.navigation.point_navigation import FAR_RADIUS, PAID_WITHIN, RADIUS, SPEED, PointTask, point_navigation

SPLITS = ("train", "test", "ood:other-half", "ood:far-goals")
AT_THE_EDGE = 1.0 - PAID_WITHIN
"""Reward of a step that ends at the edge of the paid disc; at the goal it is 1."""

_CELLS = 100
_NODES_OUT, _NODES_AROUND = 8, 24


def half_circle(*, horizon: int = 20, episodes: int = 4) -> TaskDistribution:
    """A point that looks for its goal on a half-circle.

    Args:
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      SpecError: a length below 1.
    Example:
      >>> half_circle().spec.lifetime_steps
      80
    Source: Rakelly et al. 2019, and the code published with it. Changed: see the module.
    """
    sparse = point_navigation(reward="sparse", horizon=horizon, episodes=episodes)
    densities = _densities(horizon)

    def sample(split: str, key: PRNGKeyArray) -> PointTask:
        half_turns = mark_split(jax.random.uniform(key), split, SPLITS) + (1.0 if split == "ood:other-half" else 0.0)
        radius = FAR_RADIUS if split == "ood:far-goals" else RADIUS
        goal = radius * jnp.stack([jnp.cos(math.pi * half_turns), jnp.sin(math.pi * half_turns)])
        return PointTask(goal=goal, strength=jnp.float32(1.0), turn=jnp.float32(0.0))

    def step(task: PointTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # Point navigation pays 0.2 minus the distance within 0.2 of the goal, and this task 1 minus the distance.
        state, outcome = sparse.step(task, state, action, key)
        return state, dataclasses.replace(outcome, reward=jnp.where(outcome.reward > 0, outcome.reward + AT_THE_EDGE, 0.0))

    def describe(task: PointTask) -> dict[str, Array]:
        return {
            "goal (x, y)": task.goal,
            "direction of the goal (degrees, to the left of x)": jnp.rad2deg(jnp.arctan2(task.goal[1], task.goal[0])),
        }

    def ceiling(task: PointTask) -> Array:
        steps = jnp.arange(1.0, horizon + 1)[:, None]
        away = jnp.linalg.norm(jnp.maximum(jnp.abs(task.goal)[None] - steps * SPEED, 0.0), axis=1)
        return episodes * jnp.where(away < PAID_WITHIN, 1.0 - away, 0.0).sum()

    return dataclasses.replace(
        sparse,
        name="half-circle",
        config={"horizon": horizon, "episodes": episodes},
        splits=SPLITS,
        sample=sample,
        step=step,
        describe=describe,
        floor=lambda task: episodes * _random_walks(task.goal, densities),
        ceiling=ceiling,
        baselines=_baselines(sparse.spec),
    )


def _densities(horizon: int) -> Float[np.ndarray, "horizon cells"]:
    """Density of one coordinate of a random walk after each step, from -2 to 2 at every `SPEED / _CELLS`."""
    step = np.full(2 * _CELLS + 1, 1.0 / (2 * _CELLS))
    step[[0, -1]] /= 2  # the trapezoidal rule
    reach = 20 * _CELLS
    place, densities = np.ones(1), np.zeros((horizon, 2 * reach + 1))
    for density in densities:
        place = np.convolve(place, step)
        middle, seen = place.size // 2, min(place.size // 2, reach)
        density[reach - seen : reach + seen + 1] = place[middle - seen : middle + seen + 1]
    return densities / (SPEED / _CELLS)


def _random_walks(goal: Float[Array, "2"], densities: Float[np.ndarray, "horizon cells"]) -> Float[Array, ""]:
    """Expected return of an episode of uniformly random actions."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_OUT)
    out, weights = PAID_WITHIN * (nodes + 1) / 2, PAID_WITHIN * weights / 2
    around = 2 * math.pi * np.arange(_NODES_AROUND) / _NODES_AROUND
    directions = np.stack([np.cos(around), np.sin(around)], axis=1)
    offsets = (out[:, None, None] * directions).reshape(-1, 2)
    weight = np.repeat((1 - out) * out * weights * 2 * math.pi / _NODES_AROUND, _NODES_AROUND)
    cell = (goal[None] + jnp.float32(offsets)) / (SPEED / _CELLS) + (densities.shape[1] - 1) / 2
    below = jnp.floor(cell).astype(jnp.int32)
    share, table = (cell - jnp.floor(cell))[None], jnp.float32(densities)
    along = (1 - share) * table[:, below] + share * table[:, below + 1]
    return (along.prod(axis=-1) * jnp.float32(weight)[None]).sum()


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents: one that knows the half-circle, and one that searches the whole circle."""
    search = partial(circle_search_agent, spec, radius=RADIUS, paid_within=PAID_WITHIN, at_the_edge=AT_THE_EDGE)
    return {
        "random": partial(random_agent, spec),
        "half-circle search": partial(search, arc=math.pi),
        "circle search": search,
    }
