"""An evaluation to show, with the lines of a run that could have led to it; no agent was trained or measured."""

import gymnasium
import numpy as np

from quickstudy.evaluation import evaluate, measures
from quickstudy.evaluation.measures import Anchors, LifetimeRewards
from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws
from quickstudy.protocol.records import Spec

RUN = {
    "command": "quickstudy train rl2 some-tasks --seeds 2 --budget 5m",
    "algorithm": {"name": "rl2", "config": {"cell": "gru", "hidden_size": 64}},
    "distribution": {"name": "some-tasks", "config": {"arms": 5}},
    "training": {"budget": "5m", "seeds": 2},
    "versions": {"jax": "0.0"},
}


def made(levels, *, horizon=1, episodes=20, split="test", trained=("rl2",), anchors=True, tasks=30):
    """An evaluation of agents whose mean reward rises to their level; trained ones have two seeds."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )
    steps, generator = spec.lifetime_steps, np.random.default_rng(7)
    rise = 1 - np.exp(-np.arange(steps) / max(1, steps / 8))
    of_tasks = statistics.draw_counts(tasks, resamples=100, seed=0)
    known = Anchors(floor=np.full(tasks, 0.2 * steps), ceiling=np.full(tasks, 0.9 * steps))
    known = known if anchors else Anchors(floor=None, ceiling=None)
    results, returns, draws = {}, {}, {}
    for name, level in levels.items():
        seeds = 2 if name in trained else 1
        reward = (generator.random((seeds, tasks, steps)) < 0.2 + (level - 0.2) * rise).astype(np.float32)
        draws[name] = Draws(seeds=statistics.draw_counts(seeds, resamples=100, seed=1), tasks=of_tasks)
        lives = LifetimeRewards(reward=reward, valid=np.ones_like(reward, bool))
        returns[name] = lives.returns
        results[name] = Result(
            trained=name in trained,
            seeds=seeds,
            memory_bytes=2048,
            decision_microseconds={"median": 12.0, "percentile_99": 40.0},
            **measures.measure_adaptation(lives, known, draws[name], spec=spec, thresholds=(0.5, 0.9)),
        )
    first = next((name for name in levels if name in trained), next(iter(levels)))
    anchor = [None if x is None else statistics.Estimate(value=x[0], low=x[0], high=x[0]) for x in (known.floor, known.ceiling)]
    return Evaluation(
        distribution={"name": "some-tasks", "config": {"arms": 5}},
        spec=spec.describe(),
        split=split,
        label=evaluate.split_label(split),
        tasks=tasks,
        seed=0,
        task_hash="0123456789abcdef" * 4,
        reference=first,
        floor=anchor[0],
        ceiling=anchor[1],
        results=results,
        comparisons=tuple(evaluate.compare(first, other, returns, draws) for other in levels if other != first),
        definitions=measures.definitions(spec),
        command=f"quickstudy evaluate runs/one --split {split}",
        machine="a machine",
    )


def metrics(*, lines=20):
    """Lines of the metrics of a run with two seeds."""
    for update in range(lines):
        line = {"update": update, "steps": 1000 * update, "seconds": 1.0, "train_return": [5.0 + update, 6.0]}
        yield line | ({"held_out_return": [7.0, 8.0 + update]} if update % 5 == 0 else {})
