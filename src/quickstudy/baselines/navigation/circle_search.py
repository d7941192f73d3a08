"""A search along a circle, or an arc, on which the goal must lie, when only steps near the goal are paid.

The belief is a finite set of directions. The reward at a place rules out the goals that would have paid another reward there:
no reward rules out all goals near by, and a reward leaves those at the right distance.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.navigation.steering import Steering, bounds_of_moves, no_steering, steer, steered
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

# Half the distance between neighbouring directions at radius 1, the largest error of the best of them.
_TOLERANCE = 0.0125
# Added distance for each radian of direction; it breaks ties where all places are equally far, as from the origin.
_FROM_THE_END = 1e-3


@record
class Directions:
    """`error` `[directions]`: sum of absolute differences from the rewards of a goal there; `steering`: of actions."""

    error: Float[Array, " directions"]
    steering: Steering


def circle_search_agent(
    spec: Spec,
    *,
    radius: float = 1.0,
    paid_within: float = 0.2,
    at_the_edge: float = 0.0,
    arc: float = 2 * math.pi,
    directions: int = 256,
) -> Agent:
    """An agent that moves to the nearest place on a circle that can hold the goal, until it is paid there.

    Within `paid_within` of the goal a step pays `at_the_edge` plus `paid_within` minus the distance, and elsewhere 0. The prior
    is fixed to the circle. The agent estimates how actuators rotate and scale actions.

    Args:
      spec: of the tasks; positions `[2]` as observations, moves `[2]` as actions.
      radius: of the circle, around the origin.
      paid_within: distance from the goal within which a step pays.
      at_the_edge: reward of a step at that distance.
      arc: part of the circle with goals, in radians from the x-axis to the left; 2π is all of it.
      directions: number of places on the arc in the belief.
    Raises:
      SpecError: observations or actions that are not two numbers.
    """
    low, high = bounds_of_moves(spec, agent="a circle search")
    angle = arc * jnp.arange(float(directions)) / directions
    # An arc is best searched from its end, since skipped places cost the way back. On a circle all starts are equal.
    end_first = _FROM_THE_END * angle if arc < 2 * math.pi else jnp.zeros(directions)
    places = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)

    def away(position: Array) -> Float[Array, " directions"]:
        return jnp.sqrt(jnp.square(places - position[None]).sum(axis=1))

    def begin(params: tuple, key: PRNGKeyArray) -> Directions:
        del params, key
        return Directions(error=jnp.zeros(directions), steering=no_steering())

    def act(params: tuple, memory: Directions, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        possible = memory.error <= memory.error.min() + _TOLERANCE
        goal = places[jnp.argmin(jnp.where(possible, away(observation) + end_first, jnp.inf))]
        action = jnp.clip(steer(memory.steering, goal - observation), low, high)
        return Decision(action=action, extras={"goal": goal})

    def take_in(memory: Directions, step: Transition) -> tuple[Directions, None]:
        place = step.outcome.observation
        # Without the jump at the edge, so that the error is continuous in the direction.
        nearness = jnp.maximum(step.outcome.reward - at_the_edge, 0.0)
        error = jnp.abs(jnp.maximum(paid_within - away(place), 0.0) - nearness)
        steering = steered(memory.steering, step.decision.action, place - step.observation)
        return where(step.valid, Directions(error=memory.error + error, steering=steering), memory), None

    def adapt(params: tuple, memory: Directions, experience: Transition, key: PRNGKeyArray) -> Directions:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)
