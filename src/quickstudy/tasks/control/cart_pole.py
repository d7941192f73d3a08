"""Cart-pole: a pole on a cart must be kept upright, with a mass, length, gravity and motor that nobody tells.

The task of Barto, Sutton and Anderson 1983 with the equations of Gymnasium's CartPole-v1, Euler's method in steps of 0.02 s.
With the cart's position x, the pole's angle θ from upright, half-length l, masses M = 1 kg and m, and the force F of a push,

    p = (F + m l ω² sin θ) / (M + m)
    ω' = (g sin θ - p cos θ) / (l (4/3 - m cos² θ / (M + m)))        v' = p - m l ω' cos θ / (M + m)

Every step pays 1, the one that ends the episode too: it is terminated when the pole leans by more than 12 degrees or the cart
is more than 2.4 m away. An episode begins with all of x, v, θ, ω within -0.05 and 0.05, which are seen; a push is full force,
to the left (0) or to the right (1).

The parameters stay for the lifetime. They make tasks different, but not enough that one would have to adapt: on 300 tasks of
`train` one rule for all, `baselines.linear_control`, keeps every pole up for all 200 steps, and the best of 120
random rules does so on 60 tasks with masses of 0.05 to 2 kg, half-lengths of 0.1 to 2 m, gravity of 4 to 20 m/s² and forces of
2 to 30 N. What a single rule cannot do is to push a cart whose motor goes either way: `directions="either"` draws tasks of
both kinds, and the same rule then keeps up half of them. Take that to study adaptation, and the default to study robustness.

Return of four episodes, 60 tasks of `train`: the fixed rule 800 of 800, with either direction 368; the rule that looks first
which way the cart goes 800 and 800; random 104, `floor` 100. Not any rule will do: a linear-quadratic regulator for the nominal
cart-pole (0.1 kg, 0.5 m, 9.8 m/s², 10 N; state costs 1, 0.1, 10, 0.1, action cost 0.01) keeps up 73 % of 300 tasks.

Splits are disjoint by construction: `mark_split` stamps the split's number into where each parameter lies within its range.

- `train`, `test`: pole mass 0.05 to 0.5 kg, half-length 0.25 to 1 m, gravity 7 to 13 m/s², force 5 to 15 N.
- `ood:heavy-pole`: mass 0.5 to 2 kg.
- `ood:long-pole`: half-length 1 to 2 m.
- `ood:weak-actuator`: force 2 to 5 N.
- `ood:reversed`: force -15 to -5 N: pushes go the other way. Not there with `directions="either"`, where that is half of
  all tasks of every split.

`ceiling` is an upper bound, the length of the lifetime; the rule above attains it on `train`. `floor` is simulated (256
episodes for every task).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.control.linear_control import direction_finding_agent, linear_control_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.control.varying_physics import draw_parameters, splits_of
from quickstudy.tasks.simulated_return import evenly, random_policy, simulated_return

RANGES = {"mass": (0.05, 0.5), "length": (0.25, 1.0), "gravity": (7.0, 13.0), "force": (5.0, 15.0)}
OTHER_RANGES = {
    "ood:heavy-pole": {"mass": (0.5, 2.0)},
    "ood:long-pole": {"length": (1.0, 2.0)},
    "ood:weak-actuator": {"force": (2.0, 5.0)},
    "ood:reversed": {"force": (-15.0, -5.0)},
}
CART_MASS = 1.0
SECONDS = 0.02
FARTHEST = 2.4
"""Of the cart from the middle, metres."""
STEEPEST = 12 * math.pi / 180
"""Of the pole from upright, radians."""
START = 0.05
"""Episodes begin with every number of the state within this of 0."""

Directions = Literal["forward", "either"]

_SIMULATIONS = 256


@record
class CartPoleTask:
    """`mass` `[]` of the pole, kg; `length` `[]`, half of it, m; `gravity` `[]` m/s²; `force` `[]` N, of a push to the
    right."""

    mass: Float[Array, ""]
    length: Float[Array, ""]
    gravity: Float[Array, ""]
    force: Float[Array, ""]


def cart_pole(*, directions: Directions = "forward", horizon: int = 200, episodes: int = 4) -> TaskDistribution:
    """A pole on a cart, of unknown parameters.

    Args:
      directions: forward, where every motor pushes as it is told (but those of ood:reversed), or either, where half do the
        opposite.
      horizon: steps in one episode, of 0.02 s each.
      episodes: in one lifetime.
    Raises:
      UnknownNameError: no such directions.
      SpecError: a length below 1.
    Example:
      >>> cart_pole().spec.lifetime_steps
      800
    Source: Barto et al. 1983; Gymnasium 1.2, CartPole-v1. Changed: parameters vary; 200 steps, as in CartPole-v0, where v1 has
      500; observations have no bounds; parameters are rounded (see `mark_split`).
    """
    if directions not in get_args(Directions):
        raise UnknownNameError("directions", directions, get_args(Directions))
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (4,)),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )
    either = directions == "either"
    splits = splits_of(OTHER_RANGES, either=either)

    def sample(split: str, key: PRNGKeyArray) -> CartPoleTask:
        return CartPoleTask(**draw_parameters(split, key, ranges=RANGES, others=OTHER_RANGES, motor="force", either=either))

    def reset(task: CartPoleTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task
        state = jax.random.uniform(key, (4,), minval=-START, maxval=START)
        return state, state

    def step(task: CartPoleTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        state = state + SECONDS * _rates(task, state, jnp.where(action == 1, task.force, -task.force))
        no = jnp.asarray(False)
        fallen = (jnp.abs(state[0]) > FARTHEST) | (jnp.abs(state[2]) > STEEPEST)
        return state, Outcome(observation=state, reward=jnp.float32(1.0), terminated=fallen, truncated=no)

    starts = np.float32(START) * (2 * evenly(_SIMULATIONS, 4) - 1)
    return TaskDistribution(
        name="cart-pole",
        config={"directions": directions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=splits,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {
            "pole mass (kg)": task.mass,
            "half the pole's length (m)": task.length,
            "gravity (m/s²)": task.gravity,
            "force of a push to the right (N)": task.force,
        },
        floor=simulated_return(starts, lambda state: state, step, random_policy(spec), spec),
        ceiling=lambda task: jnp.full_like(task.mass, spec.lifetime_steps),
        baselines=_baselines(spec),
    )


def _rates(task: CartPoleTask, state: Float[Array, "4"], force: Float[Array, ""]) -> Float[Array, "4"]:
    """How fast position, velocity, angle and angular velocity change, each per second."""
    _, velocity, angle, spin = state
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    total = CART_MASS + task.mass
    push = (force + task.mass * task.length * spin**2 * sine) / total
    inertia = task.length * (4.0 / 3.0 - task.mass * cosine**2 / total)
    angular = (task.gravity * sine - cosine * push) / inertia
    linear = push - task.mass * task.length * angular * cosine / total
    return jnp.stack([velocity, linear, spin, angular])


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """The classical opponents: a fixed rule, and the same rule that first finds out which way pushes go."""
    return {
        "random": partial(random_agent, spec),
        "linear control": partial(linear_control_agent, spec),
        "linear control (finds the direction)": partial(direction_finding_agent, spec),
    }
