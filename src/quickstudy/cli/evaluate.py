"""`quickstudy evaluate PATH ...`: measures runs and bundles against the baselines, on the same held-out tasks."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from quickstudy import tasks
from quickstudy.cli.arguments import leading_words, parse, positional, settings_class
from quickstudy.cli.console import say
from quickstudy.cli.evaluations import evaluate_and_show
from quickstudy.evaluation.contenders import Contender, baselines_of, labels, shared_origin, trained_contender
from quickstudy.evaluation.guarded import guarded_contender
from quickstudy.evaluation.raw_returns import check_raw_path
from quickstudy.evaluation.splits import note_results
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.printable import shell_word
from quickstudy.protocol.registry import check_names, resolve, settings_of
from quickstudy.protocol.setting_values import Count, Seed
from quickstudy.protocol.settings import with_settings
from quickstudy.reports.wording import Wording
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.card import made_tasks
from quickstudy.storage.envelope_file import load_envelope
from quickstudy.storage.results_folder import check_results_folder

_USAGE = "quickstudy evaluate RUN_OR_BUNDLE [MORE ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """What is measured, and on what."""

    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given. "train" only if named here."""
    tasks: Count = 2000
    """Tasks per split, the same for all agents."""
    seed: Seed = 0
    """Seed of the tasks, and of the common random numbers on them."""
    baselines: bool = True
    """Measure the distribution's baselines beside the agents."""
    against: tuple[str, ...] = ()
    """Names of the baselines to measure, as quickstudy list prints them; all if not given."""
    controls: bool = True
    """Measure random actions too, and each agent without memory and with shuffled rewards. They show whether it adapts."""
    example: bool = True
    """Save lifetimes of the first agent: one for the page, and those on its ten worst tasks for the dashboard."""
    on: str | None = None
    """A task distribution to measure on, if not the registered one trained on; its settings follow as flags."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    envelope: str | None = None
    """File of an adaptation envelope; every agent is then also measured as it is deployed with it."""
    folder: str | None = None
    """Where results go; the run's own folder if one run is named, else runs/comparison."""
    agent_name: str = ""
    """Name of the agent in what is printed; that of its algorithm if not given."""
    unit: str = ""
    """Unit of the rewards in the printed text, in the plural, such as conversions."""
    step: str = ""
    """Word for a step in the printed text, in the singular, such as visitor."""
    raw: str | None = None
    """A file for the return of every lifetime, one row each: .csv, or .parquet where pyarrow is installed."""


def run(arguments: list[str]) -> int:
    """Evaluates, prints a table and a summary for each split, saves the results."""
    positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    words, flags = leading_words(arguments)
    algorithm, on = _value_of("--algorithm", flags), _value_of("--on", flags)
    helping = bool({"-h", "--help"} & set(flags))
    bundles = {} if helping else {path: load_bundle(path, algorithm=algorithm) for path in words}
    on, given = shared_origin(bundles, on) if bundles else (on, {})
    kinds = {"evaluation": EvaluateArguments, "collecting": CollectingConfig}
    fields: list[Any] = [(part, kind, dataclasses.field(default_factory=kind)) for part, kind in kinds.items()]
    if on is not None:
        factory = resolve("task distribution", on, tasks.DISTRIBUTIONS)
        check_names(on, given, settings_of(factory))
        kind = settings_class(on, factory)
        begun = with_settings(kind(), given, of=on)
        fields.append(("distribution", kind, dataclasses.field(default_factory=lambda: begun)))
    everything = dataclasses.make_dataclass("Evaluate", fields, frozen=True, kw_only=True)
    asked: Any = parse(everything, flags, program=_USAGE.partition(" [")[0], description="Measures agents on held-out tasks.")
    assert on is not None  # only help goes without, and help has ended the program
    distribution = made_tasks(on, dataclasses.asdict(asked.distribution))
    wanted: EvaluateArguments = asked.evaluation
    rivals = _rivals(wanted, distribution)
    folder = Path(wanted.folder or _home(words))
    check_results_folder(folder)
    if wanted.raw is not None:
        check_results_folder(check_raw_path(wanted.raw).parent)
    shown = labels(bundles)
    contenders = {shown[path]: trained_contender(bundle, distribution.spec) for path, bundle in bundles.items()}
    if wanted.envelope is not None:
        stored = load_envelope(wanted.envelope)
        contenders |= {
            f"{name}, guarded": guarded_contender(one, stored, distribution) for name, one in tuple(contenders.items())
        }
    evaluations = evaluate_and_show(
        contenders | rivals,
        distribution,
        folder=folder,
        splits=wanted.splits,
        raw=wanted.raw,
        tasks=wanted.tasks,
        seed=wanted.seed,
        controls=wanted.controls,
        example=wanted.example,
        wording=Wording(agent=wanted.agent_name, unit=wanted.unit, step=wanted.step),
        command=shlex.join(["quickstudy", "evaluate", *arguments]),
        collecting=asked.collecting,
    )
    if len(bundles) == 1 and (folder / "run.json").is_file():  # a bundle that stands alone is left as it came
        (bundle,) = bundles.values()
        note_results(folder / "bundle", evaluations, parameters_sha256=bundle.card["parameters_sha256"])
    if wanted.raw is not None:
        say(f"Raw returns: {wanted.raw}")
    page = " ".join(map(shell_word, ["quickstudy", "report", folder, *_words(wanted)]))
    say(f"Saved in {folder}. Draw the page with:\n  {page}")
    return 0


def _rivals(wanted: EvaluateArguments, distribution: AnyDistribution) -> dict[str, Contender]:
    """The baselines that were asked for."""
    if wanted.against and not wanted.baselines:
        raise UsageError(
            "--against names baselines to measure, and --no-baselines leaves all of them out. Give one of the two."
        )
    return baselines_of(distribution, wanted.against or None) if wanted.baselines else {}


def _words(wanted: EvaluateArguments) -> list[str]:
    """The flags that give a page the words that were printed."""
    given = {"--agent-name": wanted.agent_name, "--unit": wanted.unit, "--step": wanted.step}
    return [part for flag, word in given.items() if word for part in (flag, word)]


def _value_of(name: str, flags: list[str]) -> str | None:
    """The value of a flag that is needed before the others can be parsed."""
    for index, flag in enumerate(flags):
        if flag.startswith(f"{name}="):
            return flag.partition("=")[2]
        if flag == name:
            if index + 1 == len(flags):
                raise UsageError(f"{name} needs a value: a name that `quickstudy list` prints, or PATH.py:FUNCTION.")
            return flags[index + 1]
    return None


def _home(words: list[str]) -> str:
    if len(words) == 1:
        path = Path(words[0])
        path = path.parent if path.name == "bundle" else path
        if (path / "run.json").is_file():
            return str(path)
    return "runs/comparison"
