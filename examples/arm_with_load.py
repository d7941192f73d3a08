"""An arm with one joint that lifts a load of unknown mass to a commanded angle.

`observation_of` and `reward_of` are used by the simulator and by the real arm alike (docs/on-a-robot.md).

    quickstudy check examples/arm_with_load.py:make
    quickstudy train rl2 examples/arm_with_load.py:make --budget 5m
"""

import math
from functools import partial

import gymnasium
import jax.numpy as jnp
import numpy as np

import quickstudy as qs
from quickstudy.baselines.random import random_agent

SPLITS = ("train", "test", "ood:heavy")
STEP_SECONDS = 0.05
STEPS = 60
LENGTH, FRICTION, MOTOR_INERTIA, GRAVITY = 0.5, 0.6, 0.05, 9.81  # m, N m s, kg m², m/s²
LARGEST_TORQUE = 20.0  # N m, at a command of 1

# The order of the numbers in an observation. A trained agent knows its inputs by their place alone.
SENSORS = ("angle", "speed", "wanted")


def observation_of(sensors):
    """The numbers that the agent reads, from a dict of sensor values in rad and rad/s; a value that is missing is NaN."""
    return np.array([sensors.get(name, math.nan) for name in SENSORS], np.float32)


def reward_of(sensors, command):
    """The reward of one step: 0 at the wanted angle and at rest, about -1 at one radian from it."""
    return -abs(sensors["wanted"] - sensors["angle"]) - 0.02 * abs(sensors["speed"]) - 0.02 * float(command) ** 2


class Arm(gymnasium.Env):
    """The arm. An angle of 0 hangs down, π/2 is horizontal."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(SENSORS),), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sensors = {"angle": 0.0, "speed": 0.0, "wanted": self.np_random.uniform(0.5, 2.0)}
        return observation_of(self.sensors), {}

    def step(self, action):
        command = float(np.clip(action[0], -1.0, 1.0))
        angle, speed = self.sensors["angle"], self.sensors["speed"]
        for _ in range(10):
            turning = LARGEST_TORQUE * command - self.mass * GRAVITY * LENGTH * math.sin(angle) - FRICTION * speed
            speed += STEP_SECONDS / 10 * turning / (MOTOR_INERTIA + self.mass * LENGTH**2)
            angle += STEP_SECONDS / 10 * speed
        self.sensors |= {"angle": angle, "speed": speed}
        reached = abs(self.sensors["wanted"] - angle) < 0.05
        return observation_of(self.sensors), reward_of(self.sensors, command), False, False, {"reached": reached}


def set_task(arm, task):
    """The same arm with another load; everything that depends on the task is set, every time."""
    arm.mass = float(task["mass"])


def make_arm(task):
    """An arm with the load of a task, `{"mass": kg}`."""
    arm = Arm()
    set_task(arm, task)
    return arm


def sample_task(split, generator):
    """A load in kg: up to 2.5 for training and testing, and 2.5 to 3.5 in `ood:heavy`."""
    part = float(qs.mark_split(generator.uniform(size=1), split, SPLITS)[0])
    return {"mass": 2.5 + part if split == "ood:heavy" else 0.1 + 2.4 * part}


def pid_agent(spec, *, proportional=1.2, integral=0.06, derivative=0.15):
    """A PID controller. Its memory is the sum of errors. Its gains are the best of 120 on training loads."""

    def begin(params, key):
        return jnp.float32(0.0)

    def act(params, memory, observation, key):
        angle, speed, wanted = observation
        command = proportional * (wanted - angle) + integral * memory - derivative * speed
        return qs.Decision(action=jnp.clip(command, -1.0, 1.0)[None], extras={})

    def adapt(params, memory, experience, key):
        angle, _, wanted = experience.outcome.observation[0]
        ended = experience.outcome.terminated[0] | experience.outcome.truncated[0]
        summed = jnp.where(ended, 0.0, memory + wanted - angle)
        return jnp.where(experience.valid[0], summed, memory)

    return qs.Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def make(*, episodes: int = 3) -> qs.HostDistribution:
    """Loads of 0.1 to 2.5 kg (up to 3.5 in ood:heavy); a try of 3 seconds, with a commanded angle of its own.

    Args:
      episodes: tries with one load.
    """
    spec = qs.Spec(observation_space=Arm.observation_space, action_space=Arm.action_space, horizon=STEPS, episodes=episodes)
    return qs.from_gymnasium(
        make_arm, sample_task, set_task=set_task, horizon=STEPS, episodes=episodes, splits=SPLITS,
        measures={"reached": "last"}, baselines={"random": partial(random_agent, spec), "PID": partial(pid_agent, spec)},
    )  # fmt: skip
