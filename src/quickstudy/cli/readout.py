"""`quickstudy readout PATH`: what an agent knows of its task, how surely, and whether it notices what is unusual."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from rich.console import Console
from rich.table import Table

from quickstudy import tasks
from quickstudy.cli.arguments import parse, positional
from quickstudy.evaluation.belief_probe.calibration import Calibration, measure_calibration, surprise_along
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout, recorded
from quickstudy.evaluation.belief_probe.probe import Told
from quickstudy.evaluation.belief_probe.storage import save_readout
from quickstudy.evaluation.belief_probe.targets import described
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.reports.belief_charts import belief_picture, surprise_picture
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.bundle import load_bundle

_LOOKED_AT = 20
_USAGE = "quickstudy readout RUN_OR_BUNDLE [--flags], or quickstudy readout DISTRIBUTION --baseline NAME [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadoutArguments:
    """What is looked at."""

    baseline: str | None = None
    """Read out this baseline of a task distribution rather than a trained agent."""
    seed_of_training: int = 0
    """Which of the independently trained agents."""
    splits: tuple[str, ...] = ()
    """Splits to look at; test and every ood split if not given."""
    test_tasks: int = 500
    """Tasks per split."""
    rate: float = 0.01
    """Of false alarms that surprise should have, per step."""
    folder: str | None = None
    """Where the table and the pictures go; the agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Fits a readout, measures it, prints and draws."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    kind = dataclasses.make_dataclass(
        "Readout",
        [
            ("look", ReadoutArguments, dataclasses.field(default_factory=ReadoutArguments)),
            ("fit", ReadoutConfig, dataclasses.field(default_factory=ReadoutConfig)),
        ],
    )
    parsed: Any = parse(kind, flags, program="quickstudy readout", description=_USAGE)
    asked, console = parsed.look, Console()
    title, distribution, agent, params = _subject(words[0], asked)
    splits = asked.splits or tuple(split for split in distribution.splits if split != "train")
    for split in splits:
        if split not in distribution.splits:
            raise UnknownNameError("split", split, distribution.splits)
    with console.status("fitting a readout to lifetimes on training tasks ..."):
        readout = fit_readout(agent, params, distribution, parsed.fit)
    folder, found, p_values = Path(asked.folder or (words[0] if asked.baseline is None else f"runs/readout-{words[0]}")), [], {}
    for split in splits:
        with console.status(f"living on {asked.test_tasks} tasks of {split} ..."):
            found.append(
                measure_calibration(agent, params, readout, distribution, split=split, tasks=asked.test_tasks, rate=asked.rate)
            )
            task_list = distribution.sample_tasks(split, jax.random.key(1), tasks=asked.test_tasks)
            lived, known = recorded(
                agent, params, distribution, task_list, jax.random.split(jax.random.key(2), asked.test_tasks)
            )
            p_values[split] = surprise_along(readout, lived, known, distribution)
            if split == splits[0]:
                of_some = jax.tree.map(np.asarray, readout.tell(known[:_LOOKED_AT]))
                shown = _longest_in_doubt(of_some, asked.test_tasks)
                of_one = jax.tree.map(lambda leaf, shown=shown: leaf[shown], of_some)
                truth = {n: value[shown] for n, value in described(distribution, task_list).items()}
    console.print(coverage_table(found), alarm_table(found))
    for one in found:
        if one.divergence is not None:
            nats = ", ".join(f"{value:.2f}" for value in one.divergence)
            console.print(f"{one.split}: nats from the exact posterior, by tenths of a lifetime: {nats}", soft_wrap=True)
    write_atomically(folder / "calibration.json", json.dumps([one.plain() for one in found], indent=1) + "\n")
    pictures = (
        belief_picture(of_one, truth, readout.named, horizon=distribution.spec.horizon, title=f"What {title} believes"),
        surprise_picture(p_values, rate=asked.rate, title=f"How soon {title} is surprised"),
    )
    for picture in pictures:
        write_atomically(folder / f"{picture.name}.svg", picture.svg)
        write_atomically(folder / f"{picture.name}.png", picture.png)
    save_readout(folder / "readout.safetensors", readout)
    saved = f"Saved in {folder}: readout.safetensors, calibration.json, belief.svg and .png, surprise.svg and .png"
    console.print(saved, soft_wrap=True, highlight=False)
    return 0


def _subject(word: str, asked: ReadoutArguments) -> tuple[str, TaskDistribution, Agent, PyTree]:
    """What is read out: in words, the tasks, the agent and its parameters."""
    if asked.baseline is not None:
        distribution = _in_jax(tasks.make(word))
        if asked.baseline not in distribution.baselines:
            raise UnknownNameError("baseline", asked.baseline, distribution.baselines)
        agent = distribution.baselines[asked.baseline]()
        return f"{asked.baseline} on {word}", distribution, agent, agent.init(jax.random.key(0))
    bundle = load_bundle(word)
    name, config = bundle.card["distribution"]["name"], bundle.card["distribution"]["config"]
    distribution = _in_jax(tasks.make(name, **config))
    title = f"{bundle.card['algorithm']['name']} on {name}"
    return title, distribution, bundle.agent_for(distribution.spec), bundle.params_of(asked.seed_of_training)


def _in_jax(distribution: AnyDistribution) -> TaskDistribution:
    if isinstance(distribution, HostDistribution):
        raise UsageError(f"readouts are fitted on tasks written in JAX; those of {distribution.name} live outside.")
    return distribution


def _longest_in_doubt(told: dict[str, Any], tasks: int) -> int:
    """Of the first lives, the one whose choices stay uncertain longest, which has most to show; the first of real numbers."""
    doubt = np.zeros(min(_LOOKED_AT, tasks))
    for one in told.values():
        if not isinstance(one, Told):
            doubt += 1 - one.max(-1).mean(-1)
    return int(doubt.argmax())


def coverage_table(found: list[Calibration]) -> Table:
    """A line for each split, parameter and level."""
    table = Table("split", "parameter", "set of", "holds", "early", "late", title="Credible sets", title_justify="left")
    for one in found:
        for coverage in one.coverage:
            early, late = coverage.by_moment[0], coverage.by_moment[-1]
            numbers = (f"{value:.1%}" for value in (coverage.overall, early, late))
            table.add_row(one.split, coverage.name, f"{coverage.level:.0%}", *numbers)
    return table


def alarm_table(found: list[Calibration]) -> Table:
    """A line for each split and kind of surprise."""
    title = "Surprise"
    table = Table(
        "split",
        "of what happened",
        "alarms, of steps",
        "tasks with one",
        "first, median step",
        title=title,
        title_justify="left",
    )
    for one in found:
        for alarms in one.alarms:
            delay = "never on most" if alarms.delay is None else f"{alarms.delay:.0f}"
            table.add_row(one.split, alarms.kind, f"{alarms.steps:.2%}", f"{alarms.tasks:.0%}", delay)
    return table
