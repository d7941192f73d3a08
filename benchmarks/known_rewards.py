"""What agents gain that learn from what only the simulator knows, at the same number of steps.

    python benchmarks/known_rewards.py

RL² trains in three ways on each kind of tasks, with the same seeds: on rewards as they are, on rewards minus the ceiling of the
task (`--subtract-ceiling`), and on mean rewards minus the ceiling (`--mean-rewards` as well). All are measured on the same
4,000 held-out tasks. Differences are from rewards as they are, paired by tasks and seeds. Numbers go to
`benchmarks/known_rewards.json`. A kind of tasks that is measured again replaces its own numbers only.
"""

import dataclasses
import json
from pathlib import Path

import tyro

import quickstudy as qs
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import evaluate

FOUND = Path(__file__).parent / "known_rewards.json"
BANDIT = {"discount": 1.0, "trace_decay": 0.95, "entropy_bonus": 0.02, "early_exploration": 0.0}
KINDS = {
    "2 arms, 100 pulls": ("bernoulli-bandit", {"arms": 2, "pulls": 100}, BANDIT, "1e6 steps"),
    "10 arms, 100 pulls": ("bernoulli-bandit", {"arms": 10, "pulls": 100}, BANDIT, "1e6 steps"),
    "MDP, 10 episodes": ("tabular-mdp", {"episodes": 10}, {"beside": 0, "names_actions": False}, "5e5 steps"),
}
WAYS = {
    "as they are": {},
    "minus the ceiling": {"subtract_ceiling": True},
    "means minus the ceiling": {"subtract_ceiling": True, "mean_rewards": True},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    kinds: tuple[str, ...] = tuple(KINDS)
    """Of the table in this file."""
    seeds: int = 3
    """Trainings of each way."""
    tasks: int = 4000
    """Held-out tasks."""


def measured(kind: str, settings: Settings) -> dict:
    """Returns of every way, differences from rewards as they are, and the seconds of the trainings."""
    name, given, asked, budget = KINDS[kind]
    distribution = qs.tasks.make(name, **given)
    agents, seconds = {}, {}
    for way, more in WAYS.items():
        algorithm = qs.algorithms.make("rl2", distribution.spec, **asked, **more)
        config = qs.TrainingConfig(budget=budget, seeds=settings.seeds, evaluation_seconds=600.0)
        run = qs.meta_train(algorithm, distribution, config)
        if not run.finished:
            raise SystemExit(f"{kind}: interrupted after {run.steps} steps; nothing of it is kept.")
        agents[way] = Contender(agent=algorithm.agent, params=run.params, trained=True)
        seconds[way] = round(run.seconds, 1)
    evaluation = evaluate(agents, distribution, split="test", tasks=settings.tasks)
    returns = {way: dataclasses.asdict(result.lifetime_return) for way, result in evaluation.results.items()}
    first, *others = WAYS
    differences = {}
    for way in others:
        comparison = evaluation.compare(way, first)
        assert comparison is not None
        differences[way] = dataclasses.asdict(comparison.difference)
    return {"budget": budget, "returns": returns, "differences": differences, "seconds": seconds}


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    for kind in settings.kinds:
        found[kind] = measured(kind, settings)
        FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(kind, json.dumps(found[kind]), flush=True)


if __name__ == "__main__":
    main()
