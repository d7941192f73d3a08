"""Point navigation: a point on a plane that must find its goal from what it is paid for being near it.

The setting of Finn et al. 2017 (MAML, section 5.3): a point begins every episode at the origin and sees where it is; the goal
lies in the square [-0.5, 0.5]² and stays for the lifetime; actions are velocities, at most 0.1 a step along each axis; a step
pays minus the squared distance to the goal; an episode is over within 0.01 of it, or after 100 steps.

Rewards. `dense` is the paper's, the squared distance. `distance` is that of the code that its authors published, minus the
distance itself (and it asks for the 0.01 of each coordinate). Which of the two the figures were measured with that everybody
quotes, an episode's return of -40.41, -11.68, -3.33 and -3.23 after 0, 1, 2 and 3 gradient steps, is not known to us. Beside
them, an episode in `train` of standing still, of random actions and of one who knows the goal: -16.67, -49.3 and -0.13 with
squares, -38.26, -61.9 and -0.49 without.

`sparse` pays 0 farther than 0.2 from the goal, and 0.2 minus the distance within. Its goals lie on the circle of radius 1
around the start, as in the sparse point robot of Rakelly et al. 2019 (theirs on half of it): in the square of the dense goals a
straight walk meets the goal soon, but nothing is paid near the start of this circle, and the search costs 26 of the
first episode's 93 paid steps. There no episode is terminated: an agent that ended it by arriving would be better off to stay
just outside.

Splits are disjoint by construction: `mark_split` stamps the split's number on the goal (sparse: on its direction).

- `train`, `test`: as above.
- `ood:far-goals`: goals beyond the square, in [-1, 1]²; sparse: on the circle of radius 1.5.
- `ood:weak-actuator`: the point moves half as far as it is told to.
- `ood:turned`: the point moves at a right angle to where it is told to, to the left.

`ceiling` is exact: closing up at full speed along both axes is nearest at every step at once. `floor` is simulated, with 1024
random walks for every task; it is off by 0.1 % at most (dense), 1 % (distance) and 5 % (sparse), for all tasks alike.
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
"""Farthest move along one axis in one step."""
ARRIVED = 0.01
"""Nearer to the goal than this, a dense episode is over."""
PAID_WITHIN = 0.2
"""Distance within which the sparse reward pays."""
RADIUS, FAR_RADIUS = 1.0, 1.5
"""Of the circles that sparse goals lie on."""

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
      episodes: in one lifetime.
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
        # Without bounds, as in the source: most of what can be reached in an episode is far from where anyone goes.
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
        # Turned walks are as likely as others. One seed for all tasks: a floor is a function of its task alone.
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
    """What a step pays that ends at this squared distance from the goal."""
    if reward == "dense":
        return -away
    if reward == "distance":
        return -jnp.sqrt(away)
    return jnp.maximum(PAID_WITHIN - jnp.sqrt(away), 0.0)


def _arrived(away: Float[Array, "*n"]) -> Bool[Array, "*n"]:
    """Whether this squared distance from the goal ends an episode."""
    return away < ARRIVED**2


def _move(task: PointTask, action: Float[Array, "2"]) -> Float[Array, "2"]:
    """What an action does: turned, and made stronger or weaker."""
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
        # Each walk and its mirror image: what is left of chance then is how far they go, not where to.
        away = jnp.square(jnp.stack([position, -position]) - task.goal[None, None]).sum(axis=-1)
        total = total + jnp.where(over, 0.0, _payment(reward, away))
        ends = _arrived(away) if reward != "sparse" else jnp.zeros_like(over)
        return (position, over | ends, total), jnp.square(position).sum(axis=-1).mean()

    walks = actions.shape[1]
    start = (jnp.zeros((walks, 2)), jnp.zeros((2, walks), bool), jnp.zeros((2, walks)))
    (_, _, total), spread = jax.lax.scan(step, start, actions)
    if reward != "dense":
        return total.mean()
    # How far walks go is known: the variance of t moves is t/3 SPEED² along each axis. What these went too far is given back.
    known = 2 / 3 * jnp.square(task.strength * SPEED) * jnp.arange(1.0, len(actions) + 1)
    return total.mean() + (spread - known).sum()


def _baselines(spec: Spec, reward: Reward) -> dict[str, Callable[[], Agent]]:
    """The classical opponents."""
    if reward == "sparse":
        search = partial(circle_search_agent, spec, radius=RADIUS, paid_within=PAID_WITHIN)
        return {"random": partial(random_agent, spec), "circle search": search}
    locate = partial(trilateration_agent, spec, squared=reward == "dense")
    return {"random": partial(random_agent, spec), "trilateration": locate}
