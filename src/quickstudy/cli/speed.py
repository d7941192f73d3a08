"""`quickstudy speed PATH ...`: how many times fewer steps agents need on a new task than a baseline."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from rich.progress import Progress

from quickstudy.cli.arguments import leading_words, parse, positional
from quickstudy.cli.console import Console, progress_bars, say
from quickstudy.evaluation.adaptation_speed.measure import adaptation_speeds
from quickstudy.evaluation.contenders import (
    Contender,
    distribution_of,
    label,
    labels,
    load_opponent,
    trained_contender,
)
from quickstudy.evaluation.splits import chosen_splits
from quickstudy.protocol.setting_values import Count, Seed
from quickstudy.reports.adaptation_speed_chart import write_speed_picture
from quickstudy.reports.adaptation_speed_table import speed_table
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.results_folder import check_results_folder
from quickstudy.storage.run_folder import steps_of_run

_USAGE = "quickstudy speed RUN_OR_BUNDLE [MORE ...] [--against ppo OTHER ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedArguments:
    """What is measured, and on what."""

    against: tuple[str, ...] = ("ppo",)
    """What the agents are compared with: baselines, or other runs or bundles."""
    episodes: Count | None = None
    """Episodes in a lifetime of the agents; as they were trained if not given."""
    against_episodes: Count = 400
    """Episodes in a lifetime of a baseline. Give as many as it needs to reach its final return."""
    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given. "train" only if named here."""
    tasks: Count = 50
    """Tasks per split, the same for all agents."""
    lifetimes: Count = 4
    """Lifetimes of each training seed on each task; their mean is the curve."""
    seed: Seed = 0
    """Seed of the tasks, and of the common random numbers on them."""
    shuffled: bool = True
    """Measure the agents again with shuffled rewards: an improvement that remains does not come from reward."""
    on: str | None = None
    """A task distribution to measure on, if not the registered one trained on: a name, or PATH.py:FUNCTION."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    folder: str | None = None
    """Where results go; the first agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Measures, prints tables and summaries, saves results and pictures."""
    positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    words, flags = leading_words(arguments)
    kinds = {"speed": SpeedArguments, "collecting": CollectingConfig}
    kind = dataclasses.make_dataclass("Speed", [(n, k, dataclasses.field(default_factory=k)) for n, k in kinds.items()])
    said = "Measures how many steps agents need on a new task, beside baselines. `quickstudy list` names the baselines."
    parsed: Any = parse(kind, flags, program=_USAGE.partition(" [")[0], description=said)
    asked: SpeedArguments = parsed.speed
    folder = Path(asked.folder or words[0])
    check_results_folder(folder)
    bundles = {path: load_bundle(path, algorithm=asked.algorithm) for path in words}
    distribution = distribution_of(bundles, on=asked.on, episodes=asked.episodes)
    shown = labels(bundles)
    agents: dict[str, Contender] = {}
    for path, bundle in bundles.items():
        episodes = bundle.agent.spec.episodes if asked.episodes is None else asked.episodes
        agents[shown[path]] = trained_contender(bundle, dataclasses.replace(distribution.spec, episodes=episodes))
    opponents: dict[str, Contender] = {}
    longer = dataclasses.replace(distribution.spec, episodes=asked.against_episodes)
    for word in asked.against:
        name, opponent = load_opponent(word, longer, algorithm=asked.algorithm)
        opponents[label(name, word, [*agents, *opponents])] = opponent
    console = Console()
    for split in chosen_splits(distribution, asked.splits):
        with progress_bars(console) as bars:
            bar = bars.add_task(split, total=1.0)
            measured = adaptation_speeds(
                agents,
                opponents,
                distribution,
                split=split,
                tasks=asked.tasks,
                lifetimes=asked.lifetimes,
                seed=asked.seed,
                shuffled=asked.shuffled,
                meta_training_steps={shown[path]: steps_of_run(path) for path in words},
                collecting=parsed.collecting,
                progress=functools.partial(_show, bars, bar, split),
            )
        for found in measured:
            console.print(speed_table(found))
            say(f"\nSaved: {found.save(folder)}\nDrawn: {write_speed_picture(found, folder)}\n")
    return 0


def _show(bars: Progress, bar: Any, split: str, name: str, share: float) -> None:
    bars.update(bar, completed=share, description=f"{split}: {name}")
