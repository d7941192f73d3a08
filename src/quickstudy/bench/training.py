"""How a row's agent came to be, read from the folder of its run."""

import json
from pathlib import Path

from quickstudy.bench.stored import Training
from quickstudy.run_folder import read_metrics

CURVE_POINTS = 20
"""Looks at the held-out tasks that are kept of a run."""


def run_path(folder: Path, name: str) -> Path:
    """Where a row is trained, below a checkout."""
    return folder / "runs" / "bench" / name


def training_of(run: Path, parameters_sha256: str, *, processor: str) -> Training | None:
    """The record of a run that ended in these very parameters; None if it is not there or ended in others.

    Args:
      run: the run's folder.
      parameters_sha256: of the bundle's parameters.
      processor: of the machine that it was trained on, which is this one.
    """
    if not (run / "run.json").is_file() or not (run / "bundle" / "bundle.json").is_file():
        return None
    described, metrics = json.loads((run / "run.json").read_text()), read_metrics(run)
    card = json.loads((run / "bundle" / "bundle.json").read_text())
    if card["parameters_sha256"] != parameters_sha256 or not metrics:
        return None
    looks = [(line["steps"], line["held_out_return"]) for line in metrics if "held_out_return" in line]
    return Training(
        command=described["command"],
        budget=described["training"]["budget"],
        seeds=described["training"]["seeds"],
        steps=metrics[-1]["steps"],
        seconds=metrics[-1]["seconds"],
        algorithm=described["algorithm"],
        machine=described["machine"] | {"processor": processor},
        versions=described["versions"],
        curve=tuple((steps, sum(values) / len(values)) for steps, values in _thinned(looks)),
    )


def _thinned(looks: list[tuple[int, list[float]]]) -> list[tuple[int, list[float]]]:
    """At most `CURVE_POINTS` of them, evenly spread, the last among them."""
    every = -(-len(looks) // CURVE_POINTS)
    return looks[::-1][::every][::-1] if looks else []
