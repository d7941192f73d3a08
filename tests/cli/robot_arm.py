"""The task file of a user: a pendulum with a load that nobody weighed; its sensors come as a dict, as on a robot."""

import gymnasium
import numpy as np

import quickstudy as qs

SPLITS = ("train", "test", "ood:heavy")


class NamedSensors(gymnasium.ObservationWrapper):
    """Where the arm points, and how fast it turns."""

    def __init__(self, environment):
        super().__init__(environment)
        direction, turning = gymnasium.spaces.Box(-1.0, 1.0, (2,)), gymnasium.spaces.Box(-8.0, 8.0, (1,))
        self.observation_space = gymnasium.spaces.Dict({"turning": turning, "direction": direction})

    def observation(self, observation):
        return {"turning": observation[2:], "direction": observation[:2]}


def loaded(environment, task):
    environment.unwrapped.m, environment.unwrapped.l = float(task["mass"]), float(task["length"])


def arm(task):
    environment = NamedSensors(gymnasium.make("Pendulum-v1", max_episode_steps=10))
    loaded(environment, task)
    return environment


def sample(split, generator):
    mass, length = np.asarray(qs.mark_split(generator.uniform(size=2), split, SPLITS))
    return {"mass": mass + (1.5 if split == "ood:heavy" else 0.5), "length": 0.6 * (1 + length)}


def make(*, episodes: int = 3):
    """Arms with unknown loads.

    Args:
      episodes: tries with one load.
    """
    return qs.from_gymnasium(arm, sample, set_task=loaded, episodes=episodes, splits=SPLITS)
