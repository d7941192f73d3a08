"""Measures a row's agents: once beside the baselines, or again by themselves."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from quickstudy import tasks
from quickstudy.evaluation.bench.rows import Column, Matrix, Row, agents_of, columns_of
from quickstudy.evaluation.bench.stored import (
    FIRST_TASKS,
    Measured,
    Measurement,
    Opponent,
    Stored,
    Training,
    bundle_path,
    processor,
    rounded,
)
from quickstudy.evaluation.contenders import Contender, algorithm_of, baselines_of, trained_contender
from quickstudy.evaluation.evaluate import draw_tasks, evaluate, returns_on
from quickstudy.evaluation.results import Evaluation, PairedComparison
from quickstudy.evaluation.summary import summary_sentences
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import RESAMPLES, Draws, Estimate
from quickstudy.protocol.errors import BundleError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.task_distribution import task_hash
from quickstudy.storage.bundle import Bundle, load_bundle
from quickstudy.storage.run_folder import machine, versions

SEED = 0
"""Of every task list of the bench, and of the lifetimes on it."""


def this_machine() -> dict[str, Any]:
    """The machine, as far as a number or a timing depends on it."""
    return machine() | {"processor": processor(), "xla_flags": os.environ.get("XLA_FLAGS", "")}


def bundles_of(entry: Row | Matrix, folder: Path) -> dict[str, Bundle]:
    """The bundles of a row or matrix by the name of the row that trained them.

    Raises:
      BundleError: one is not there, or damaged; says how to get it.
    """
    found = {}
    for name in agents_of(entry):
        path = bundle_path(folder, name)
        if not (path / "bundle.json").is_file():
            raise BundleError(f"{entry.name}: there is no bundle {path}. Train it: quickstudy bench run {name}")
        found[name] = load_bundle(path)
    return found


def distribution_of(column: Column, measure: str) -> AnyDistribution:
    """The distribution of tasks that a column names.

    Raises:
      UnknownNameError: there is none of that name, or it has no such setting.
      UsageError: the measure is regret, and the distribution has no ceiling.
    """
    distribution = tasks.make(column.distribution, **column.settings)
    if measure == "regret" and distribution.ceiling is None:
        raise UsageError(f"{column.distribution} has no ceiling, so no regret. Measure its lifetime return.")
    return distribution


def shown_names(entry: Row | Matrix, bundles: Mapping[str, Bundle]) -> dict[str, str]:
    """Row of the bundle -> the agent's name in tables: its algorithm in a row, its own row in a matrix."""
    if isinstance(entry, Matrix):
        return {name: name for name in bundles}
    helped = " with imitation" if entry.kind == "with imitation" else ""
    return {name: algorithm_of(bundle) + helped for name, bundle in bundles.items()}


def measured_again(
    one: Contender, distribution: AnyDistribution, *, split: str, tasks: int, measure: str, first: int | None = None
) -> tuple[Estimate, tuple[float, ...], str]:
    """An agent on the bench's task list by itself.

    Args:
      one: the agent.
      distribution: of the tasks.
      split: that they come from.
      tasks: how many are in the list.
      measure: of the row.
      first: measure on so many of them only, from the beginning of the list.
    Returns:
      The measure over seeds and tasks, its mean for each seed, and the hash of the whole list.
    """
    task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=SEED)
    digest = task_hash(task_list)
    if first is not None:
        task_list, keys = jax.tree.map(lambda leaf: leaf[:first], (task_list, keys))
    values = returns_on(one, distribution, task_list, keys)
    if measure == "regret":
        assert distribution.ceiling is not None  # see distribution_of
        values = np.asarray(jax.vmap(distribution.ceiling)(task_list), np.float64) - values
    draws = Draws(
        seeds=statistics.draw_counts(one.seeds, resamples=RESAMPLES, seed=(SEED, 1)),
        tasks=statistics.draw_counts(values.shape[1], resamples=RESAMPLES, seed=(SEED, 0)),
    )
    estimate = statistics.estimate(values.mean(), statistics.resampled_means(values, draws))
    return rounded(estimate), tuple(values.mean(1).tolist()), digest


