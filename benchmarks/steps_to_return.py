"""How many environment steps, and how much time, meta-training takes to the same held-out return: PEARL against RL².

    python benchmarks/steps_to_return.py

On 2-D navigation, both train on the same tasks from nothing, several seeds each, and are looked at on the same held-out tasks
as they train. A *level* is a part of the way from random actions to the lower of both final returns. Each seed's curve
reaches a level where it first comes there, by a straight line between looks; a seed that never does counts with all its steps,
so that the ratio is too small then, if anything. A ratio is of geometric means over seeds, RL²'s over PEARL's, with a 95 %
interval over resamples of both. Nothing else should run meanwhile, or the seconds mean little. Numbers go to
`benchmarks/steps_to_return.json`, the picture to `docs/pictures/steps-to-return.svg`.
"""

import dataclasses
import json
from pathlib import Path

import matplotlib
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.training.baseline_returns import BaselineReturns

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "pictures" / "steps-to-return.svg"
LEVELS = (0.5, 0.75, 0.9, 1.0)
RESAMPLES = 4000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    seeds: int = 3
    parts: tuple[str, ...] = ("dense", "sparse")
    """Of the table: `dense`, paid by distance, 4 episodes of 100 steps; `sparse`, paid near the goal, 10 episodes."""
    draw_only: bool = False
    """Draw and print the numbers that were measured before."""


ASKED = {
    "dense": {
        "tasks": {"reward": "distance", "episodes": 4},
        "rl2": ("4.2e6 steps", {"lifetimes": 64, "trace_decay": 0.95}),
        "pearl": ("2.5e5 steps", {}),
    },
    "sparse": {
        "tasks": {"reward": "sparse", "episodes": 10},
        "rl2": ("5e6 steps", {"lifetimes": 32, "trace_decay": 0.95}),
        "pearl": ("5e5 steps", {"target_entropy": 0.95}),
    },
}


def trained(part, algorithm, seeds):
    """Steps, seconds of training alone, and held-out return of every seed at every look."""
    distribution = qs.tasks.make("point-navigation", **ASKED[part]["tasks"])
    budget, settings = ASKED[part][algorithm]
    config = qs.TrainingConfig(budget=budget, seeds=seeds, evaluation_seconds=5.0, held_out_tasks=256)
    marks = []

    def watch(progress):
        if len(progress.evaluations) > len(marks):
            marks.append(progress.spent["training"] / seeds)
            print(f"{part} {algorithm} {progress.steps:>9,} steps {np.mean(progress.evaluations[-1][1]):8.2f}", flush=True)

    run = qs.meta_train(qs.algorithms.make(algorithm, distribution.spec, **settings), distribution, config, watch=watch)
    evaluations = [(line["steps"], line["held_out_return"]) for line in run.metrics if "held_out_return" in line]
    return {
        "algorithm": algorithm,
        "budget": budget,
        "settings": settings,
        "steps": [steps for steps, _ in evaluations],
        "seconds_per_seed": np.round(marks, 2).tolist(),
        "returns": np.round([values for _, values in evaluations], 3).tolist(),
    }


def reached(axis, returns, level):
    """Where each seed's curve `[looks, seeds]` first comes to a level, on an axis `[looks]`; its end if it never does."""
    found = []
    for curve in np.asarray(returns).T:
        at = np.flatnonzero(curve >= level)
        if not len(at):
            found.append(float(axis[-1]))
        elif at[0] == 0:
            found.append(float(axis[0]))
        else:
            found.append(float(np.interp(level, curve[at[0] - 1 : at[0] + 1], axis[at[0] - 1 : at[0] + 1])))
    return np.asarray(found)


def ratio(theirs, ours):
    """Geometric mean over geometric mean, with its interval over seeds."""
    numbers = np.random.default_rng(0)
    theirs, ours = np.log(theirs), np.log(ours)
    draw = lambda values: values[numbers.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)  # noqa: E731
    low, high = np.quantile(draw(theirs) - draw(ours), (0.025, 0.975))
    return np.exp([theirs.mean() - ours.mean(), low, high]).round(2).tolist()


