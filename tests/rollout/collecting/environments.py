"""Small environments outside JAX, sound but for what a task's `fault` says; worker processes import them from here."""

import os
import pathlib
import time
from functools import partial

import gymnasium
import jax
import numpy as np

from laws.by_hand import assert_close
from laws.toy_agents import trace_agent
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.tasks.gymnasium import from_gymnasium

FAULTS = (
    "none", "make", "set_task", "reset", "second reset", "step", "shape", "shape of reset", "no reward", "text for a reward",
    "no measure", "reward is not finite", "observation is not finite", "reward beyond 32 bits",
    "observation beyond 32 bits", "exit", "exit once", "hang", "pause", "missing suite",
)  # fmt: skip
FAULTY_SLOT = 5
HORIZON, EPISODES = 4, 3


class Slide(gymnasium.Env):
    """A place on a line, moved by an action and by luck; off the line the episode ends, and `seen` measures where it was."""

    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, task, folder):
        self.fault, self.folder, self.steps, self.resets = FAULTS[int(task["fault"])], pathlib.Path(folder), 0, 0
        self.drift = float(task["drift"])
        if self.fault == "make":
            raise RuntimeError("no such track")
        if self.fault == "missing suite":
            raise MissingExtraError("The track", "tracks")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.resets = self.np_random.uniform(-0.5, 0.5), self.resets + 1
        if self.fault == "reset" or (self.fault == "second reset" and self.resets == 2):
            raise RuntimeError("the track is blocked")
        return (np.zeros(3) if self.fault == "shape of reset" else self.seen()), {}

    def seen(self):
        return np.array([self.place, self.drift])

    def step(self, action):
        self.place += (0.4 if action else -0.4) + self.drift + self.np_random.normal() * 0.1
        self.steps += 1
        now = self.fault if self.steps == FAULTY_SLOT else "none"
        observation, reward, info = self.seen(), -abs(self.place), {"seen": self.place, "far": abs(self.place) > 0.5}
        if now == "step":
            raise RuntimeError("the motor is stuck")
        if now == "exit":
            os._exit(3)
        if now == "exit once" and not (self.folder / "exited").exists():
            (self.folder / "exited").touch()
            os._exit(4)
        if now == "hang":
            time.sleep(1000)
        if now == "pause":
            (self.folder / f"{os.getpid()}").touch()
            time.sleep(0.5)
        if now == "shape":
            observation = np.zeros(3)
        if now == "observation is not finite":
            observation = np.array([np.nan, np.inf])
        if now == "observation beyond 32 bits":
            observation = np.array([0.0, -1e300])
        if now == "no measure":
            del info["far"]
        wrong = {"no reward": None, "text for a reward": "much", "reward is not finite": np.nan, "reward beyond 32 bits": 1e300}
        return observation, wrong.get(now, reward), bool(abs(self.place) > 1.0), False, info


def set_task(environment, task):
    """What `make` would have made."""
    if FAULTS[int(task["fault"])] == "set_task":
        raise RuntimeError("the track cannot be bent")
    environment.__init__(task, environment.folder)


def sample_task(split, generator):
    """A drift; the same for every split."""
    return {"fault": FAULTS.index("none"), "drift": generator.uniform(-0.2, 0.2)}


def slides(folder=".", *, settable=False):
    return from_gymnasium(
        partial(Slide, folder=folder),
        sample_task,
        episodes=EPISODES,
        horizon=HORIZON,
        set_task=set_task if settable else None,
        measures={"seen": "last", "far": "any"},
        name="slides",
    )


AGENTS = {"every step": 1, "every two steps": 2, "every episode": HORIZON}


def batch(distribution, *, lifetimes=8, faults=None, cadence=1):
    """What a pool is asked to run: an agent, its parameters, tasks with faults at these places, and keys."""
    agent = trace_agent(distribution.spec, cadence=cadence)
    tasks = distribution.sample_tasks("train", jax.random.key(1), tasks=lifetimes)
    for place, fault in (faults or {}).items():
        tasks["fault"][place] = FAULTS.index(fault)
    return agent, agent.init(jax.random.key(2)), tasks, jax.random.split(jax.random.key(3), lifetimes)


def but(lived, *rows):
    """Everything of these lifetimes but those at `rows`, to compare with."""
    kept = np.setdiff1d(np.arange(len(lived.lost)), rows)
    parts = (lived.lifetimes, lived.reward, lived.valid, lived.measures, lived.lost)
    return jax.tree.map(lambda leaf: leaf[..., kept] if leaf.ndim == 1 else leaf[:, kept], parts)


def assert_same(ours, theirs, *, tolerance=0.0):
    """Equal in every slot that happened; floats up to a tolerance, where other numbers of environments round otherwise."""
    (lifetimes, *ours), (others, *theirs) = ours, theirs
    jax.tree.map(np.testing.assert_array_equal, (lifetimes.valid, ours[-1]), (others.valid, theirs[-1]))
    happened = lifetimes.valid
    both = [jax.tree.map(lambda leaf: leaf[happened], (one, rest[:-1])) for one, rest in ((lifetimes, ours), (others, theirs))]
    assert_close(*both, tolerance=tolerance)
