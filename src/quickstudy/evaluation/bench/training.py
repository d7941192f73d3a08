"""The record of a row's training: from the folder of its run, or from its bundle."""

from pathlib import Path
from typing import Any

from quickstudy.evaluation.bench.stored import Training
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.card import read_card
from quickstudy.storage.plain import from_plain
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
    Raises:
      UsageError: the run's files hold something else than a run writes.
    """
    if not (run / "run.json").is_file() or not (run / "bundle" / "bundle.json").is_file():
        return None
    described = read_description(run)
    card, metrics = read_card(run / "bundle"), read_metrics(run)
    if card["parameters_sha256"] != parameters_sha256 or not metrics:
        return None
    asked = described.get("training")
    asked = asked if isinstance(asked, dict) else {}
    machine = described.get("machine")
    last = metrics[-1]
    # A run may be anybody's: what it must hold is said by the types of the record.
    data = {
        "command": described.get("command"),
        "seeds": asked.get("seeds"),
        "budget": asked.get("budget"),
        "steps": last.get("steps"),
        "seconds": last.get("seconds"),
        "machine": machine | {"processor": processor} if isinstance(machine, dict) else machine,
        "algorithm": described.get("algorithm"),
        "versions": described.get("versions"),
        "curve": _thinned(
            [(line.get("steps"), _mean(line["held_out_return"])) for line in metrics if "held_out_return" in line]
        ),
    }
    return from_plain(Training, data, where=f"the run {run}")


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


def _thinned(evaluations: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """At most `CURVE_POINTS` of them, evenly spread, the last among them."""
    every = -(-len(evaluations) // CURVE_POINTS)
    return evaluations[::-1][::every][::-1] if evaluations else []


def _mean(values: Any) -> Any:
    """The mean of a list of numbers; anything else as it is, for the check of types."""
    numbers = isinstance(values, list) and values and all(type(value) in (int, float) for value in values)
    return sum(values) / len(values) if numbers else values
