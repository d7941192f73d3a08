"""Run folders with the numbers that a test wants; nothing is trained for them."""

from quickstudy.storage.metrics_file import MetricsFile
from quickstudy.storage.run_description import description_text

SPEC = {"horizon": 1, "episodes": 10}


def make_run(folder, returns, *, finished=True, algorithm="rl2", arms=5, files=None, machine="a processor", **settings):
    """A run whose line i has the held-out returns `returns[i]` of its seeds, after 100 (i + 1) steps and 10 (i + 1) seconds."""
    folder.mkdir(parents=True)
    description = {
        "command": "quickstudy train",
        "algorithm": {"name": algorithm, "config": {"cell": "gru", **settings}},
        "distribution": {"name": "some-tasks", "config": {"arms": arms}},
        "training": {"seeds": len(returns[0]) if returns else 1, "held_out_tasks": 64},
        "spec": SPEC,
        "versions": {"quickstudy": "0.0", "jax": "0.0"},
        "machine": {"device": machine, "devices": 1, "cores": 2},
        "files": files or {},
    }
    (folder / "run.json").write_text(description_text(description))
    file = MetricsFile(folder / "metrics.jsonl")
    for at, seeds in enumerate(returns, start=1):
        line = {"update": at, "steps": 100 * at, "seconds": 10.0 * at, "train_return": [0.0] * len(seeds)}
        file.append(line | {"held_out_return": list(seeds)})
    if finished:
        (folder / "bundle").mkdir()
        (folder / "bundle" / "bundle.json").write_text("{}")
    return folder
