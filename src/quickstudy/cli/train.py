"""`quickstudy train ALGORITHM DISTRIBUTION`: meta-trains an agent."""

import dataclasses
import shlex
import types
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from quickstudy import algorithms, tasks
from quickstudy.cli.arguments import parse, positional, read_toml, settings_class, to_toml
from quickstudy.cli.console import Console
from quickstudy.cli.progress_panel import Panel
from quickstudy.evaluation.numbers import counted, duration
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.registry import config_class, resolve
from quickstudy.protocol.settings import flat_settings, with_settings
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import Bundle, load_bundle
from quickstudy.storage.card import bundle_folder, read_card
from quickstudy.training.learning_curve import advice
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.processes import ProcessesConfig, is_first, joined
from quickstudy.training.train_and_save import SilentWatcher, Watcher, train_and_save

_USAGE = "quickstudy train ALGORITHM DISTRIBUTION [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunArguments:
    """Where the run goes."""

    folder: str | None = None
    """Folder of the run; runs/ALGORITHM-DISTRIBUTION if not given."""
    resume: bool = False
    """Go on from the folder's newest checkpoint; with a longer --budget also beyond the end of a run that has ended."""
    overwrite: bool = False
    """Start again in a folder that holds a run."""
    begin_with: str | None = None
    """A run or bundle whose trained parameters this run begins with; give it again with --resume."""
    measure_baselines: bool = True
    """Measure the baselines on held-out tasks after training, for the page; what was measured once is kept for later runs."""
    config: str | None = None
    """A TOML file of settings. Flags override it."""
    print_config: bool = False
    """Print the resolved settings as such a file, and stop."""


_GENERAL: dict[str, type] = {
    "run": RunArguments,
    "training": TrainingConfig,
    "collecting": CollectingConfig,
    "processes": ProcessesConfig,
}


def run(arguments: list[str]) -> int:
    """Trains, saves the bundle, says what comes next."""
    words, flags = positional(arguments, ("ALGORITHM", "DISTRIBUTION"), usage=_USAGE)
    if len(words) < 2:
        print(f"usage: {_USAGE}\n\n`quickstudy list` prints the names.")
        print("If you name both, --help also shows the flags of the algorithm and of the distribution. The general flags:\n")
        parse(record_of("General", _GENERAL), flags, program="quickstudy train", description="Meta-trains an agent.")
    asked = parse_run(words[0], words[1], flags)
    sections = {name: getattr(asked, name) for name in ("training", "collecting", "algorithm", "distribution")}
    if asked.run.print_config:
        print(to_toml(sections), end="")
        return 0
    with joined(asked.processes):
        return _train(words, flags, asked, command=shlex.join(["quickstudy", "train", *arguments]))


def _train(words: list[str], flags: list[str], asked: Any, *, command: str) -> int:
    """Trains, and says what comes next; of several processes only the first says it.

    Args:
      words: names of the algorithm and of the distribution.
      flags: of the command.
      asked: as `parse_run` gives it.
      command: the whole command.
    Returns:
      The exit status.
    """
    algorithm_name, distribution_name = words
    distribution = tasks.make(distribution_name, **dataclasses.asdict(asked.distribution))
    algorithm = algorithms.make(algorithm_name, distribution.spec, asked.algorithm)
    folder = asked.run.folder or f"runs/{folder_name(words)}"
    begun = None if asked.run.begin_with is None else _bundle_of(asked.run.begin_with, algorithm_name)
    shown: AbstractContextManager[Watcher] = nullcontext(SilentWatcher())
    if is_first():
        shown = Panel(algorithm, distribution, asked.training)
    with shown as watcher:
        trained = train_and_save(
            algorithm,
            distribution,
            asked.training,
            folder=folder,
            resume=asked.run.resume,
            extend=asked.run.resume,
            overwrite=asked.run.overwrite,
            begin_with=begun,
            measure_baselines=asked.run.measure_baselines,
            command=command,
            collecting=asked.collecting,
            watcher=watcher,
        )
    if not is_first():
        return 0 if trained.finished else 130
    console = Console()
    if trained.nonfinite_steps:
        steps = f"{trained.nonfinite_steps:,} of {trained.steps * asked.training.seeds:,} steps"
        console.print(f"Nothing was learned from {steps}: their rewards or observations were not finite, or overflowed.")
    if trained.lost:
        console.print(f"Nothing was learned from {trained.lost:,} lifetimes: their environments failed.")
    if not trained.finished:
        where = " in every process, each with its own --process-id," if asked.processes.processes > 1 else ""
        console.print(
            f"Interrupted and saved. Go on{where} with:\n  {command_to_resume('train', words, flags)}", soft_wrap=True
        )
        return 130
    own = [("--algorithm", algorithm_name, algorithms.ALGORITHMS), ("--on", distribution_name, tasks.DISTRIBUTIONS)]
    named = [word for flag, name, known in own if name not in known for word in (flag, name)]
    then = shlex.join(["quickstudy", "evaluate", folder, *named])
    updates = counted(len(trained.metrics), "update")
    console.print(f"{_times(trained.spent)}.", soft_wrap=True)
    said = advice(
        [(line["steps"], line["held_out_return"]) for line in trained.metrics if "held_out_return" in line], algorithm
    )
    if said is not None:
        console.print(said, soft_wrap=True)
    console.print(f"Trained: {folder}/bundle, in {updates}. Measure it on held-out tasks with:\n  {then}", soft_wrap=True)
    return 0


