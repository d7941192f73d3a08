"""Pendulum: a rod that is too heavy to be lifted at once must be swung up, with a mass, length, gravity and motor nobody tells.

The task of Gymnasium's Pendulum-v1, whose equations these are. With the angle θ from upright, a step of 0.05 s does

    ω' = ω + (3g/2l sin θ + 3k/ml² u) 0.05, within -8 and 8        θ' = θ + 0.05 ω'

and pays -(θ² + 0.1 ω² + 0.001 u²) as it was before the step, with θ within -π and π. An episode has 200 steps and begins at an
angle within -π and π and a velocity within -1 and 1. Seen are cos θ, sin θ and ω. The torque signal u lies within -2 and 2.

Mass, length, gravity and strength stay for the lifetime. They matter through two numbers, 3g/2l and 3k/ml², so that tasks with
the same two are the same to whoever plays them. At speeds up to 8 the top is in reach where g/l is 10.67 or less; all ranges
keep to that.

Splits are disjoint by construction: `mark_split` stamps the split's number into where each parameter lies within its range.

- `train`, `test`: mass 0.6 to 1.4, length 1 to 1.5, gravity 7 to 10, strength 0.7 to 1.3.
- `ood:heavy`: mass 1.4 to 2.
- `ood:long`: length 1.5 to 2.
- `ood:weak-actuator`: strength 0.4 to 0.7.
- `ood:reversed`: strength -1.3 to -0.7, so that the motor turns the other way. Not there with `directions="either"`, where
  that is half of all tasks of every split.

`floor` is simulated, by 128 episodes on each task that begin evenly everywhere. `ceiling` is an estimate and no upper bound:
energy shaping with a linear catch, told the task, from the same beginnings (and random actions in episodes so short that these
earn more). On five tasks across `train` the optimum, found by dynamic programming (a grid of 181 by 121, 17 torques), is 2 to
11 reward units an episode higher: with all parameters nominal (1 kg, 1 m, 10 m/s², strength 1) -137 where `ceiling` says -148.

Return of four episodes, 100 tasks of `train` (standard error): `ceiling` -666; energy shaping of a pendulum that is identified
on the way -708 (34); of one and the same pendulum for all -790 (59); random -4729 (68), `floor` -4645. That one, 3g/2l = 9 and
3k/ml² = 1, is the best of 140 for 300 tasks of `train`; the nominal one, 15 and 3, makes it -1679 (97). So on `train` there is
little to adapt to, as with the cart-pole. There is more for what was made for `train`: on `ood:heavy`, `ood:long` and
`ood:weak-actuator` the fixed controller earns -1460 to -1630 where the other earns -1015 to -1130, on `ood:reversed` -7154 and
-728. `directions="either"` draws motors of both directions: -4431 (316) and -713 (34). Take that to study adaptation.
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

from quickstudy.baselines.control.energy_shaping import energy_shaping_agent, self_tuning_agent
from quickstudy.baselines.models.pendulum import LARGEST_SPEED, LARGEST_TORQUE, SECONDS, coefficients, swing_up
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.control.varying_physics import draw_parameters, splits_of
from quickstudy.tasks.simulated_return import evenly, random_policy, simulated_return

RANGES = {"mass": (0.6, 1.4), "length": (1.0, 1.5), "gravity": (7.0, 10.0), "strength": (0.7, 1.3)}
OTHER_RANGES = {
    "ood:heavy": {"mass": (1.4, 2.0)},
    "ood:long": {"length": (1.5, 2.0)},
    "ood:weak-actuator": {"strength": (0.4, 0.7)},
    "ood:reversed": {"strength": (-1.3, -0.7)},
}

Directions = Literal["forward", "either"]

_SIMULATIONS = 128


@record
class PendulumTask:
    """`mass` `[]` kg; `length` `[]` m; `gravity` `[]` m/s²; `strength` `[]` N m for each unit of the torque signal."""

    mass: Float[Array, ""]
    length: Float[Array, ""]
    gravity: Float[Array, ""]
    strength: Float[Array, ""]


def pendulum(*, directions: Directions = "forward", horizon: int = 200, episodes: int = 4) -> TaskDistribution:
    """A pendulum to be swung up, of unknown parameters.

    Args:
      directions: forward, where every motor turns as it is told (but those of ood:reversed), or either, where half do the
        opposite.
      horizon: steps in one episode, of 0.05 s each.
      episodes: in one lifetime.
    Raises:
      UnknownNameError: no such directions.
      SpecError: a length below 1.
    Example:
      >>> pendulum().spec.lifetime_steps
      800
    Source: Gymnasium 1.2, Pendulum-v1. Changed: parameters vary; the motor's strength stands between signal and torque, and the
      signal is what costs; parameters are rounded (see `mark_split`).
    """
    if directions not in get_args(Directions):
        raise UnknownNameError("directions", directions, get_args(Directions))
    most = np.array([1.0, 1.0, LARGEST_SPEED], np.float32)
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-most, most),
        action_space=gymnasium.spaces.Box(-LARGEST_TORQUE, LARGEST_TORQUE, (1,)),
        horizon=horizon,
        episodes=episodes,
    )

    either = directions == "either"
    splits = splits_of(OTHER_RANGES, either=either)

    def sample(split: str, key: PRNGKeyArray) -> PendulumTask:
        return PendulumTask(**draw_parameters(split, key, ranges=RANGES, others=OTHER_RANGES, motor="strength", either=either))

    def reset(task: PendulumTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task
        state = jax.random.uniform(key, (2,), minval=-1.0) * jnp.float32([math.pi, 1.0])
        return state, _seen(state)

    def step(task: PendulumTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        angle, speed = state
        signal = jnp.clip(action[0], -LARGEST_TORQUE, LARGEST_TORQUE)
        a, b = coefficients(task.mass, task.length, task.gravity, task.strength)
        cost = _from_upright(angle) ** 2 + 0.1 * speed**2 + 0.001 * signal**2
        speed = jnp.clip(speed + (a * jnp.sin(angle) + b * signal) * SECONDS, -LARGEST_SPEED, LARGEST_SPEED)
        state = jnp.stack([angle + speed * SECONDS, speed])
        no = jnp.asarray(False)
        return state, Outcome(observation=_seen(state), reward=-cost, terminated=no, truncated=no)

    def told(task: PendulumTask, observation: Array, key: PRNGKeyArray) -> Array:
        del key
        return swing_up(observation, *coefficients(task.mass, task.length, task.gravity, task.strength))

    starts = np.array([math.pi, 1.0], np.float32) * (2 * evenly(_SIMULATIONS, 2) - 1)
    floor = simulated_return(starts, _seen, step, random_policy(spec), spec)
    swung_up = simulated_return(starts, _seen, step, told, spec)
    return TaskDistribution(
        name="pendulum",
        config={"directions": directions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=splits,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {
            "mass (kg)": task.mass,
            "length (m)": task.length,
            "gravity (m/s²)": task.gravity,
            "actuator strength (N m / torque signal)": task.strength,
        },
        floor=floor,
        # In episodes too short to swing up, chance may do better than to try.
        ceiling=lambda task: jnp.maximum(floor(task), swung_up(task)),
        baselines=_baselines(spec),
    )


def _seen(state: Float[Array, "2"]) -> Float[Array, "3"]:
    """What is seen of an angle and a velocity."""
    return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])


def _from_upright(angle: Float[Array, ""]) -> Float[Array, ""]:
    """An angle within -π and π."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """The classical opponents: one who takes every pendulum for the same, and one who identifies it."""
    return {
        "random": partial(random_agent, spec),
        "energy shaping": partial(energy_shaping_agent, spec),
        "energy shaping (self-tuning)": partial(self_tuning_agent, spec),
    }
