"""A half-cheetah with an unknown load and an unknown goal speed; it must find out both by running.

quickstudy check examples/mujoco_tasks.py:make
quickstudy train rl2 examples/mujoco_tasks.py:make --budget "2e6 steps"
"""

import gymnasium
import mujoco
import numpy as np

import quickstudy as qs

SPLITS = ("train", "test", "ood:heavy-load")


class WantedSpeed(gymnasium.Wrapper):
    """Rewards running at one speed, and reports in `info` whether it is reached."""

    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        error = abs(info["x_velocity"] - self.wanted)
        info["at_speed"] = error < 0.2
        return observation, info["reward_ctrl"] - error, terminated, truncated, info


def make_robot(task):
    robot = WantedSpeed(gymnasium.make("HalfCheetah-v5", max_episode_steps=200, disable_env_checker=True))
    robot.torso = robot.unwrapped.model.body("torso").mass.item()  # without any load, in kg
    set_task(robot, task)
    return robot


def set_task(robot, task):
    robot.wanted = float(task["speed"])
    robot.unwrapped.model.body("torso").mass = robot.torso + float(task["load"])
    mujoco.mj_setConst(robot.unwrapped.model, robot.unwrapped.data)  # MuJoCo computes what depends on masses again


def sample_task(split, generator):
    load, speed = np.asarray(qs.mark_split(generator.uniform(size=2), split, SPLITS))
    return {"load": 4 + 4 * load if split == "ood:heavy-load" else 4 * load, "speed": 3 * speed}


def make(*, episodes: int = 2) -> qs.HostDistribution:
    """Loads of up to 4 kg (up to 8 in ood:heavy-load) and speeds of up to 3 m/s."""
    return qs.from_gymnasium(
        make_robot, sample_task, set_task=set_task, episodes=episodes, splits=SPLITS, measures={"at_speed": "last"}
    )
