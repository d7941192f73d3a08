"""Point navigation: a point on a plane must find its goal from rewards for being near it.

The setting of Finn et al. 2017 (MAML, section 5.3).

- Drawn once per lifetime: the goal, uniformly in the square [-0.5, 0.5]².
- Observation `[2]`: the position of the point. Every episode begins at the origin.
- Action `[2]`: the move, at most 0.1 a step along each axis. Lengths have no unit.
- Reward: minus the squared distance to the goal after the step. An episode terminates within 0.01 of the goal; else it has 100
  steps.

Rewards. `dense` is the paper's, the squared distance. `distance` is that of the code that the authors published, minus the
distance itself (there each coordinate must be within 0.01). The paper reports returns of an episode of -40.41, -11.68, -3.33
and -3.23 after 0, 1, 2 and 3 gradient steps, and it is not known which of the two rewards they are for. For comparison, an
episode in `train` of standing still, of random actions and of the ceiling returns -16.67, -49.3 and -0.13 with squares, and
-38.26, -61.9 and -0.49 without.

`sparse` pays 0 farther than 0.2 from the goal, and 0.2 minus the distance within. Its goals lie on the circle of radius 1
around the start, as in the sparse point robot of Rakelly et al. 2019 (there on half of it). In the square of the dense goals a
straight walk would soon meet the goal. On this circle nothing is paid near the start, and the search costs 26 of the first
episode's 93 paid steps. No sparse episode terminates: an agent whose episode ended at the goal would do better to stay just
outside.

Splits are disjoint by construction: `mark_split` writes the number of the split into the goal (sparse: into its direction).

- `train`, `test`: as above.
- `ood:far-goals`: goals outside the square, in [-1, 1]²; sparse: on the circle of radius 1.5.
- `ood:weak-actuator`: the point moves half as far as commanded.
- `ood:turned`: the point moves at a right angle to the command, to the left.

`ceiling` is exact: moving at full speed along both axes is nearest at every step at once. `floor` is simulated with 1024
random walks for every task. Its error is at most 0.1 % (dense), 1 % (distance) and 5 % (sparse), the same for all tasks.

Baselines: random, and trilateration (dense, distance) or a search of the circle (sparse). Trilateration knows the goal after
three steps, and from the second episode on its return is that of the ceiling. Command:
`pytest tests/tasks/navigation/test_point_navigation.py`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.baselines.navigation.circle_search import circle_search_agent
from quickstudy.baselines.navigation.trilateration import trilateration_agent
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.rotation import turned
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:far-goals", "ood:weak-actuator", "ood:turned")
SPEED = 0.1
"""Largest move along one axis in one step."""
ARRIVED = 0.01
"""Distance to the goal below which a dense episode terminates."""
PAID_WITHIN = 0.2
"""Distance within which the sparse reward pays."""
RADIUS, FAR_RADIUS = 1.0, 1.5
"""Radii of the circles of sparse goals, of `train` and of `ood:far-goals`."""

Reward = Literal["dense", "distance", "sparse"]

_WALKS = 1024


@record
class PointTask:
    """A goal and an actuator.

    `goal` `[2]`: x and y. `strength` `[]`: distance moved for each unit of the action. `turn` `[]`: angle from the action to
    the move, in radians, positive to the left.
    """

    goal: Float[Array, "2"]
    strength: Float[Array, ""]
    turn: Float[Array, ""]


def point_navigation(*, reward: Reward = "dense", horizon: int = 100, episodes: int = 4) -> TaskDistribution:
    """A point that looks for its goal on a plane.

    Args:
      reward: dense (minus the squared distance), distance (minus the distance), or sparse (only near the goal).
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      UnknownNameError: no such reward.
      SpecError: a length below 1.
    Example:
      >>> point_navigation().spec.lifetime_steps
      400
    Source: Finn et al. 2017, section 5.3. Changed: coordinates are rounded to multiples of 2^-20 (see `mark_split`); a number
      of episodes makes a lifetime, where MAML collects 20 trajectories for each gradient step.
    """
    if reward not in get_args(Reward):
        raise UnknownNameError("reward", reward, get_args(Reward))
    spec = Spec(
        # Without bounds, as in the source: bounds of what can be reached would be far wider than where agents go.
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (2,)),
        action_space=gymnasium.spaces.Box(-SPEED, SPEED, (2,)),
        horizon=horizon,
        episodes=episodes,
    )
    payment = partial(_payment, reward)

    def sample(split: str, key: PRNGKeyArray) -> PointTask:
        return PointTask(
            goal=_circle_goal(split, key) if reward == "sparse" else _square_goal(split, key),
            strength=jnp.float32(0.5 if split == "ood:weak-actuator" else 1.0),
            turn=jnp.float32(math.pi / 2 if split == "ood:turned" else 0.0),
        )

    def reset(task: PointTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.zeros(2), jnp.zeros(2)

    def step(task: PointTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        position = state + _move(task, jnp.clip(action, -SPEED, SPEED))
        away = jnp.square(position - task.goal).sum()
        no = jnp.asarray(False)
        terminated = _arrived(away) if reward != "sparse" else no
        return position, Outcome(observation=position, reward=payment(away), terminated=terminated, truncated=no)

    def describe(task: PointTask) -> dict[str, Array]:
        return {
            "goal (x, y)": task.goal,
            "actuator strength (distance moved / action)": task.strength,
            "actuator turn (degrees, to the left)": jnp.rad2deg(task.turn),
        }

    def ceiling(task: PointTask) -> Array:
        steps = jnp.arange(1.0, horizon + 1)[:, None]
        # Turned by a right angle, the square of moves is the same square.
        left = jnp.maximum(jnp.abs(task.goal)[None] - steps * task.strength * SPEED, 0.0)
        return episodes * _played(reward, jnp.square(left).sum(axis=1)).sum()

    def floor(task: PointTask) -> Array:
        # Random walks have the same distribution after a rotation. One seed for all tasks: a floor depends on its task alone.
        actions = jax.random.uniform(jax.random.key(0), (horizon, _WALKS, 2), minval=-SPEED, maxval=SPEED)
        return episodes * _random_walks(reward, task, actions)

    return TaskDistribution(
        name="point-navigation",
        config={"reward": reward, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=ceiling,
        baselines=_baselines(spec, reward),
    )


def _payment(reward: Reward, away: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Reward of a step that ends at this squared distance from the goal."""
    if reward == "dense":
        return -away
    if reward == "distance":
        return -jnp.sqrt(away)
    return jnp.maximum(PAID_WITHIN - jnp.sqrt(away), 0.0)


