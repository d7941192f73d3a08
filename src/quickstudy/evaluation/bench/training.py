"""The record of a row's training: from the folder of its run, or from its bundle."""

import json
from pathlib import Path

from quickstudy.evaluation.bench.stored import Training
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.run_description import read_description
from quickstudy.storage.run_folder import read_metrics

CURVE_POINTS = 20
"""Evaluations during training that are kept of a run."""


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
    described, metrics = read_description(run), read_metrics(run)
    card = json.loads((run / "bundle" / "bundle.json").read_text())
    if card["parameters_sha256"] != parameters_sha256 or not metrics:
        return None
    evaluations = [(line["steps"], line["held_out_return"]) for line in metrics if "held_out_return" in line]
    return Training(
        command=described["command"],
        seeds=described["training"]["seeds"],
        budget=described["training"]["budget"],
        steps=metrics[-1]["steps"],
        seconds=metrics[-1]["seconds"],
        machine=described["machine"] | {"processor": processor},
        algorithm=described["algorithm"],
        versions=described["versions"],
        curve=tuple((steps, sum(values) / len(values)) for steps, values in _thinned(evaluations)),
    )


def training_of_bundle(bundle: Bundle) -> Training:
    """The record as far as the bundle itself has it, where neither its run nor an earlier record is left."""
    return Training(
        command=bundle.card.get("command") or "",
        seeds=bundle.seeds,
        budget=None,
        steps=None,
        seconds=None,
        machine=None,
        algorithm=bundle.card["algorithm"],
        versions=bundle.card.get("versions", {}),
        curve=(),
    )


def _thinned(evaluations: list[tuple[int, list[float]]]) -> list[tuple[int, list[float]]]:
    """At most `CURVE_POINTS` of them, evenly spread, the last among them."""
    every = -(-len(evaluations) // CURVE_POINTS)
    return evaluations[::-1][::every][::-1] if evaluations else []
