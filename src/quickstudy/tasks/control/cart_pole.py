"""Cart-pole: a pole on a cart must be kept upright, with an unknown mass, length, gravity and motor.

The task of Barto, Sutton and Anderson 1983 with the equations of Gymnasium's CartPole-v1, Euler's method in steps of 0.02 s.
With the position x of the cart, the angle θ of the pole from upright, half-length l, masses M = 1 kg and m, and force F,

    p = (F + m l ω² sin θ) / (M + m)
    ω' = (g sin θ - p cos θ) / (l (4/3 - m cos² θ / (M + m)))        v' = p - m l ω' cos θ / (M + m)

- Drawn once per lifetime: mass m (kg) and half-length l (m) of the pole, gravity g (m/s²), and force F (N).
- Observation `[4]`: x (m), v (m/s), θ (rad), ω (rad/s). An episode begins with all four within -0.05 and 0.05.
- Action: 0 pushes to the left with full force, 1 to the right.
- Reward: 1 for every step, the last one included. An episode terminates when the pole leans by more than 12 degrees or the
  cart is more than 2.4 m from the middle.

The parameters make tasks different, but hardly require adaptation: on 300 tasks of `train` one rule for all
(`baselines.control.linear_control`) keeps every pole upright for all 200 steps. The best of 120 random rules does so on 60
tasks with masses of 0.05 to 2 kg, half-lengths of 0.1 to 2 m, gravity of 4 to 20 m/s² and forces of 2 to 30 N. No single rule
can balance with motors of both directions. `directions="either"` draws both, and the same rule then balances half of the
poles. Use it to study adaptation, and the default to study robustness.

Splits are disjoint by construction: `mark_split` writes the number of the split into where each parameter lies in its range.

- `train`, `test`: pole mass 0.05 to 0.5 kg, half-length 0.25 to 1 m, gravity 7 to 13 m/s², force 5 to 15 N.
- `ood:heavy-pole`: mass 0.5 to 2 kg.
- `ood:long-pole`: half-length 1 to 2 m.
- `ood:weak-actuator`: force 2 to 5 N.
- `ood:reversed`: force -15 to -5 N, so that pushes act in the opposite direction. This split does not exist with
  `directions="either"`, where half of the tasks of every split are reversed.

`ceiling` is an upper bound, the length of the lifetime; the rule reaches it on `train`. `floor` is simulated with 256 episodes
for every task.

Baselines: random, the fixed rule, and the rule that first determines the direction of the motor. Return of four episodes on 60
tasks of `train`, forward and either direction: fixed rule 800 and 368; direction-finding rule 800 and 800; random 104 (`floor`
100). Command: `pytest tests/tasks/control/test_cart_pole.py`. Not every rule suffices: a linear-quadratic regulator for the
nominal cart-pole (0.1 kg, 0.5 m, 9.8 m/s², 10 N; state costs 1, 0.1, 10, 0.1, action cost 0.01) balances 73 % of 300 tasks.
"""

import math
from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.control.linear_control import direction_finding_agent, linear_control_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.control.varying_physics import Directions, VaryingPhysics
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
"""Largest distance of the cart from the middle, metres."""
STEEPEST = 12 * math.pi / 180
"""Largest angle of the pole from upright, radians."""
START = 0.05
"""Largest absolute value of every number of the first state."""

_SIMULATIONS = 256


@record
class CartPoleTask:
    """Physical parameters.

    `mass` `[]` of the pole, kg. `length` `[]`: half the length of the pole, m. `gravity` `[]`: m/s². `force` `[]`: of action 1,
    positive to the right, N.
    """

    mass: Float[Array, ""]
    length: Float[Array, ""]
    gravity: Float[Array, ""]
    force: Float[Array, ""]


def cart_pole(*, directions: Directions = "forward", horizon: int = 200, episodes: int = 4) -> TaskDistribution:
    """A pole on a cart, of unknown parameters.

    Args:
      directions: "forward", where pushes act as commanded except in ood:reversed, or "either", where half of the tasks of every
        split are reversed.
      horizon: steps in one episode, of 0.02 s each.
      episodes: number of episodes in one lifetime.
    Raises:
      UnknownNameError: no such directions.
      SpecError: a length below 1.
    Example:
      >>> cart_pole().spec.lifetime_steps
      800
    Source: Barto et al. 1983; Gymnasium 1.2, CartPole-v1. Changed: parameters vary; 200 steps, as in CartPole-v0, where v1 has
      500; observations have no bounds; parameters are rounded (see `mark_split`).
    """
    physics = VaryingPhysics(ranges=RANGES, others=OTHER_RANGES, motor="force", directions=directions)
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (4,)),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )

    def sample(split: str, key: PRNGKeyArray) -> CartPoleTask:
        return CartPoleTask(**physics.draw(split, key))

    def reset(task: CartPoleTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task
        state = jax.random.uniform(key, (4,), minval=-START, maxval=START)
        return state, state

    def step(task: CartPoleTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        state = state + SECONDS * _rates(task, state, jnp.where(action == 1, task.force, -task.force))
        no = jnp.asarray(False)
        failed = (jnp.abs(state[0]) > FARTHEST) | (jnp.abs(state[2]) > STEEPEST)
        return state, Outcome(observation=state, reward=jnp.float32(1.0), terminated=failed, truncated=no)

    starts = np.float32(START) * (2 * evenly(_SIMULATIONS, 4) - 1)
    return TaskDistribution(
        name="cart-pole",
        config={"directions": directions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=physics.splits,
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
    """Time derivatives of position, velocity, angle and angular velocity."""
    _, velocity, angle, spin = state
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    total = CART_MASS + task.mass
    push = (force + task.mass * task.length * spin**2 * sine) / total
    inertia = task.length * (4.0 / 3.0 - task.mass * cosine**2 / total)
    angular = (task.gravity * sine - cosine * push) / inertia
    linear = push - task.mass * task.length * angular * cosine / total
    return jnp.stack([velocity, linear, spin, angular])


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents: a fixed rule, and the same rule that first determines the direction of the motor."""
    return {
        "random": partial(random_agent, spec),
        "linear control": partial(linear_control_agent, spec),
        "linear control (finds the direction)": partial(direction_finding_agent, spec),
    }
