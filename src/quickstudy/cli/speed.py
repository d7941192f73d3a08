"""`quickstudy speed PATH AGAINST`: how many times fewer steps on a new task an agent needs than one that learns anew."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from quickstudy import baselines, tasks
from quickstudy.bundle import Bundle, load_bundle
from quickstudy.cli.arguments import parse, positional
from quickstudy.errors import UnknownNameError, UsageError
from quickstudy.evaluation import Contender, contender
from quickstudy.run_folder import read_metrics
from quickstudy.speed.measuring import adaptation_speed
from quickstudy.speed.table import speed_table
from quickstudy.speed_picture import write_speed_picture
from quickstudy.task_distribution import TaskDistribution

_USAGE = "quickstudy speed RUN_OR_BUNDLE AGAINST [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedArguments:
    """What is measured, and on what."""

    episodes: int | None = None
    """In a lifetime of the agent; as it was trained if not given."""
    against_episodes: int = 400
    """In a lifetime of the one it is held against: as many as that one needs to come to its end."""
    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given. "train" only if named here."""
    tasks: int = 50
    """Tasks per split, the same for both."""
    lifetimes: int = 4
    """Of each training seed on each task; their mean is the curve."""
    seed: int = 0
    """Of the tasks and their luck."""
    shuffled: bool = True
    """Let the agent live once more on rewards that others earned: what is left then does not come from reward."""
    folder: str | None = None
    """Where results go; the agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Measures, prints table and verdict, saves results and pictures."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE", "AGAINST"), usage=_USAGE)
    said = "AGAINST is another run or bundle, a baseline of the tasks, or one of: " + ", ".join(baselines.BASELINES)
    kind = dataclasses.make_dataclass("Speed", [("speed", SpeedArguments, dataclasses.field(default_factory=SpeedArguments))])
    parsed: Any = parse(kind, flags, program="quickstudy speed", description=f"{_USAGE}. {said}.")
    asked: SpeedArguments = parsed.speed
    path, rival = words
    bundle = load_bundle(path)
    distribution = _distribution_of(bundle, asked.episodes)
    longer = _distribution_of(bundle, asked.against_episodes)
    ours = Contender(agent=bundle.agent_for(distribution.spec), params=bundle.params, trained=True)
    theirs, their_name = _rival(rival, longer)
    our_name = bundle.card["algorithm"]["name"]
    names = (our_name, their_name) if our_name != their_name else (f"{our_name} ({Path(path).name})", f"{their_name} ({rival})")
    folder, console = Path(asked.folder or path), Console()
    for split in asked.splits or tuple(split for split in distribution.splits if split != "train"):
        with Progress(console=console, transient=True) as bars:
            bar = bars.add_task(split, total=1.0)
            found = adaptation_speed(
                ours,
                theirs,
                distribution,
                split=split,
                tasks=asked.tasks,
                lifetimes=asked.lifetimes,
                seed=asked.seed,
                names=names,
                shuffled=asked.shuffled,
                meta_training_steps=_meta_training_steps(path),
                progress=functools.partial(_show, bars, bar, split),
            )
        console.print(speed_table(found))
        print(f"\nSaved: {found.save(folder)}\nDrawn: {write_speed_picture(found, folder)}\n")
    return 0


def _distribution_of(bundle: Bundle, episodes: int | None) -> TaskDistribution:
    """The tasks that an agent was trained on, with lifetimes of this length.

    Raises:
      UsageError: they are not registered, or their lifetimes are counted in something else.
    """
    origin = bundle.card["distribution"]
    if origin["name"] not in tasks.DISTRIBUTIONS:
        raise UsageError(f"the tasks came from {origin['name']!r}; speed is measured on registered ones: `quickstudy list`.")
    distribution = tasks.make(origin["name"], **origin["config"])
    if episodes is None:
        return distribution
    # Floor and ceiling are of a lifetime; those of one episode follow from lifetimes of any length.
    spec = dataclasses.replace(distribution.spec, episodes=episodes)
    if "episodes" in origin["config"]:
        return tasks.make(origin["name"], **{**origin["config"], "episodes": episodes})
    return dataclasses.replace(distribution, spec=spec, floor=None, ceiling=None)


def _rival(name: str, distribution: TaskDistribution) -> tuple[Contender, str]:
    """The one that an agent is held against, and what it is called."""
    if (Path(name) / "bundle.json").is_file() or (Path(name) / "bundle" / "bundle.json").is_file():
        bundle = load_bundle(name)
        agent = bundle.agent_for(distribution.spec)
        return Contender(agent=agent, params=bundle.params, trained=True), bundle.card["algorithm"]["name"]
    if name in baselines.BASELINES or ".py:" in name:
        return contender(baselines.make(name, distribution.spec)), name
    raise UnknownNameError("run, bundle or baseline", name, baselines.BASELINES)


def _meta_training_steps(path: str) -> int | None:
    """Environment steps that one seed was trained for, where the run's folder tells it."""
    metrics = read_metrics(path) if (Path(path) / "run.json").is_file() else []
    return metrics[-1]["steps"] if metrics else None


def _show(bars: Progress, bar: Any, split: str, name: str, share: float) -> None:
    bars.update(bar, completed=share, description=f"{split}: {name}")
