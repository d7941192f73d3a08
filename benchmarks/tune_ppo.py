"""Which settings PPO from scratch is held against: those that learn fastest on training tasks.

    python benchmarks/tune_ppo.py

A meta-trained agent is only as good as what it is compared with. Every setting of the grid learns anew on the same few tasks
of the `train` split of each distribution; what counts is the area under its curve, as a fraction of the way from acting at
random to the best that any setting ends with. The defaults of `ppo` and the fine-tuning of `multi-task` are the setting with
the largest mean over distributions. No task that anything is measured on takes part. Each run adds a line to
`benchmarks/tune_ppo.jsonl`.
"""

import dataclasses
import datetime
import itertools
import json
from pathlib import Path

import jax
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.baselines.ppo import PPOConfig, ppo_agent
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.networks.policy import PolicyConfig
from quickstudy.rollout.runner import run_on_tasks

HISTORY = Path(__file__).with_name("tune_ppo.jsonl")

PLACES = {
    "navigation": ("point-navigation", {"reward": "distance"}),
    "sparse navigation": ("point-navigation", {"reward": "sparse"}),
    "cart-pole": ("cart-pole", {"directions": "either"}),
    "pendulum": ("pendulum", {"directions": "either"}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The grid, and how it is measured."""

    learning_rates: tuple[float, ...] = (1e-3, 3e-3)
    rollouts: tuple[int, ...] = (5, 10)
    input_gains: tuple[float, ...] = (1.0, 3.0)
    tasks: int = 10
    episodes: int = 200


def returns_of(config, place, settings):
    """Mean return of each episode over training tasks."""
    name, given = PLACES[place]
    distribution = qs.tasks.make(name, episodes=settings.episodes, **given)
    task_list, keys = draw_tasks(distribution, split="train", tasks=settings.tasks, seed=1)
    agent = ppo_agent(distribution.spec, config)
    reward, _ = run_on_tasks(agent, distribution, agent.init(jax.random.key(0)), task_list, keys)
    floor = float(np.mean(jax.vmap(distribution.floor)(task_list))) / settings.episodes
    return reward.reshape(settings.tasks, settings.episodes, -1).sum(-1).mean(0), floor


def main():
    """Measures the grid, prints it, and adds it to the history."""
    settings = tyro.cli(Settings, description=__doc__)
    grid = list(itertools.product(settings.learning_rates, settings.rollouts, settings.input_gains))
    scores = {cell: {} for cell in grid}
    for place in PLACES:
        curves, floor = {}, 0.0
        for cell in grid:
            rate, rollouts, gain = cell
            config = PPOConfig(network=PolicyConfig(input_gain=gain), learning_rate=rate, rollouts=rollouts)
            curves[cell], floor = returns_of(config, place, settings)
            print(place, cell, f"area {curves[cell].mean():.2f}, end {curves[cell][-20:].mean():.2f}", flush=True)
        best = max(curve[-20:].mean() for curve in curves.values())
        for cell, curve in curves.items():
            scores[cell][place] = round(float((curve.mean() - floor) / max(best - floor, 1e-8)), 3)
    means = {cell: round(float(np.mean(list(each.values()))), 3) for cell, each in scores.items()}
    print(f"{'rate':>8} {'rollouts':>9} {'gain':>5} {'mean':>6}  " + "  ".join(PLACES))
    for (rate, rollouts, gain), mean in sorted(means.items(), key=lambda item: -item[1]):
        each = "  ".join(f"{scores[rate, rollouts, gain][place]:.3f}" for place in PLACES)
        print(f"{rate:8g} {rollouts:9d} {gain:5g} {mean:6.3f}  {each}")
    line = {
        "date": datetime.date.today().isoformat(),
        "settings": dataclasses.asdict(settings),
        "found": [dict(rate=r, rollouts=n, gain=g, mean=means[r, n, g], **scores[r, n, g]) for r, n, g in grid],
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
