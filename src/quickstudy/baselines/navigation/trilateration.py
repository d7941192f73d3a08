"""Trilateration: the position of a goal from its distances to three places, and then the straight way to it.

Rewards that depend on the distance determine the goal: two distances leave two candidates, mirror images of one another, and a
third distance decides between them. Without noise this is exact, so later episodes are optimal.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.navigation.steering import Steering, bounds_of_moves, no_steering, steer, steered
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

_HALF_SIDE = 0.5
_PREFERENCE = 1e-4


@record
class Distances:
    """The candidates for the goal, and the observed distances.

    `place` `[2, 2]`: the first two places; `squared` `[2]`: squared distances of the goal from them. `candidate` `[2, 2]`:
    possible positions of the goal; `error` `[2]`: error of each on later distances. `seen` `[]`: distances so far. `steering`:
    of actions.
    """

    place: Float[Array, "2 2"]
    squared: Float[Array, "2"]
    candidate: Float[Array, "2 2"]
    error: Float[Array, "2"]
    seen: Int[Array, ""]
    steering: Steering


def trilateration_agent(spec: Spec, *, squared: bool = True) -> Agent:
    """An agent that finds a goal on a plane from distances, and goes there at full speed.

    It moves once along each axis. The circles around both places meet in

        p₁ + a u ± h v      a = (d₁² − d₂² + c²) / 2c      h² = d₁² − a²

    where c is the distance of the places, u the direction from the first to the second, and v is u turned by a right angle. It
    moves to the candidate that fits later distances better, and at first to the one nearer to the square [-0.5, 0.5]². It
    assumes rewards without noise, and estimates how actuators rotate and scale actions.

    Args:
      spec: of the tasks; positions `[2]` as observations, moves `[2]` as actions.
      squared: rewards are minus the squared distance to the goal; else minus the distance.
    Raises:
      SpecError: observations or actions that are not two numbers.
    """
    low, high = bounds_of_moves(spec, agent="trilateration")

    def begin(params: tuple, key: PRNGKeyArray) -> Distances:
        del params, key
        return Distances(
            place=jnp.zeros((2, 2)),
            squared=jnp.zeros(2),
            candidate=jnp.zeros((2, 2)),
            error=jnp.zeros(2),
            seen=jnp.int32(0),
            steering=no_steering(),
        )

    def act(params: tuple, memory: Distances, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        # Two moves at a right angle: however actuators rotate them, the three places are not on one line.
        exploring = jnp.where(jnp.arange(2) == memory.seen, high, 0.0)
        goal = memory.candidate[jnp.argmin(memory.error)]
        moving = jnp.clip(steer(memory.steering, goal - observation), low, high)
        return Decision(action=jnp.where(memory.seen < 2, exploring, moving), extras={"goal": goal})

    def take_in(memory: Distances, step: Transition) -> tuple[Distances, None]:
        place, reward = step.outcome.observation, step.outcome.reward
        away = -reward if squared else jnp.square(reward)
        now = jnp.arange(2) == memory.seen
        places = jnp.where(now[:, None], place[None], memory.place)
        distances = jnp.where(now, away, memory.squared)
        both = memory.seen == 1
        candidate = jnp.where(both, _meeting(places, distances), memory.candidate)
        misfit = jnp.abs(jnp.square(candidate - place[None]).sum(axis=1) - away)
        error = jnp.where(both, _outside_square(candidate), memory.error + jnp.where(memory.seen > 1, misfit, 0.0))
        following = Distances(
            place=places,
            squared=distances,
            candidate=candidate,
            error=error,
            seen=memory.seen + 1,
            steering=steered(memory.steering, step.decision.action, place - step.observation),
        )
        return where(step.valid, following, memory), None

    def adapt(params: tuple, memory: Distances, experience: Transition, key: PRNGKeyArray) -> Distances:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def _meeting(place: Float[Array, "2 2"], squared: Float[Array, "2"]) -> Float[Array, "2 2"]:
    """`[2, 2]`: the two intersections of two circles; the same point twice where they only touch."""
    apart = place[1] - place[0]
    between = jnp.maximum(jnp.sqrt(jnp.square(apart).sum()), 1e-8)
    direction = apart / between
    along = (squared[0] - squared[1] + between**2) / (2 * between)
    aside = jnp.sqrt(jnp.maximum(squared[0] - along**2, 0.0)) * jnp.stack([-direction[1], direction[0]])
    foot = place[0] + along * direction
    return jnp.stack([foot + aside, foot - aside])


def _outside_square(place: Float[Array, "2 2"]) -> Float[Array, "2"]:
    """Distances of places from the square, scaled down so that any observed distance outweighs them."""
    return _PREFERENCE * jnp.maximum(jnp.abs(place) - _HALF_SIDE, 0.0).max(axis=1)
