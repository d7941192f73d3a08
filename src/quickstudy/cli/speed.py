"""`quickstudy speed PATH ...`: how many times fewer steps on a new task agents need than one that learns anew."""

import dataclasses
import functools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from quickstudy import baselines, tasks
from quickstudy.cli.arguments import leading_words, parse, positional
from quickstudy.evaluation.adaptation_speed.measure import adaptation_speeds
from quickstudy.evaluation.evaluate import Contender, contender
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Spec
from quickstudy.reports.adaptation_speed_chart import write_speed_picture
from quickstudy.reports.adaptation_speed_table import speed_table
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import Bundle, load_bundle
from quickstudy.storage.run_folder import read_metrics

_USAGE = "quickstudy speed RUN_OR_BUNDLE [MORE ...] [--against ppo OTHER ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedArguments:
    """What is measured, and on what."""

    against: tuple[str, ...] = ("ppo",)
    """Whom the agents are held against: a baseline, or another run or bundle."""
    episodes: int | None = None
    """In a lifetime of the agents; as they were trained if not given."""
    against_episodes: int = 400
    """In a lifetime of those they are held against: as many as these need to come to their end."""
    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given. "train" only if named here."""
    tasks: int = 50
    """Tasks per split, the same for everyone."""
    lifetimes: int = 4
    """Of each training seed on each task; their mean is the curve."""
    seed: int = 0
    """Of the tasks and their luck."""
    shuffled: bool = True
    """Let the agents live once more on rewards that others earned: what is left then does not come from reward."""
    folder: str | None = None
    """Where results go; the first agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Measures, prints tables and verdicts, saves results and pictures."""
    positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    words, flags = leading_words(arguments)
    kinds = {"speed": SpeedArguments, "collecting": CollectingConfig}
    kind = dataclasses.make_dataclass("Speed", [(n, k, dataclasses.field(default_factory=k)) for n, k in kinds.items()])
    said = f"{_USAGE}. OTHER: another run or bundle, or one of {', '.join(baselines.BASELINES)}."
    parsed: Any = parse(kind, flags, program="quickstudy speed", description=said)
    asked: SpeedArguments = parsed.speed
    bundles = {path: load_bundle(path) for path in words}
    distribution = _distribution_of(list(bundles.values()), asked.episodes)
    longer = dataclasses.replace(distribution.spec, episodes=asked.against_episodes)
    agents: dict[str, Contender] = {}
    steps: dict[str, int | None] = {}
    for path, bundle in bundles.items():
        name = _unused(bundle.card["algorithm"]["name"], path, agents)
        own = bundle.agent.spec.episodes if asked.episodes is None else asked.episodes
        spec = dataclasses.replace(distribution.spec, episodes=own)
        agents[name] = Contender(agent=bundle.agent_for(spec), params=bundle.params, trained=True)
        steps[name] = _meta_training_steps(path)
    rivals: dict[str, Contender] = {}
    for rival in asked.against:
        one, name = _rival(rival, longer)
        rivals[_unused(name, rival, agents | rivals)] = one
    folder, console = Path(asked.folder or words[0]), Console()
    for split in asked.splits or tuple(split for split in distribution.splits if split != "train"):
        with Progress(console=console, transient=True) as bars:
            bar = bars.add_task(split, total=1.0)
            measured = adaptation_speeds(
                agents,
                rivals,
                distribution,
                split=split,
                tasks=asked.tasks,
                lifetimes=asked.lifetimes,
                seed=asked.seed,
                shuffled=asked.shuffled,
                meta_training_steps=steps,
                collecting=parsed.collecting,
                progress=functools.partial(_show, bars, bar, split),
            )
        for found in measured:
            console.print(speed_table(found))
            print(f"\nSaved: {found.save(folder)}\nDrawn: {write_speed_picture(found, folder)}\n")
    return 0


def _unused(name: str, path: str, taken: Collection[str]) -> str:
    """A name to show, told apart from others of the same algorithm by where it comes from."""
    return name if name not in taken else f"{name} ({Path(path).name})"


def _distribution_of(bundles: Sequence[Bundle], episodes: int | None) -> AnyDistribution:
    """The tasks that the agents were trained on, with lifetimes of this length.

    Raises:
      UsageError: they are not registered, or not the same for all.
    """
    origins = [bundle.card["distribution"] for bundle in bundles]
    without_length = [(o["name"], {k: v for k, v in o["config"].items() if k != "episodes"}) for o in origins]
    for other in without_length[1:]:
        if other != without_length[0]:
            raise UsageError(f"speeds are compared on one distribution of tasks; came {without_length[0]} and {other}.")
    origin = origins[0]
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


def _rival(name: str, spec: Spec) -> tuple[Contender, str]:
    """The one that an agent is held against, and what it is called."""
    if (Path(name) / "bundle.json").is_file() or (Path(name) / "bundle" / "bundle.json").is_file():
        bundle = load_bundle(name)
        agent = bundle.agent_for(spec)
        return Contender(agent=agent, params=bundle.params, trained=True), bundle.card["algorithm"]["name"]
    if name in baselines.BASELINES or ".py:" in name:
        return contender(baselines.make(name, spec)), name
    raise UnknownNameError("run, bundle or baseline", name, baselines.BASELINES)


def _meta_training_steps(path: str) -> int | None:
    """Environment steps that one seed was trained for, where the run's folder tells it."""
    metrics = read_metrics(path) if (Path(path) / "run.json").is_file() else []
    return metrics[-1]["steps"] if metrics else None


def _show(bars: Progress, bar: Any, split: str, name: str, share: float) -> None:
    bars.update(bar, completed=share, description=f"{split}: {name}")