def compared(one):
    """Every level of one distribution: its return, how many seeds came there, both ratios."""
    final = {name: np.mean(run["returns"][-3:]) for name, run in one["runs"].items()}
    rows = []
    for part in LEVELS:
        level = one["random"] + part * (min(final.values()) - one["random"])
        at = {
            (name, axis): reached(run[axis], run["returns"], level)
            for name, run in one["runs"].items()
            for axis in ("steps", "seconds_per_seed")
        }
        came = {name: int((np.asarray(run["returns"]).max(0) >= level).sum()) for name, run in one["runs"].items()}
        rows.append(
            {
                "part": part,
                "return": round(level, 2),
                "seeds": came,
                "steps": {name: round(float(np.exp(np.log(at[name, "steps"]).mean()))) for name in one["runs"]},
                "seconds": {name: float(np.exp(np.log(at[name, "seconds_per_seed"]).mean()).round(1)) for name in one["runs"]},
                "ratio_of_steps": ratio(at["rl2", "steps"], at["pearl", "steps"]),
                "ratio_of_seconds": ratio(at["rl2", "seconds_per_seed"], at["pearl", "seconds_per_seed"]),
            }
        )
    return {"final": {name: round(float(value), 2) for name, value in final.items()}, "levels": rows}


def draw(found):
    """Held-out return against environment steps, logarithmic, every seed; a picture for each distribution side by side."""
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(4.6 * len(found) + 0.4, 3.8), layout="constrained", squeeze=False)
    for axes, (part, one) in zip(panels[0], found.items(), strict=True):
        for (name, run), style in zip(one["runs"].items(), ("-", "--"), strict=True):
            colour = {"rl2": "C1", "pearl": "C0"}[name]
            for number, curve in enumerate(np.asarray(run["returns"]).T):
                label = {"rl2": "RL²", "pearl": "PEARL"}[name] if not number else None
                axes.plot(run["steps"], curve, style, color=colour, linewidth=1.4, alpha=0.8, label=label)
        axes.axhline(one["random"], color="0.5", linewidth=0.8, linestyle=":", label="random actions")
        axes.set_xscale("log")
        axes.set_title({"dense": "paid by distance, 4 episodes", "sparse": "paid near the goal, 10 episodes"}[part],
                       loc="left", fontsize=10)  # fmt: skip
        axes.set_xlabel("environment steps of meta-training, per seed")
        axes.set_ylabel("held-out return of a lifetime")
        axes.legend(frameon=False, fontsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    """Trains, prints and draws."""
    settings = tyro.cli(Settings, description=__doc__)
    qs.use_whole_machine()
    home = HERE / "steps_to_return.json"
    found = json.loads(home.read_text(encoding="utf-8")) if home.exists() else {}
    for part in () if settings.draw_only else settings.parts:
        distribution = qs.tasks.make("point-navigation", **ASKED[part]["tasks"])
        runs = {name: trained(part, name, settings.seeds) for name in ("pearl", "rl2")}
        baselines = BaselineReturns(distribution, tasks=256)
        list(baselines.measure())
        found[part] = {"random": round(baselines.returns["random"], 2), "runs": runs}
        found[part] |= compared(found[part])
        home.write_text(json.dumps(found) + "\n", encoding="utf-8")
    for part, one in found.items():
        print(f"{part}: final return {one['final']}")
        for row in one["levels"]:
            print(f"  {row['part']:4.0%} of the way, {row['return']:8.2f}: steps {row['steps']}, RL² / PEARL "
                  f"{row['ratio_of_steps']}; seconds {row['seconds']}, {row['ratio_of_seconds']}; "
                  f"seeds {row['seeds']}")  # fmt: skip
    draw(found)


if __name__ == "__main__":
    main()
