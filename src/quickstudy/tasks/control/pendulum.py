"""Pendulum: a rod that is too heavy to be lifted at once must be swung up, with an unknown mass, length, gravity and motor.

The task of Gymnasium's Pendulum-v1, whose equations these are. With the angle θ from upright, a step of 0.05 s does

    ω' = ω + (3g/2l sin θ + 3k/ml² u) 0.05, within -8 and 8        θ' = θ + 0.05 ω'

- Drawn once per lifetime: mass m (kg), length l (m), gravity g (m/s²), and strength k (N m per unit of the torque signal).
- Observation `[3]`: cos θ, sin θ, and ω in rad/s. An episode begins at an angle within -π and π and a velocity within -1 and
  1.
- Action `[1]`: the torque signal u, within -2 and 2.
- Reward: -(θ² + 0.1 ω² + 0.001 u²) before the step, with θ within -π and π. An episode has 200 steps and never terminates.

Only 3g/2l and 3k/ml² matter: tasks with the same two numbers behave the same. With speeds up to 8 rad/s the top can be reached
where g/l is at most 10.67, and all ranges satisfy that.

Splits are disjoint by construction: `mark_split` writes the number of the split into where each parameter lies in its range.

- `train`, `test`: mass 0.6 to 1.4, length 1 to 1.5, gravity 7 to 10, strength 0.7 to 1.3.
- `ood:heavy`: mass 1.4 to 2.
- `ood:long`: length 1.5 to 2.
- `ood:weak-actuator`: strength 0.4 to 0.7.
- `ood:reversed`: strength -1.3 to -0.7, so that the motor turns in the opposite direction. This split does not exist with
  `directions="either"`, where half of the tasks of every split are reversed.

`floor` is simulated with 128 episodes on each task, whose first states cover all possible ones evenly. `ceiling` is an
estimate and no upper bound: the return from the same first states of energy shaping with a linear catch that knows the task
(or of random actions, in episodes so short that their return is higher). On five tasks of `train` the optimum, by dynamic
programming on a grid of 181 by 121 with 17 torques, is 2 to 11 reward units an episode higher. With nominal parameters (1 kg,
1 m, 10 m/s², strength 1) it is -137, where `ceiling` is -148.

Baselines: random, energy shaping with the coefficients of one pendulum for all tasks, and energy shaping that identifies the
pendulum. The one pendulum, 3g/2l = 9 and 3k/ml² = 1, is the best of 140 on 300 tasks of `train`. The nominal one, 15 and 3,
gives -1679 (97).

Return of four episodes on 100 tasks (standard errors). Command: `pytest tests/tasks/control/test_pendulum.py`.

- `train`: `ceiling` -666; identified -708 (34); fixed -790 (59); random -4729 (68), `floor` -4645.
- `ood:heavy`, `ood:long`, `ood:weak-actuator`: fixed -1460 to -1630, identified -1015 to -1130.
- `ood:reversed`: fixed -7154, identified -728.
- `train` with `directions="either"`: fixed -4431 (316), identified -713 (34).

So on `train` little adaptation is needed. Use `directions="either"` to study adaptation.
"""

import math
from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.control.energy_shaping import energy_shaping_agent, self_tuning_agent
from quickstudy.baselines.models.pendulum import LARGEST_SPEED, LARGEST_TORQUE, SECONDS, coefficients, swing_up
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.control.varying_physics import Directions, VaryingPhysics
from quickstudy.tasks.simulated_return import evenly, random_policy, simulated_return

RANGES = {"mass": (0.6, 1.4), "length": (1.0, 1.5), "gravity": (7.0, 10.0), "strength": (0.7, 1.3)}
OTHER_RANGES = {
    "ood:heavy": {"mass": (1.4, 2.0)},
    "ood:long": {"length": (1.5, 2.0)},
    "ood:weak-actuator": {"strength": (0.4, 0.7)},
    "ood:reversed": {"strength": (-1.3, -0.7)},
}

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
      directions: "forward", where motors turn as commanded except in ood:reversed, or "either", where half of the tasks of
        every split are reversed.
      horizon: steps in one episode, of 0.05 s each.
      episodes: number of episodes in one lifetime.
    Raises:
      UnknownNameError: no such directions.
      SpecError: a length below 1.
    Example:
      >>> pendulum().spec.lifetime_steps
      800
    Source: Gymnasium 1.2, Pendulum-v1. Changed: parameters vary; the motor's strength stands between signal and torque, and the
      signal is what costs; parameters are rounded (see `mark_split`).
    """
    physics = VaryingPhysics(ranges=RANGES, others=OTHER_RANGES, motor="strength", directions=directions)
    most = np.array([1.0, 1.0, LARGEST_SPEED], np.float32)
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-most, most),
        action_space=gymnasium.spaces.Box(-LARGEST_TORQUE, LARGEST_TORQUE, (1,)),
        horizon=horizon,
        episodes=episodes,
    )

    def sample(split: str, key: PRNGKeyArray) -> PendulumTask:
        return PendulumTask(**physics.draw(split, key))

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

    def swing_up_by_task(task: PendulumTask, observation: Array, key: PRNGKeyArray) -> Array:
        del key
        return swing_up(observation, *coefficients(task.mass, task.length, task.gravity, task.strength))

    starts = np.array([math.pi, 1.0], np.float32) * (2 * evenly(_SIMULATIONS, 2) - 1)
    floor = simulated_return(starts, _seen, step, random_policy(spec), spec)
    swung_up = simulated_return(starts, _seen, step, swing_up_by_task, spec)
    return TaskDistribution(
        name="pendulum",
        config={"directions": directions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=physics.splits,
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
        # In episodes too short to swing up, random actions can have the higher return.
        ceiling=lambda task: jnp.maximum(floor(task), swung_up(task)),
        baselines=_baselines(spec),
    )


def _seen(state: Float[Array, "2"]) -> Float[Array, "3"]:
    """The observation of an angle in radians and a velocity in radians per second."""
    return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])


def _from_upright(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The same angle within -π and π, radians."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents: one with fixed coefficients, and one that identifies them."""
    return {
        "random": partial(random_agent, spec),
        "energy shaping": partial(energy_shaping_agent, spec),
        "energy shaping (self-tuning)": partial(self_tuning_agent, spec),
    }
