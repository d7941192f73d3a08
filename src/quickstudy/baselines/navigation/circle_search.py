"""A search along a circle, or a part of one, on which a goal must lie, when nothing is paid but near the goal.

The belief is a number of directions. What a place pays rules out those that would have paid something else there: nothing paid
rules out all goals near by, something paid leaves those at the right distance.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.navigation.steering import Steering, bounds_of_moves, no_steering, steer, steered
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

# Half the distance between neighbouring directions at radius 1: by so much the best of them may be off.
_TOLERANCE = 0.0125
# Distance that one radian of direction is worth where all places are equally far, as they are from the origin.
_FROM_THE_END = 1e-3


@record
class Directions:
    """`error` `[directions]`: how far rewards were from what a goal there would have paid, in all; `steering`: of actions."""

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
    """An agent that walks to the nearest place on a circle that may hold the goal, until it is paid there.

    A step pays what the distance to the goal falls short of `paid_within`, and `at_the_edge` on top, and nothing beyond. The
    agent believes in its circle whatever happens; how actions turn and scale it finds out on the way.

    Args:
      spec: of the tasks; positions `[2]` as observations, moves `[2]` as actions.
      radius: of the circle, around the origin.
      paid_within: distance from the goal within which a step pays.
      at_the_edge: what a step pays at that distance, in reward units.
      arc: part of the circle that goals lie on, in radians from the x-axis to the left; 2π is all of it.
      directions: how many places on the arc are told apart.
    Raises:
      SpecError: observations or actions that are not two numbers.
    """
    low, high = bounds_of_moves(spec, agent="a circle search")
    angle = arc * jnp.arange(float(directions)) / directions
    # An arc is best searched from its end: what is left behind costs the way back. On a circle all beginnings are alike.
    reluctance = _FROM_THE_END * angle if arc < 2 * math.pi else jnp.zeros(directions)
    places = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)

    def away(position: Array) -> Float[Array, " directions"]:
        return jnp.sqrt(jnp.square(places - position[None]).sum(axis=1))

    def begin(params: tuple, key: PRNGKeyArray) -> Directions:
        del params, key
        return Directions(error=jnp.zeros(directions), steering=no_steering())

    def act(params: tuple, memory: Directions, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        possible = memory.error <= memory.error.min() + _TOLERANCE
        goal = places[jnp.argmin(jnp.where(possible, away(observation) + reluctance, jnp.inf))]
        action = jnp.clip(steer(memory.steering, goal - observation), low, high)
        return Decision(action=action, extras={"goal": goal})

    def take_in(memory: Directions, step: Transition) -> tuple[Directions, None]:
        place = step.outcome.observation
        # Without what is paid at the edge, so that directions a little off are wrong by little there too.
        nearness = jnp.maximum(step.outcome.reward - at_the_edge, 0.0)
        error = jnp.abs(jnp.maximum(paid_within - away(place), 0.0) - nearness)
        steering = steered(memory.steering, step.decision.action, place - step.observation)
        return where(step.valid, Directions(error=memory.error + error, steering=steering), memory), None

    def adapt(params: tuple, memory: Directions, experience: Transition, key: PRNGKeyArray) -> Directions:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)
