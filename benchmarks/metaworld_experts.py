"""What can be earned on Meta-World's tasks: the suite's scripted experts, who see the goal, beside random actions.

    python benchmarks/metaworld_experts.py

An expert is a program by the suite's authors, one for each environment; it reads the goal off the observation, which agents
find zeros in, so it says what the simulator allows and not what can be expected of whoever has to find the goal first. Per
environment: the share of episodes with a success (at any step, and at the last), the return of an episode, and the step of the
first success. 50 test goals of ML1 reach and push, 8 goals of each environment of ML10, 500 steps. Numbers go to
`benchmarks/metaworld_experts.json`.
"""

import dataclasses
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tyro
from metaworld.policies import ENV_POLICY_MAP

from quickstudy.tasks.suites.meta_world.environment import made, set_goal
from quickstudy.tasks.suites.meta_world.goals import GOALS, ML10_TEST, ML10_TRAIN, goals_of

HERE = Path(__file__).parent
warnings.filterwarnings("ignore", message="Constant.s. may be too high")  # experts say so of their own actions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    goals: int = 8
    """Of each environment of ML10."""
    horizon: int = 500
    ml1: tuple[str, ...] = ("reach", "push")


def expert_of(name):
    """The suite's own policy, held to the action space."""
    policy = ENV_POLICY_MAP[f"{name}-v3"]()
    return lambda observation: np.clip(policy.get_action(observation), -1, 1).astype(np.float32)


def random_actions():
    """Uniform over the action space."""
    generator = np.random.default_rng(0)
    return lambda observation: generator.uniform(-1, 1, 4).astype(np.float32)


def episode(environment, act, horizon):
    """Rewards and successes of each step."""
    observation, _ = environment.reset()
    steps = np.zeros((horizon, 2))
    for step in steps:
        observation, step[0], _, _, said = environment.step(act(observation))
        step[1] = said["success"]
    return steps


def measured(environment, name, goals, actor, horizon):
    """One actor on one environment."""
    steps = []
    for goal in goals:
        set_goal(environment, name, goal, hidden=False)
        steps.append(episode(environment, actor, horizon))
    rewards, successes = np.moveaxis(np.stack(steps), -1, 0)
    solved = successes.any(axis=1)
    first = successes.argmax(axis=1)[solved] + 1
    return {
        "success": round(float(solved.mean()), 3),
        "success at the last step": round(float(successes[:, -1].mean()), 3),
        "return": round(float(rewards.sum(axis=1).mean()), 1),
        "first success, median step": float(np.median(first)) if solved.any() else None,
        "first success, latest step": int(first.max()) if solved.any() else None,
    }


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    lists = {f"metaworld-ml1 {name}, test": (name, goals_of((name,), 1)[name][:GOALS]) for name in settings.ml1}
    for split, names in (("train", ML10_TRAIN), ("test", ML10_TEST)):
        drawn = goals_of(names, 0)
        lists |= {f"metaworld-ml10 {name}, {split}": (name, drawn[name][: settings.goals]) for name in names}
    found = {"horizon": settings.horizon, "versions": {part: version(part) for part in ("metaworld", "mujoco")}, "tasks": {}}
    for title, (name, goals) in lists.items():
        environment = made(name, reward="v2")
        actors = {"expert": expert_of(name), "random": random_actions()}
        row = {who: measured(environment, name, goals, actor, settings.horizon) for who, actor in actors.items()}
        environment.close()
        found["tasks"][title] = {"goals": len(goals), **row}
        print(title, json.dumps(found["tasks"][title]), flush=True)
    (HERE / "metaworld_experts.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
