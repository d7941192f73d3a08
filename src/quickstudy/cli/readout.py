"""`quickstudy readout PATH`: what an agent knows of its task, how accurate that is, and whether it detects anomalies."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from jaxtyping import PyTree

from quickstudy import tasks
from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console
from quickstudy.evaluation.belief_probe.calibration import calibration_of
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.belief_probe.lifetimes import probe_lifetimes
from quickstudy.evaluation.belief_probe.storage import save_readout
from quickstudy.evaluation.contenders import algorithm_of, baselines_of
from quickstudy.evaluation.numbers import number
from quickstudy.evaluation.splits import chosen_splits
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.host_distribution import written_in_jax
from quickstudy.protocol.setting_values import Count, Range, Seed
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.reports.belief_charts import belief_picture, surprise_picture
from quickstudy.reports.belief_tables import alarm_table, coverage_table
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.results_folder import check_results_folder

_SAID = """Estimates from an agent's memory what it knows of its task, and measures how accurate that is.

Of a baseline: quickstudy readout DISTRIBUTION --baseline NAME"""
_USAGE = "quickstudy readout RUN_OR_BUNDLE [--flags], or quickstudy readout DISTRIBUTION --baseline NAME [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadoutArguments:
    """The agent, the splits, and where the results go."""

    baseline: str | None = None
    """Measure this baseline of a task distribution, not a trained agent."""
    seed_of_training: Seed = 0
    """Which of the independently trained agents, from 0."""
    splits: tuple[str, ...] = ()
    """Splits to measure on; test and every ood split if not given."""
    test_tasks: Count = 500
    """Tasks per split."""
    rate: Annotated[float, Range(above=0, most=1)] = 0.01
    """Accepted rate of false alarms, per step."""
    on: str | None = None
    """A task distribution, if not the registered one trained on: a name, or PATH.py:FUNCTION."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    folder: str | None = None
    """Where the table and the pictures go; the agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Fits a readout, measures its accuracy, prints tables and draws pictures."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    kinds = {"readout": ReadoutArguments, "fit": ReadoutConfig}
    kind = dataclasses.make_dataclass("Readout", [(n, k, dataclasses.field(default_factory=k)) for n, k in kinds.items()])
    parsed: Any = parse(kind, flags, program=_USAGE.partition(" [")[0], description=_SAID)
    asked, console = parsed.readout, Console()
    folder = Path(asked.folder or (words[0] if asked.baseline is None else f"runs/readout-{words[0]}"))
    check_results_folder(folder)
    title, distribution, agent, params = _subject(words[0], asked)
    splits = chosen_splits(distribution, asked.splits)
    with console.status("fitting a readout to lifetimes on training tasks ..."):
        readout = fit_readout(agent, params, distribution, parsed.fit)
    probed = {}
    for split in splits:
        with console.status(f"running lifetimes on {asked.test_tasks} tasks of {split} ..."):
            probed[split] = probe_lifetimes(agent, params, readout, distribution, split=split, tasks=asked.test_tasks)
    found = [calibration_of(one, readout, distribution, rate=asked.rate) for one in probed.values()]
    console.print(coverage_table(found), alarm_table(found))
    for one in found:
        if one.divergence is not None:
            nats = ", ".join(number(value, 2) for value in one.divergence)
            console.print(f"{one.split}: nats from the exact posterior, by tenths of a lifetime: {nats}", soft_wrap=True)
    first = probed[splits[0]]
    shown, horizon = first.most_uncertain(), distribution.spec.horizon
    pictures = (
        belief_picture(
            first.estimates_of(shown), first.truth_of(shown), readout.named, horizon=horizon, title=f"Belief of {title}"
        ),
        surprise_picture({split: one.p_values for split, one in probed.items()}, rate=asked.rate, title=f"Alarms of {title}"),
    )
    write_atomically(folder / "calibration.json", json.dumps([one.to_json() for one in found], indent=1) + "\n")
    for picture in pictures:
        write_atomically(folder / f"{picture.name}.svg", picture.svg)
        write_atomically(folder / f"{picture.name}.png", picture.png)
    save_readout(folder / "readout.safetensors", readout)
    files = ", ".join(f"{picture.name}.svg and .png" for picture in pictures)
    console.print(f"Saved in {folder}: readout.safetensors, calibration.json, {files}", soft_wrap=True)
    return 0


def _subject(word: str, asked: ReadoutArguments) -> tuple[str, TaskDistribution, Agent, PyTree]:
    """The agent in words, its tasks, the agent and its parameters."""
    if asked.baseline is not None:
        distribution = written_in_jax(tasks.make(asked.on or word), needed_for="a readout")
        one = baselines_of(distribution, [asked.baseline])[asked.baseline]
        return f"{asked.baseline} on {distribution.name}", distribution, one.agent, one.params_of(0)
    bundle = load_bundle(word, algorithm=asked.algorithm)
    distribution = written_in_jax(bundle.distribution(asked.on), needed_for="a readout")
    title = f"{algorithm_of(bundle)} on {distribution.name}"
    return title, distribution, bundle.agent_for(distribution.spec), bundle.params_of(asked.seed_of_training)
