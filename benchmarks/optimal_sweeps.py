"""How many training seeds search the 5 × 5 grid as well as can be: exact returns of their likeliest actions.

    python benchmarks/optimal_sweeps.py

Moves are deterministic, so that an agent that always takes its likeliest action earns one number for each of the 21 goals, and
their mean is its exact expected return of four episodes: nothing is drawn. A seed plays an optimal sweep where that number is
the Bayes optimum's, which is proven by search. Beside it stands what the agent earns when it draws its actions, on 1,000
held-out tasks. Numbers go to `benchmarks/optimal_sweeps.json`.
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

HERE = Path(__file__).parent
GOALS = 21


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    bundles: tuple[str, ...] = ("bundles/grid-navigation", "bundles/grid-navigation-varibad", "bundles/grid-navigation-pearl")
    tasks: int = 1000


def decided(agent):
    """The same agent, which takes the likeliest action."""

    def act(params, memory, observation, key):
        decision = agent.act(params, memory, observation, key)
        return dataclasses.replace(decision, action=decision.extras["policy"].mode())

    return qs.Agent(spec=agent.spec, init=agent.init, begin=agent.begin, act=act, adapt=agent.adapt, cadence=agent.cadence)


def one_task_for_each_goal(distribution):
    """A task for every goal that there is."""
    tasks = distribution.sample_tasks("test", jax.random.key(0), tasks=2000)
    goals = np.stack([np.asarray(v).reshape(2000, -1) for v in jax.vmap(distribution.describe)(tasks).values()], -1)
    _, first = np.unique(goals.reshape(2000, -1), axis=0, return_index=True)
    assert len(first) == GOALS
    return jax.tree.map(lambda leaf: leaf[first], tasks)


def returns(agent, distribution, params, tasks, keys):
    """`[tasks]`."""
    return np.asarray(run_on_tasks(agent, distribution, params, tasks, keys)[0], np.float64).sum(-1)


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    distribution = qs.tasks.make("grid-navigation")
    goals, keys = one_task_for_each_goal(distribution), jax.random.split(jax.random.key(1), GOALS)
    best = distribution.baselines["Bayes optimum (exact)"]()
    optimum = returns(best, distribution, best.init(jax.random.key(0)), goals, keys).mean().item()
    drawn, luck = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
    lucky = round(returns(best, distribution, best.init(jax.random.key(0)), drawn, luck).mean().item(), 3)
    print(f"Bayes optimum: {optimum:.4f}; on the held-out tasks {lucky}")
    found = {"optimum": optimum, "optimum_on_held_out_tasks": lucky, "agents": {}}
    for path in settings.bundles:
        bundle = qs.load_bundle(path)
        exact, sampled = [], []
        for seed in range(bundle.seeds):
            params = bundle.params_of(seed)
            exact.append(round(float(returns(decided(bundle.agent), distribution, params, goals, keys).mean()), 4))
            sampled.append(round(float(returns(bundle.agent, distribution, params, drawn, luck).mean()), 3))
        optimal = sum(value > optimum - 1e-3 for value in exact)
        found["agents"][Path(path).name] = {"likeliest": exact, "drawn": sampled, "optimal": optimal}
        print(f"{Path(path).name}: likeliest actions {exact}, mean {np.mean(exact):.3f}; drawn actions {sampled}, mean "
              f"{np.mean(sampled):.3f}; {optimal} of {bundle.seeds} seeds play an optimal sweep", flush=True)  # fmt: skip
    (HERE / "optimal_sweeps.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