def measure_entry(
    entry: Row | Matrix,
    folder: Path,
    *,
    command: str,
    training: Training | None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> tuple[Stored, list[Evaluation]]:
    """Measures the agents of a row or matrix, from their bundles, beside the baselines.

    Args:
      entry: the row or matrix.
      folder: the checkout that holds the bundles.
      command: that measures it again.
      training: the record of the agent's training, if there is one.
      progress: called with what is being measured and the fraction of that which is done.
    Raises:
      BundleError: a bundle is missing or damaged.
      UnknownNameError: no such distribution, setting or baseline.
      SpecError: an agent does not fit the tasks.
    """
    began = time.monotonic()
    bundles, measurements, evaluations = bundles_of(entry, folder), [], []
    for column in columns_of(entry):
        distribution = distribution_of(column, entry.measure)
        ours = {name: trained_contender(bundle, distribution.spec) for name, bundle in bundles.items()}
        names = shown_names(entry, bundles)
        evaluation = evaluate(
            {names[name]: one for name, one in ours.items()} | baselines_of(distribution, entry.baselines),
            distribution,
            split=column.split,
            tasks=entry.tasks,
            seed=SEED,
            command=command,
            progress=lambda name, share, column=column: progress(f"{column.title}: {name}", share),  # type: ignore[misc]
        )
        agents = {
            names[name]: _measured(name, one, bundles[name], distribution, column.split, entry) for name, one in ours.items()
        }
        measurements.append(_measurement(column, distribution, evaluation, agents, entry.measure))
        evaluations.append(evaluation)
    stored = Stored(
        name=entry.name,
        measure=entry.measure,
        measurements=tuple(measurements),
        command=command,
        seconds=round(time.monotonic() - began, 1),
        machine=this_machine(),
        versions=versions(),
        training=training,
    )
    return stored, evaluations


def _measured(
    name: str, one: Contender, bundle: Bundle, distribution: AnyDistribution, split: str, entry: Row | Matrix
) -> Measured:
    asked: dict[str, Any] = {"split": split, "tasks": entry.tasks, "measure": entry.measure}
    value, by_seed, _ = measured_again(one, distribution, **asked)
    first_tasks, _, _ = measured_again(one, distribution, **asked, first=FIRST_TASKS)
    digest = bundle.card["parameters_sha256"]
    return Measured(
        bundle=name, parameters_sha256=digest, seeds=one.seeds, value=value, by_seed=by_seed, first_tasks=first_tasks
    )


def _measurement(
    column: Column, distribution: AnyDistribution, evaluation: Evaluation, agents: Mapping[str, Measured], measure: str
) -> Measurement:
    opponents = {}
    for name, result in evaluation.results.items():
        if name in agents:
            continue
        value = result.regret if measure == "regret" else result.lifetime_return
        assert value is not None  # regret is known here, for the agents' own was
        compared = {agent: _compared(evaluation, agent, name) for agent in agents}
        opponents[name] = Opponent(
            value=value,
            differences={agent: comparison.difference for agent, comparison in compared.items()},
            outcomes={agent: comparison.outcome for agent, comparison in compared.items()},
        )
    return Measurement(
        title=column.title,
        distribution=column.distribution,
        settings=dict(distribution.config),
        split=column.split,
        tasks=evaluation.tasks,
        seed=evaluation.seed,
        task_hash=evaluation.task_hash,
        lifetime_steps=evaluation.lifetime_steps,
        agents=agents,
        opponents=opponents,
        verdict=tuple(summary_sentences(evaluation)),
    )


def _compared(evaluation: Evaluation, agent: str, opponent: str) -> PairedComparison:
    comparison = evaluation.compare(agent, opponent)
    assert comparison is not None  # every contender is compared with the trained ones
    return comparison
