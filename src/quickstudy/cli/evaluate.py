"""`quickstudy evaluate PATH ...`: measures runs and bundles against the baselines, on the same held-out tasks."""

import dataclasses
import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from quickstudy import tasks
from quickstudy.cli.arguments import leading_words, parse, positional, settings_class
from quickstudy.evaluation.evaluate import Contender, contender, evaluate
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.summary import table, verdict
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.registry import resolve
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.compiled import check_fit
from quickstudy.storage.bundle import Bundle, add_results, load_bundle

_USAGE = "quickstudy evaluate RUN_OR_BUNDLE [MORE ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """What is measured, and on what."""

    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given. "train" only if named here."""
    tasks: int = 2000
    """Tasks per split, the same for everyone."""
    seed: int = 0
    """Of the tasks and their luck."""
    baselines: bool = True
    """Measure the distribution's baselines beside the agents."""
    on: str | None = None
    """A task distribution to measure on, if not the registered one trained on; its settings follow as flags."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    folder: str | None = None
    """Where results go; the run's own folder if one run is named, else runs/comparison."""


def run(arguments: list[str]) -> int:
    """Evaluates, prints tables and verdicts, saves the results."""
    positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    words, flags = leading_words(arguments)
    algorithm, on = _value_of("--algorithm", flags), _value_of("--on", flags)
    helping = bool({"-h", "--help"} & set(flags))
    bundles = {} if helping else {path: load_bundle(path, algorithm=algorithm) for path in words}
    on, given = _tasks_of(bundles, on)
    kinds = {"evaluation": EvaluateArguments, "collecting": CollectingConfig}
    fields: list[Any] = [(part, kind, dataclasses.field(default_factory=kind)) for part, kind in kinds.items()]
    if on is not None:
        kind = settings_class(on, resolve("task distribution", on, tasks.DISTRIBUTIONS))
        fields.append(("distribution", kind, dataclasses.field(default_factory=lambda: kind(**given))))
    everything = dataclasses.make_dataclass("Evaluate", fields, frozen=True, kw_only=True)
    asked: Any = parse(everything, flags, program=_USAGE.partition(" [")[0], description="Measures agents on held-out tasks.")
    assert on is not None  # only help goes without, and help has ended the program
    distribution = tasks.make(on, **dataclasses.asdict(asked.distribution))
    for bundle in bundles.values():
        check_fit(bundle.agent, distribution.spec)
    evaluations = evaluate_splits(
        _contenders(bundles),
        distribution,
        asked.evaluation,
        command=shlex.join(["quickstudy", "evaluate", *arguments]),
        collecting=asked.collecting,
    )
    folder = Path(asked.evaluation.folder or _home(words))
    for evaluation in evaluations:
        evaluation.save(folder)
    if len(bundles) == 1 and (folder / "run.json").is_file():  # a bundle that stands alone is left as it came
        note_results(folder, evaluations)
    print(f"Saved in {folder}. Draw the page with:\n  quickstudy report {folder}")
    return 0


def evaluate_splits(
    contenders: dict[str, Contender],
    distribution: AnyDistribution,
    asked: EvaluateArguments,
    *,
    command: str,
    collecting: CollectingConfig = CollectingConfig(),
) -> list[Evaluation]:
    """One evaluation per split, each printed as a table with its verdict.

    Raises:
      UnknownNameError: no split of that name.
    """
    if asked.baselines:
        contenders = contenders | {name: contender(make()) for name, make in distribution.baselines.items()}
    splits = asked.splits or tuple(split for split in distribution.splits if split != "train")
    console = Console()
    evaluations = []
    with Progress(console=console, transient=True) as bars:
        for split in splits:
            bar = bars.add_task(split, total=1.0)
            evaluation = evaluate(
                contenders,
                distribution,
                split=split,
                tasks=asked.tasks,
                seed=asked.seed,
                command=command,
                collecting=collecting,
                progress=functools.partial(_show, bars, bar, split),
            )
            bars.remove_task(bar)
            console.print(table(evaluation, width=max(80, console.width)))
            for line in verdict(evaluation):
                console.print(line, soft_wrap=True, highlight=False)
            console.print()
            evaluations.append(evaluation)
    return evaluations


def note_results(path: str | Path, evaluations: Sequence[Evaluation]) -> None:
    """Writes measured returns and task digests into the card of a run's bundle."""
    bundle = Path(path) / "bundle"
    for evaluation in evaluations:
        ours = next(result for result in evaluation.results.values() if result.trained)
        measured = {
            "tasks": evaluation.tasks,
            "task_hash": evaluation.task_hash,
            "lifetime_return": dataclasses.asdict(ours.lifetime_return),
            "command": evaluation.command,
        }
        add_results(bundle, evaluation.split, measured)


def _contenders(bundles: dict[str, Bundle]) -> dict[str, Contender]:
    """Each bundle by its algorithm's name, or by its folder's where that is not enough."""
    names = [bundle.card["algorithm"]["name"] for bundle in bundles.values()]
    labels = {
        path: name if names.count(name) == 1 else f"{name} ({Path(path).name})"
        for (path, _), name in zip(bundles.items(), names, strict=True)
    }
    return {labels[path]: Contender(agent=b.agent, params=b.params, trained=True) for path, b in bundles.items()}


def _show(bars: Progress, bar: TaskID, split: str, contender: str, share: float) -> None:
    bars.update(bar, completed=share, description=f"{split}: {contender}")


def _value_of(name: str, flags: list[str]) -> str | None:
    """The value of a flag that is needed before the others can be parsed."""
    for index, flag in enumerate(flags):
        if flag.startswith(f"{name}="):
            return flag.partition("=")[2]
        if flag == name:
            if index + 1 == len(flags):
                raise UsageError(f"{name} wants a name, as `quickstudy list` tells them, or PATH.py:FUNCTION.")
            return flags[index + 1]
    return None


def _tasks_of(bundles: dict[str, Bundle], on: str | None) -> tuple[str | None, dict[str, Any]]:
    """The name of the distribution to measure on, and its settings where a bundle was trained on it."""
    if not bundles:
        return on, {}
    origin = next(iter(bundles.values())).card["distribution"]
    if on is None and origin["name"] not in tasks.DISTRIBUTIONS:
        raise UsageError(
            f"the tasks came from {origin['name']!r}, a file that is run only if you name it: --on {origin['name']}"
        )
    return on or origin["name"], origin["config"] if on in (None, origin["name"]) else {}


def _home(words: list[str]) -> str:
    if len(words) == 1:
        path = Path(words[0])
        path = path.parent if path.name == "bundle" else path
        if (path / "run.json").is_file():
            return str(path)
    return "runs/comparison"