def _arrived(away: Float[Array, "*n"]) -> Bool[Array, "*n"]:
    """Whether this squared distance from the goal ends an episode."""
    return away < ARRIVED**2


def _move(task: PointTask, action: Float[Array, "2"]) -> Float[Array, "2"]:
    """The move that an action causes: rotated and scaled."""
    return task.strength * turned(action, task.turn)


def _square_goal(split: str, key: PRNGKeyArray) -> Float[Array, "2"]:
    """A goal in the square, or in the frame around it."""
    key_place, key_side = jax.random.split(key)
    across, along = mark_split(jax.random.uniform(key_place, (2,)), split, SPLITS)
    if split != "ood:far-goals":
        return jnp.stack([across, along]) - 0.5
    # The frame is a rectangle of 1.5 by 0.5 above the square, and the same turned by one, two and three right angles.
    rectangle = jnp.stack([1.5 * across - 1.0, 0.5 * along + 0.5])
    by_side = jnp.stack([rectangle, rectangle[::-1] * jnp.float32([-1, 1]), -rectangle, rectangle[::-1] * jnp.float32([1, -1])])
    return by_side[jax.random.randint(key_side, (), 0, 4)]


def _circle_goal(split: str, key: PRNGKeyArray) -> Float[Array, "2"]:
    """A goal in a random direction."""
    turns = mark_split(jax.random.uniform(key), split, SPLITS)
    radius = FAR_RADIUS if split == "ood:far-goals" else RADIUS
    return radius * jnp.stack([jnp.cos(2 * math.pi * turns), jnp.sin(2 * math.pi * turns)])


def _played(reward: Reward, away: Float[Array, "steps"]) -> Float[Array, "steps"]:
    """Rewards of an episode by the squared distances after its steps: 0 once it is over."""
    paid = _payment(reward, away)
    if reward == "sparse":
        return paid
    arrived = _arrived(away).astype(jnp.int32)
    return jnp.where(jnp.cumsum(arrived) == arrived, paid, 0.0)


def _random_walks(reward: Reward, task: PointTask, actions: Float[Array, "steps walks 2"]) -> Float[Array, ""]:
    """Mean return of an episode of uniformly random actions."""

    def step(carry: tuple, action: Array) -> tuple[tuple, Array]:
        position, over, total = carry
        position = position + task.strength * action
        # Each walk and its mirror image, so that the mean direction has no error and only the distance has one.
        away = jnp.square(jnp.stack([position, -position]) - task.goal[None, None]).sum(axis=-1)
        total = total + jnp.where(over, 0.0, _payment(reward, away))
        ends = _arrived(away) if reward != "sparse" else jnp.zeros_like(over)
        return (position, over | ends, total), jnp.square(position).sum(axis=-1).mean()

    walks = actions.shape[1]
    start = (jnp.zeros((walks, 2)), jnp.zeros((2, walks), bool), jnp.zeros((2, walks)))
    (_, _, total), spread = jax.lax.scan(step, start, actions)
    if reward != "dense":
        return total.mean()
    # A control variate: the variance of t moves is known, t/3 SPEED² along each axis, so the excess of these walks is removed.
    known = 2 / 3 * jnp.square(task.strength * SPEED) * jnp.arange(1.0, len(actions) + 1)
    return total.mean() + (spread - known).sum()


def _baselines(spec: Spec, reward: Reward) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents."""
    if reward == "sparse":
        search = partial(circle_search_agent, spec, radius=RADIUS, paid_within=PAID_WITHIN)
        return {"random": partial(random_agent, spec), "circle search": search}
    locate = partial(trilateration_agent, spec, squared=reward == "dense")
    return {"random": partial(random_agent, spec), "trilateration": locate}