def record_of(name: str, kinds: Mapping[str, type]) -> type:
    """A record with one field for each part of the flags.

    Args:
      name: of the record.
      kinds: the record of each part, by field; all its settings have defaults.
    """
    fields = [(part, kind, dataclasses.field(default_factory=kind)) for part, kind in kinds.items()]
    return dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)


def folder_name(words: list[str]) -> str:
    """The usual name of a folder for an algorithm and a distribution; of a user's file, its name and its function.

    Example:
      >>> folder_name(["rl2", "my/tasks.py:arms"])
      'rl2-tasks-arms'
    """
    return "-".join(Path(word).name.replace(".py:", "-") for word in words)


def command_to_resume(verb: str, words: list[str], flags: list[str]) -> str:
    """The command that goes on with what was interrupted.

    Args:
      verb: of the command.
      words: names of the algorithm and of the distribution.
      flags: of the command that was interrupted.
    """
    kept = [flag for flag in flags if flag not in ("--overwrite", "--resume")]
    return shlex.join(["quickstudy", verb, *words, *kept, "--resume"])


def _bundle_of(path: str, algorithm: str) -> Bundle:
    """The bundle to begin with. If its algorithm is a user's file, it is that of the run, which the user has named."""
    registered = read_card(bundle_folder(path))["algorithm"]["name"] in algorithms.ALGORITHMS
    return load_bundle(path, algorithm=None if registered else algorithm)


def _times(spent: Mapping[str, float]) -> str:
    """The time of this process by activity, as in `time: training 90 s, compiling 21 s, evaluating 3 s`."""
    longest = sorted(spent.items(), key=lambda item: -item[1])
    return f"time: {', '.join(f'{activity} {duration(seconds)}' for activity, seconds in longest)}"


def parse_run(
    algorithm: str,
    distribution: str,
    flags: list[str],
    *,
    verb: str = "train",
    description: str = "Meta-trains an agent on a distribution of tasks.",
    own: Mapping[str, type] = types.MappingProxyType({"run": RunArguments, "processes": ProcessesConfig}),
) -> Any:
    """Flags and configuration file as one record with the fields training, collecting, algorithm, distribution and those of
    the verb.

    Args:
      algorithm: its name.
      distribution: name of the task distribution.
      flags: as they came.
      verb: whose flags they are.
      description: of the verb, for its help.
      own: records of flags that belong to the verb, by field; `run` has `config`, the path of the configuration file.
    Raises:
      UsageError, UnknownNameError: as of `parse`; or two parts have a setting of one name.
    """
    sections = {
        "training": TrainingConfig,
        "collecting": CollectingConfig,
        "algorithm": config_class(algorithms.factory_of(algorithm)),
        "distribution": settings_class(distribution, resolve("task distribution", distribution, tasks.DISTRIBUTIONS)),
    }
    kinds = dict(own) | sections
    taken: dict[str, str] = {}
    for part, kind in kinds.items():
        for name in flat_settings(kind()):
            if name in taken:
                raise UsageError(f"{name!r} is a setting of both the {taken[name]} and the {part}. Rename the latter.")
            taken[name] = part
    everything = record_of(verb.capitalize(), kinds)
    program = f"quickstudy {verb} {algorithm} {distribution}"
    options: dict[str, Any] = {"program": program, "description": description}
    asked = parse(everything, flags, **options)
    if asked.run.config is None:
        return asked
    content = read_toml(asked.run.config, sections)
    given = {part: with_settings(kind(), content.get(part, {}), of=part) for part, kind in sections.items()}
    beneath = everything(**given)
    return parse(everything, flags, default=beneath, **options)
