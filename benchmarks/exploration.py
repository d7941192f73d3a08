"""Whether meta-training finds an action that pays only later, and what that costs where no such action exists.

    python benchmarks/exploration.py

RL² trains on `revealing-arm` with its default settings, without early exploration, and with a larger entropy bonus throughout.
The return of each seed on 4,000 held-out tasks stands beside the Bayes optimum. Then RL² trains on `bernoulli-bandit`, where
there is nothing to be found in this way. Numbers go to `benchmarks/exploration.json`. A part that is measured again replaces its own
numbers only.
"""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.rollout.runner import run_on_tasks

FOUND = Path(__file__).parent / "exploration.json"
ENOUGH = 0.95
"""Part of the optimum that a seed must reach to count."""
WITHOUT = {"early_exploration": 0.0}
VARIANTS = {"default": {}, "without": WITHOUT, "larger entropy bonus": WITHOUT | {"entropy_bonus": 0.5}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    parts: tuple[str, ...] = ("payout", "observation", "bandit")
    """Of the table below."""
    cells: tuple[str, ...] = ("gru", "associative")
    """Cores of RL²."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Settings of exploration."""
    tasks: int = 4000
    """Held-out tasks."""


ASKED = {
    "payout": ("revealing-arm", {}, "4e6 steps", 5),
    "observation": ("revealing-arm", {"hint": "observation"}, "1e6 steps", 5),
    "bandit": ("bernoulli-bandit", {}, "2e6 steps", 2),
}


def trained_returns(cell, variant, distribution, budget, seeds, settings):
    """Mean return of every seed on the held-out tasks, and the seconds that training took."""
    algorithm = qs.algorithms.make("rl2", distribution.spec, cell=cell, **VARIANTS[variant])
    run = qs.meta_train(algorithm, distribution, qs.TrainingConfig(budget=budget, seeds=seeds, evaluation_seconds=60.0))
    if not run.finished:
        raise SystemExit(f"{cell}, {variant}: interrupted after {run.steps} steps; nothing of it is kept.")
    drawn, keys = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
    params = [jax.tree.map(lambda leaf, seed=seed: leaf[seed], run.params) for seed in range(seeds)]
    rewards = [run_on_tasks(algorithm.agent, distribution, one, drawn, keys)[0] for one in params]
    return [round(float(np.sum(reward, dtype=np.float64)) / settings.tasks, 3) for reward in rewards], run.seconds


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for part in settings.parts:
        name, given, budget, seeds = ASKED[part]
        distribution = qs.tasks.make(name, **given)
        exact = [make for label, make in distribution.baselines.items() if "Bayes" in label]
        optimum = None
        if exact:
            agent = exact[0]()
            drawn, keys = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
            rewards = run_on_tasks(agent, distribution, agent.init(jax.random.key(0)), drawn, keys)[0]
            optimum = float(np.sum(rewards, dtype=np.float64)) / settings.tasks
        for cell in settings.cells:
            for variant in settings.variants:
                returns, seconds = trained_returns(cell, variant, distribution, budget, seeds, settings)
                label = f"{part}, {cell}, {variant}"
                found[label] = {"budget": budget, "returns": returns, "optimum": optimum, "seconds": round(seconds)}
                said = (
                    "" if optimum is None else f"; {sum(np.array(returns) >= ENOUGH * optimum)} of {seeds} reach {ENOUGH:.0%}"
                )
                print(f"{label}: {returns}, mean {np.mean(returns):.2f}{said}; {seconds:.0f} s", flush=True)
                FOUND.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
