"""Everything that is known of a trained agent, gathered for its card: origin, results, costs, training and envelope."""

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from quickstudy import algorithms, tasks
from quickstudy.evaluation.bench.rows import Group
from quickstudy.evaluation.bench.stored import Stored
from quickstudy.evaluation.measured_agent import MeasuredResult, checkout_above, measured_results, rows_of
from quickstudy.protocol.agent import memory_bytes
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.registry import resolve
from quickstudy.rollout.agent_costs import agent_cost, nanojoules
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.storage.bundle import Bundle, load_bundle
from quickstudy.storage.card import bundle_folder
from quickstudy.storage.envelope_file import ENVELOPE, load_envelope
from quickstudy.storage.reading import is_file
from quickstudy.storage.run_description import read_description
from quickstudy.storage.run_folder import read_metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallCost:
    """What one call of an agent computes and moves, counted and not measured.

    Args:
      multiply_adds: in products of matrices.
      other: operations on one number.
      bytes_moved: that are read and written.
      nanojoules: of all that, in published figures of a 45 nm chip (`rollout.agent_costs`).
    """

    multiply_adds: int
    other: int
    bytes_moved: int
    nanojoules: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What the training of an agent took.

    Args:
      command: that trains it again; empty where it is not stored.
      budget: of each seed, as for `quickstudy train`; this and the next three are None where they are not stored.
      steps: environment steps of each seed.
      seconds: wall-clock of all seeds together.
      machine: that it was trained on.
      versions: of what a result may depend on.
    """

    command: str
    budget: str | None
    steps: int | None
    seconds: float | None
    machine: Mapping[str, Any] | None
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentRecord:
    """What a card says of an agent, before it is written.

    Args:
      name: of the agent.
      card: the content of `bundle.json`.
      seeds: independently trained agents in the bundle.
      algorithm_says: the first paragraph of what is written about the algorithm; empty if it is not registered.
      tasks_say: the same of the task distribution.
      setting_says: the same of each setting of the distribution, by name.
      tasks_in_full: all that is written about the distribution and its splits; empty if it is not registered.
      results: stored measurements.
      memory_bytes: of one lifetime.
      parameters: numbers of one seed.
      cadence: steps that one adaptation takes in.
      costs: of one decision and of one adaptation; None where an operation cannot be counted.
      training: what it took.
      envelope: the rules of the envelope beside the bundle, with its digest; None if there is none.
    """

    name: str
    card: Mapping[str, Any]
    seeds: int
    algorithm_says: str
    tasks_say: str
    setting_says: Mapping[str, str]
    tasks_in_full: str
    results: tuple[MeasuredResult, ...]
    memory_bytes: int
    parameters: int
    cadence: int
    costs: tuple[CallCost, CallCost] | None
    training: TrainingRecord
    envelope: Mapping[str, Any] | None


def agent_record(
    path: str | Path, *, algorithm: str | None = None, checkout: Path | None = None, name: str | None = None
) -> AgentRecord:
    """Gathers what is stored of an agent, and counts what a decision needs. Nothing is measured, and no task is run.

    Args:
      path: of the bundle's folder, or of the run's folder that holds it.
      algorithm: `PATH.py:FUNCTION` of an agent whose algorithm is not registered.
      checkout: a folder with `results/rows`; the nearest above the bundle if None.
      name: of the agent; that of the folder if None.
    Raises:
      BundleError: the bundle cannot be loaded.
      UsageError: a stored result is damaged, of another agent, or not finite; or nothing was measured of the agent.
    """
    folder = bundle_folder(path)
    bundle = load_bundle(folder, algorithm=algorithm)
    at = checkout_above(folder) if checkout is None else checkout
    rows = [] if at is None else rows_of(at, bundle.card["parameters_sha256"])
    results = measured_results(folder, bundle.card, rows=rows)
    if not results:
        raise UsageError(
            f"nothing was measured of {path} yet, so a card would be empty. Measure first: quickstudy evaluate RUN"
        )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), bundle.params)
    is_run = folder.name == "bundle" and is_file(folder.parent / "run.json")
    origin = bundle.card["distribution"]["name"]
    return AgentRecord(
        name=name or (folder.parent if is_run else folder).resolve().name,
        card=bundle.card,
        seeds=bundle.seeds,
        algorithm_says=_first_paragraph(_written("algorithm", bundle.card["algorithm"]["name"], algorithms.ALGORITHMS)),
        tasks_say=_first_paragraph(_written("task distribution", origin, tasks.DISTRIBUTIONS)),
        setting_says=_of_settings(origin),
        tasks_in_full=_written("task distribution", origin, tasks.DISTRIBUTIONS),
        results=results,
        memory_bytes=memory_bytes(bundle.agent),
        parameters=sum(int(leaf.size) for leaf in jax.tree.leaves(shapes)),
        cadence=bundle.agent.cadence,
        costs=_costs(bundle, shapes),
        training=_training(folder.parent if is_run else None, bundle.card, rows),
        envelope=_envelope((folder, *([folder.parent] if is_run else []))),
    )


def _costs(bundle: Bundle, shapes: Any) -> tuple[CallCost, CallCost] | None:
    try:
        counted = agent_cost(with_nonfinite_guard(bundle.agent), shapes)
    except NotImplementedError:
        return None
    decision, adaptation = (
        CallCost(
            multiply_adds=one.multiply_adds,
            other=one.other,
            bytes_moved=one.bytes_read + one.bytes_written,
            nanojoules=nanojoules(one),
        )
        for one in (counted.decision, counted.adaptation)
    )
    return decision, adaptation


def _written(kind: str, name: str, known: Mapping[str, str]) -> str:
    """The docstring of the module of a registered name; a file of anybody is not imported for it."""
    return inspect.getdoc(inspect.getmodule(resolve(kind, name, known))) or "" if name in known else ""


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _of_settings(name: str) -> dict[str, str]:
    """What the function of a registered distribution says of each setting."""
    if name not in tasks.DISTRIBUTIONS:
        return {}
    text = inspect.getdoc(resolve("task distribution", name, tasks.DISTRIBUTIONS)) or ""
    arguments = re.search(r"^Args:\n(.*?)(?=^\w|\Z)", text, re.M | re.S)
    found = re.findall(r"^  (\w+): (.+?)(?=^  \w+: |\Z)", arguments[1] if arguments else "", re.M | re.S)
    return {setting: " ".join(said.split()) for setting, said in found}


def _training(run: Path | None, card: Mapping[str, Any], rows: Sequence[tuple[Stored, Group]]) -> TrainingRecord:
    """From the result of the row that trained the agent, else from the folder of the run, else what the bundle knows."""
    for stored, _ in rows:
        made = stored.training
        if made is not None:
            return TrainingRecord(
                command=made.command,
                budget=made.budget,
                steps=made.steps,
                seconds=made.seconds,
                machine=made.machine,
                versions=made.versions,
            )
    description = read_description(run) if run is not None else {}
    last = (read_metrics(run) or [{}])[-1] if run is not None else {}
    settings, machine, steps, seconds = (
        description.get("training"),
        description.get("machine"),
        last.get("steps"),
        last.get("seconds"),
    )
    return TrainingRecord(
        command=str(card.get("command") or description.get("command") or ""),
        budget=str(settings["budget"]) if isinstance(settings, dict) and "budget" in settings else None,
        steps=steps if type(steps) is int else None,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        machine=machine if isinstance(machine, dict) else None,
        versions=card.get("versions", {}),
    )


def _envelope(folders: Sequence[Path]) -> Mapping[str, Any] | None:
    """The envelope beside a bundle; in the folder of the bundle, else in that of its run."""
    path = next((folder / ENVELOPE for folder in folders if is_file(folder / ENVELOPE)), None)
    return None if path is None else load_envelope(path).describe()
