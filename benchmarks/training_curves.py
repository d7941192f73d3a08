"""What agents reach against the steps that they were trained for: the curves of the suites' pages.

    quickstudy bench run reach-rl2
    python benchmarks/training_curves.py

Reads `metrics.jsonl` of the rows' runs in `runs/bench` (a folder that is not there keeps the curve that was stored), and writes
`benchmarks/training_curves.json` and a picture for each suite in `docs/pictures`. Lines are tasks that are trained on, means
over stretches of training; dots are held-out tasks, looked at now and then, which choose nothing: of successes, that of the
last episode.
"""

import json
from pathlib import Path

import numpy as np

from quickstudy.reports import canvas
from quickstudy.storage.run_folder import read_metrics

HERE = Path(__file__).parent
STORED = HERE / "training_curves.json"
RUNS = HERE.parent / "runs" / "bench"
STRETCHES = 25
FIGURES = {
    "meta-world-training": (
        "success",
        "episodes that succeed",
        {
            "reach": {"RL²": "reach-rl2", "ProMP": "reach-promp", "multi-task": "reach-multi-task"},
            "push": {"RL²": "push-rl2", "ProMP": "push-promp", "multi-task": "push-multi-task"},
            "ML10": {"RL²": "ml10-rl2"},
        },
    ),
    "procgen-training": ("return", "return of a lifetime", {"starpilot, two episodes": {"RL²": "starpilot-rl2"}}),
}


def curve(folder, measure):
    """Points (million steps, value) in training and on held-out tasks."""
    lines = read_metrics(folder)
    of = lambda name: [(line["steps"] / 1e6, np.mean(line[name])) for line in lines if name in line]  # noqa: E731
    trained = np.asarray(of(f"train_{measure}"))
    stretches = np.array_split(trained, min(STRETCHES, len(trained)))
    return {
        "train": [np.round(stretch.mean(0), 4).tolist() for stretch in stretches],
        "held out": np.round(of(f"held_out_{measure}"), 4).tolist(),
    }


def draw(name, wanted, stored):
    """One panel for each kind of task, lines named in the first."""
    _, said, panels = wanted
    with canvas.style_context():
        figure = canvas.Figure(figsize=(3.1 * len(panels) + 0.9, 3.5), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for place, (axis, (title, rows)) in enumerate(zip(axes, panels.items(), strict=True)):
            for colour, (agent, row) in zip(canvas.LIGHT, rows.items(), strict=False):
                if row not in stored:
                    continue
                axis.plot(*np.transpose(stored[row]["train"]), color=colour, label=f"{agent}, in training")
                axis.plot(*np.transpose(stored[row]["held out"]), "o", color=colour, markersize=4, label=f"{agent}, held out")
            axis.set_title(title, loc="left", fontsize=10)
            axis.set_xlabel("million steps of training")
            axis.set_ylim(bottom=0)
            if place == 0:
                axis.set_ylabel(said)
                figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
        picture = canvas.finish(figure, name=name, title="", caption="", alternative="")
    (HERE.parent / "docs" / "pictures" / f"{name}.svg").write_text(picture.svg, encoding="utf-8")


def main():
    """Reads, stores, draws."""
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    for name, wanted in FIGURES.items():
        rows = [row for panel in wanted[2].values() for row in panel.values()]
        stored |= {row: curve(RUNS / row, wanted[0]) for row in rows if (RUNS / row / "metrics.jsonl").exists()}
        if any(row in stored for row in rows):
            draw(name, wanted, stored)
    STORED.write_text(json.dumps(stored) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
