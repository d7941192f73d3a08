"""Seconds from the start of a process to a score, with imports and compilation: quickstudy's cores, and sb3-contrib.

    pip install '.[peers]'
    python benchmarks/time_to_score.py

Each contender is a process of its own, one after another. A score is the mean return of the newest 512 lifetimes of training or
more. Every lifetime has a new task, and actions are drawn as in training. *cold*: nothing was compiled before. *cached*: the
same process a second time. sb3-contrib compiles nothing. Nothing else should run meanwhile. Each run adds a line to
`benchmarks/time_to_score.jsonl`.
"""

import dataclasses
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

HISTORY = Path(__file__).with_name("time_to_score.jsonl")
BANDIT, MDP = ("bernoulli-bandit", {"arms": 5, "pulls": 100}), ("tabular-mdp", {"episodes": 10})
GOALS = {"bandit 75": (*BANDIT, 75.0), "bandit 78": (*BANDIT, 78.0), "mdp 156.2": (*MDP, 156.2)}
CONTENDERS = {
    "associative": {"cell": "associative"},
    "gru": {"cell": "gru"},
}
LIFETIMES = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    goals: tuple[str, ...] = tuple(GOALS)
    """Of: bandit 75, bandit 78, mdp 156.2."""
    contenders: tuple[str, ...] = (*CONTENDERS, "sb3-contrib")
    """Of: associative, gru, sb3-contrib. The last one goes for the first goal only."""
    limit: float = 900.0
    """Seconds after which a contender has not reached a goal."""
    budget: str = "3e6 steps"
    """Of quickstudy's contenders: over it the step size falls."""
    seeds: int = 1
    """Seeds of each contender, one process each."""
    go: str = ""
    """One contender, one goal and a seed, as JSON: what this program asks of itself."""


def train_ours(contender: str, goal: str, seed: int, budget: str) -> None:
    """Trains until the score is reached, prints the number of steps, and ends the process."""
    import quickstudy as qs

    qs.use_whole_machine()
    name, settings, score = GOALS[goal]
    tasks = qs.tasks.make(name, **settings)
    algorithm = qs.algorithms.make("rl2", tasks.spec, **CONTENDERS[contender])
    recent = -(-LIFETIMES // algorithm.lifetimes)
    returns: list[float] = []

    def watch(progress):
        returns.append(progress.metrics["train_return"][0])
        if len(returns) >= recent and sum(returns[-recent:]) / recent >= score:
            print(progress.steps, flush=True)
            os._exit(0)

    config = qs.TrainingConfig(budget=budget, seed=seed, evaluation_seconds=1e9)
    qs.meta_train(algorithm, tasks, config, watch=watch)


def train_peer(goal: str, seed: int, limit: float) -> None:
    """The same with sb3-contrib's recurrent PPO, with one NumPy environment that holds all lifetimes."""
    import torch
    from sb3_contrib import RecurrentPPO
    from sb3_ppo import EPOCHS, HIDDEN, MINIBATCHES, bandits
    from stable_baselines3.common.callbacks import BaseCallback

    _, settings, score = GOALS[goal]
    lifetimes, pulls = LIFETIMES, settings["pulls"]
    environment = bandits(lifetimes, arms=settings["arms"], pulls=pulls, seed=seed)

    class Watch(BaseCallback):
        """Ends the process once all lifetimes of one collection have the score."""

        def _on_step(self):
            return True

        def _on_rollout_end(self):
            if self.locals["rollout_buffer"].rewards.sum() / lifetimes >= score:
                print(self.num_timesteps, flush=True)
                os._exit(0)

    torch.set_num_threads(os.cpu_count())
    policy = {"lstm_hidden_size": HIDDEN, "net_arch": [HIDDEN], "shared_lstm": True, "enable_critic_lstm": False}
    shape = {"n_steps": pulls, "batch_size": lifetimes * pulls // MINIBATCHES, "n_epochs": EPOCHS}
    rates = {"learning_rate": 1.5e-3, "ent_coef": 0.01, "gamma": 0.99, "gae_lambda": 0.9}
    model = RecurrentPPO("MlpLstmPolicy", environment, **shape, **rates, policy_kwargs=policy, device="cpu", seed=seed)
    model.learn(int(limit * 1e6), callback=Watch())


def seconds_of(asked: dict, settings: Settings, cache: str) -> dict:
    """One process: seconds until it ended, and steps; None where it did not reach the score."""
    command = [sys.executable, __file__, "--go", json.dumps(asked), "--budget", settings.budget, "--limit", str(settings.limit)]
    environment = os.environ | {"XDG_CACHE_HOME": cache, "JAX_COMPILATION_CACHE_DIR": str(Path(cache) / "programs")}
    began = time.perf_counter()
    try:
        ended = subprocess.run(command, env=environment, timeout=settings.limit, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return {"seconds": None, "steps": None}
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    steps = ended.stdout.split()
    return {"seconds": round(seconds, 1), "steps": int(steps[-1])} if steps else {"seconds": None, "steps": None}


def main() -> None:
    """Runs every contender for every goal, prints a table, and adds a line to the history."""
    settings = tyro.cli(Settings, description=__doc__.splitlines()[0])
    if settings.go:
        asked = json.loads(settings.go)
        if asked["contender"] == "sb3-contrib":
            train_peer(asked["goal"], asked["seed"], settings.limit)
        else:
            train_ours(asked["contender"], asked["goal"], asked["seed"], settings.budget)
        return
    results: dict[str, dict] = {}
    for goal in settings.goals:
        for contender in settings.contenders:
            peer = contender == "sb3-contrib"
            if peer and goal != "bandit 75":
                continue
            for seed in range(settings.seeds):
                asked = {"contender": contender, "goal": goal, "seed": seed}
                with tempfile.TemporaryDirectory() as cache:
                    for state in ("",) if peer else ("cold", "cached"):
                        label = " ".join(part for part in (goal, contender, state, f"seed {seed}") if part)
                        results[label] = seconds_of(asked, settings, cache)
                        print(f"{label:40} {results[label]}", flush=True)
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "budget": settings.budget,
        "results": results,
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
