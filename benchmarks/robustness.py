"""Loss of return when rewards go missing and observations are noisy.

    python benchmarks/robustness.py

The agents of the rows `drifting-control-*` and `grid-navigation*` run on the same 1,000 held-out tasks with sensor faults
(`quickstudy.with_sensor_faults`), beside the agent that is best without faults. The environment does not change, so returns are
those of the tasks as they are. A missing reward comes as NaN, and its step is masked. No agent was trained with either fault.
Cells of a grid cannot be blurred; in drifting control the noise of each step is 0.2. Means with 95 % intervals over seeds and
tasks go to `benchmarks/robustness.json`, the picture to `docs/pictures/robustness.svg`.
"""

import dataclasses
import json
from pathlib import Path

import jax
import matplotlib
import numpy as np
import tyro
from inner_steps import measured

import quickstudy as qs
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.rollout.runner import run_on_tasks

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "pictures" / "robustness.svg"
LEVELS = {"missing": (0.0, 0.1, 0.3, 0.5), "noise": (0.0, 0.1, 0.2, 0.4)}
AGENTS = {
    "grid-navigation": {
        "RL²": "grid-navigation",
        "VariBAD": "grid-navigation-varibad",
        "PEARL": "grid-navigation-pearl",
        "best without faults": "Bayes optimum (exact)",
    },
    "drifting-control": {
        "RL²": "drifting-control-rl2",
        "VariBAD": "drifting-control-varibad",
        "PEARL": "drifting-control-pearl",
        "best without faults": "certainty equivalence",
    },
}
PANELS = (("grid-navigation", "missing"), ("drifting-control", "missing"), ("drifting-control", "noise"))
AXES = {"missing": "share of missing rewards", "noise": "standard deviation of the noise"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    folder: str = "bundles"
    tasks: int = 1000
    draw_only: bool = False
    """Draw the numbers that were measured before."""


def subjects(folder, distribution):
    """Each agent with the parameters of its seeds."""
    for title, name in AGENTS[distribution.name].items():
        if name in distribution.baselines:
            agent = distribution.baselines[name]()
            yield title, agent, [agent.init(jax.random.key(0))]
        else:
            bundle = qs.load_bundle(f"{folder}/{name}")
            yield title, bundle.agent, [bundle.params_of(seed) for seed in range(bundle.seeds)]


def returns(agent, distribution, params, task_list, keys):
    """`[seeds, tasks]`."""
    rewards = (run_on_tasks(agent, distribution, one, task_list, keys)[0] for one in params)
    return np.stack([reward.sum(-1, dtype=np.float64) for reward in rewards])


def draw(found):
    """Return against the strength of a fault."""
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(PANELS), figsize=(10.5, 3.7), layout="constrained")
    for axes, (distribution, fault) in zip(panels, PANELS, strict=True):
        for (name, one), style in zip(found[f"{distribution}, {fault}"].items(), ("o-", "s-", "^-", "k:"), strict=True):
            value, low, high = np.asarray(one).T
            (line,) = axes.plot(LEVELS[fault], value, style, label=name, markersize=4)
            axes.fill_between(LEVELS[fault], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set_title(distribution, loc="left", fontsize=10)
        axes.set_xlabel(AXES[fault])
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0].set_ylabel("return of a lifetime")
    panels[-1].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    """Measures, prints and draws."""
    settings = tyro.cli(Settings, description=__doc__)
    home = HERE / "robustness.json"
    if settings.draw_only:
        draw(json.loads(home.read_text(encoding="utf-8")))
        return
    found = {}
    for name, fault in PANELS:
        distribution = qs.tasks.make(name)
        task_list, keys = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
        one = found[f"{name}, {fault}"] = {}
        for title, agent, params in subjects(settings.folder, distribution):
            rows = [
                returns(qs.with_sensor_faults(agent, **{fault: at}), distribution, params, task_list, keys)
                for at in LEVELS[fault]
            ]
            one[title] = [np.round(measured(row), 2).tolist() for row in rows]
            told = ", ".join(f"{at}: {m:.2f} [{low:.2f}, {high:.2f}]"
                             for at, (m, low, high) in zip(LEVELS[fault], one[title], strict=True))  # fmt: skip
            print(f"{name}, {fault}, {title}: {told}", flush=True)
        home.write_text(json.dumps(found) + "\n", encoding="utf-8")
    draw(found)


if __name__ == "__main__":
    main()
