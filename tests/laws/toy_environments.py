"""A small environment outside JAX, and distributions of it with something about it changed."""

import dataclasses

import gymnasium
import numpy as np

import quickstudy as qs
from quickstudy.protocol.host_distribution import StepResult


class Dial(gymnasium.Env):
    """A dial that starts anywhere and is turned; it pays to keep it near a hidden target, and an episode ends on it."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, target=0.0):
        self.target = target

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1.0, 1.0)
        return self.look(), {}

    def step(self, action):
        self.position = float(np.clip(self.position + 0.3 * action[0], -1.0, 1.0))
        distance = abs(self.position - self.target)
        return self.look(), -distance, distance < 0.02, False, {"success": distance < 0.02}

    def look(self):
        return np.array([self.position])


def sample_target(split, generator):
    """A target on the left for training, on the right for tests."""
    return {"target": generator.uniform(-1.0, 0.0) if split == "train" else generator.uniform(0.0, 1.0)}


def set_target(environment, task):
    environment.target = float(task["target"])


def dials(environment=Dial, *, make=None, sample=sample_target, **settings):
    """Dials with something about them changed."""
    make = make or (lambda task: environment(float(task["target"])))
    return qs.from_gymnasium(make, sample, **{"episodes": 3, "horizon": 6, "measures": {"success": "any"}} | settings)


def stepped(change):
    """A dial of which something about a step is changed: `change(dial, observation, reward, terminated, truncated, info)`."""

    class Changed(Dial):
        def step(self, action):
            return change(self, *super().step(action))

    return Changed


class ByHand:
    """A `HostEnvironment` that is no Gymnasium one; `step` gives what it was made with."""

    def __init__(self, gives):
        self.gives = gives

    def begin(self, task, key):
        del task, key

    def reset(self, episode):
        return np.zeros(1, np.float32)

    def step(self, slot, action):
        return self.gives

    def close(self):
        pass


def by_hand(**changed):
    given = StepResult(np.zeros(1, np.float32), 0.0, False, False, {"success": 0.0})._replace(**changed)
    return dataclasses.replace(dials(), open=lambda: ByHand(given))


class Shown(Dial):
    """A dial that shows something of its task in a second number."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))

    def look(self):
        return np.array([self.position, self.mark()])

    def mark(self):
        return 0.5 + 0.3 * self.target
