"""The outer loop: updates, evaluations on held-out tasks and checkpoints until the budget is spent.

The randomness of an update depends on the seed and the number of the update alone, and progress through the budget is counted
in updates. So a run that was stopped anywhere goes on to the same parameters, bit by bit, on the same machine.
"""

import dataclasses
import functools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.memory import bytes_of
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.setting_values import Count, Seconds, Seed, checked_value
from quickstudy.protocol.settings import check_settings, plain_mapping, plain_settings
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.compiled import check_fit
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.run_folder import machine, versions
from quickstudy.training.accounts import Accounts
from quickstudy.training.begin_with import begun_with, check_begin
from quickstudy.training.budget import Schedule, evaluation_interval, parse_budget, recent_seconds, telling_of_slow_update
from quickstudy.training.drawn_tasks import drawn_tasks
from quickstudy.training.finite import check_update
from quickstudy.training.interrupts import finish_on_interrupt
from quickstudy.training.lifetime_source import LifetimeSource
from quickstudy.training.memory import check_program, check_shapes
from quickstudy.training.processes import agreed, all_or_none, from_first, is_first, naming_lost_processes
from quickstudy.training.progress import Progress, progress_of
from quickstudy.training.record import RunRecord
from quickstudy.training.source_files import user_files
from quickstudy.training.sources import source_for
from quickstudy.training.update import RunState, apply_supplied, initial_state, rates_of, update_program


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a meta-training run."""

    budget: str = "3m"
    """How long: a time ("90s", "5m", "1h") or environment steps per seed ("2e6 steps"). Compiling is not part of the time."""
    seeds: Count = 1
    """Independent runs, trained side by side."""
    seed: Seed = 0
    """Number of the first seed."""
    held_out_tasks: Count = 512
    """Held-out tasks of each evaluation during training; they do not influence training. Fewer if lifetimes are long."""
    evaluation_seconds: Seconds = 10.0
    """Minimum number of seconds between two evaluations during training; 0 evaluates after every update."""
    checkpoint_seconds: Seconds = 30.0
    """Seconds between two checkpoints."""

    def __post_init__(self) -> None:
        check_settings(self)
        parse_budget(self.budget)
        checked_value("seed + seeds - 1, the last seed,", Seed, self.seed + self.seeds - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A meta-training run that has ended or was interrupted.

    Args:
      params: of the agent; leaves with a leading axis `[seeds]`.
      metrics: one line per update.
      steps: environment steps per seed.
      nonfinite_steps: steps, over all seeds, whose reward or observation was not finite; nothing was learned from them.
      lost: lifetimes, over all seeds, that their environments broke off; nothing was learned from them.
      seconds: the time that the run has taken.
      finished: False where it was interrupted.
      folder: of the run; None where nothing was written.
      spent: seconds of this process by activity, such as compiling, training and evaluating.
    """

    algorithm: MetaAlgorithm
    distribution: AnyDistribution
    config: TrainingConfig
    params: PyTree
    metrics: list[dict[str, Any]]
    steps: int
    nonfinite_steps: int
    lost: int
    seconds: float
    finished: bool
    folder: Path | None
    spent: Mapping[str, float] = dataclasses.field(default_factory=dict)


def meta_train(
    algorithm: MetaAlgorithm,
    distribution: AnyDistribution,
    config: TrainingConfig = TrainingConfig(),
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    extend: bool = False,
    overwrite: bool = False,
    begin_with: Bundle | None = None,
    command: str | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    watch: Callable[[Progress], bool | None] = lambda progress: None,
) -> Run:
    """Meta-trains an agent on the train split.

    Args:
      algorithm: made for this distribution's spec.
      distribution: of the tasks.
      config: budget, seeds, how often to evaluate and to save.
      folder: where checkpoints, metrics and configuration go; None writes nothing. Of several processes only the first writes.
      resume: go on from the folder's newest checkpoint.
      extend: where a run is resumed with a longer budget, go on to it, also if the run has ended. Schedules follow the share of
        the new budget: the learning rate rises again, and falls until the new end.
      overwrite: start again in a folder that holds a run.
      begin_with: a bundle whose parameters the run begins with, in place of drawn ones. Seed i begins with its seed i, and a
        bundle of one seed begins all. Give it again when the run is resumed.
      command: the command that asked for the run, for its record.
      collecting: where lifetimes on tasks outside JAX are collected; it may change when a run is resumed.
      watch: called after every update. If it returns True, the run ends in order, as after Ctrl-C: it is saved, `finished` is
        False, and it can be resumed.
    Raises:
      CollectingError: most lifetimes were lost to faults of their environments.
      LostProcessError: another process of the run has ended.
      SpecError: the algorithm was made for other tasks, or its parameters have other shapes than those to begin with.
      UsageError: the folder holds a run already, or one of another configuration or on other tasks; another process uses it; or
        the run needs more memory than is free.
      NonFiniteError: a NaN or an infinity came up. The message says where, and which checkpoint is good.
    """
    with training_run(
        algorithm, distribution, config, folder=folder, resume=resume, extend=extend, overwrite=overwrite,
        begin_with=begin_with, command=command, collecting=collecting, watch=watch,
    ) as run:  # fmt: skip
        return run


@contextmanager
def training_run(
    algorithm: MetaAlgorithm,
    distribution: AnyDistribution,
    config: TrainingConfig,
    *,
    folder: str | Path | None,
    resume: bool,
    extend: bool,
    overwrite: bool,
    begin_with: Bundle | None,
    command: str | None,
    collecting: CollectingConfig,
    watch: Callable[[Progress], bool | None],
) -> Iterator[Run]:
    """`meta_train`, but no other run can have the folder until the block ends. What is written at the end is written inside it.

    Args, Raises: as of `meta_train`.
    """
    check_fit(algorithm.agent, distribution.spec)
    jax.eval_shape(algorithm.init, jax.random.key(config.seed))  # refuses what it refuses before a folder is made
    if begin_with is not None:
        check_begin(algorithm, begin_with, seeds=config.seeds)
    description = {
        "command": command,
        "algorithm": {"name": algorithm.name, "config": plain_settings(algorithm.config)},
        "distribution": {"name": distribution.name, "config": plain_mapping(distribution.config)},
        "training": dataclasses.asdict(config),
        "begins_with": None if begin_with is None else begin_with.card["parameters_sha256"],
        "spec": distribution.spec.describe(),
        "versions": versions(),
        "machine": machine(),
    }
    schedule = Schedule(config.budget, steps_per_update=steps_per_update(algorithm))
    with ExitStack() as folder_in_use:
        with closing(source_for(algorithm, distribution, tasks=config.held_out_tasks, collecting=collecting)) as source:
            all_or_none(lambda: check_shapes(algorithm, source, seeds=config.seeds))
            if folder is not None:
                description |= {"tasks": drawn_tasks(distribution), "files": user_files(distribution, algorithm)}
            path = folder if is_first() else None
            record = all_or_none(lambda: RunRecord.open(path, description, resume=resume, extend=extend, overwrite=overwrite))
            folder_in_use.callback(record.close)
            try:
                with naming_lost_processes(record.latest_checkpoint):
                    update, state, accounts, finished = _train(algorithm, source, config, schedule, record, begin_with, watch)
            except UsageError:
                if record.path is not None and not resume and not record.metrics:
                    shutil.rmtree(record.path, ignore_errors=True)  # it was made for this run, which never began
                raise
            spent = accounts.by_activity(source.seconds())
        yield Run(
            algorithm=algorithm,
            distribution=distribution,
            config=config,
            params=jax.tree.map(np.asarray, jax.vmap(algorithm.params)(state.train)),
            metrics=record.metrics,
            steps=update * steps_per_update(algorithm),
            nonfinite_steps=round(sum(sum(line["nonfinite_steps"]) for line in record.metrics) * algorithm.lifetimes),
            lost=round(sum(sum(line.get("lost", ())) for line in record.metrics)),
            seconds=accounts.total(),
            finished=finished,
            folder=record.path,
            spent=spent,
        )


def steps_per_update(algorithm: MetaAlgorithm) -> int:
    """Environment steps per seed in one update."""
    return algorithm.lifetimes * algorithm.agent.spec.lifetime_steps


def _train(
    algorithm: MetaAlgorithm,
    source: LifetimeSource,
    config: TrainingConfig,
    schedule: Schedule,
    record: RunRecord,
    begin_with: Bundle | None,
    watch: Callable[[Progress], bool | None],
) -> tuple[int, RunState, Accounts, bool]:
    """Trains until the budget is spent, until Ctrl-C, or until `watch` returns True.

    Returns:
      The number of updates, the last state, the time by activity, and whether the budget is spent.
    """
    steps, rates = steps_per_update(algorithm), rates_of(algorithm)
    accounts = Accounts()
    with accounts.timed("compiling"):
        roots = jax.vmap(jax.random.key)(config.seed + np.arange(config.seeds, dtype=np.uint32))
        begun = initial_state(algorithm, source, roots)
        if begin_with is not None:
            begun = dataclasses.replace(begun, train=begun_with(algorithm, begun.train, begin_with))
        update, state = all_or_none(lambda: _resumed(begun, record, schedule, accounts))
        (update, updates), state = agreed(update, schedule.updates or 0), from_first(state)
        schedule.updates = updates or None
        source.compile(state.train)
        compiled = functools.partial(_compiled, algorithm, source, roots, seeds=config.seeds)
        program = None if source.supplies else compiled(state, ())
    update_seconds: list[float] = []
    last_evaluation = last_save = -math.inf if update == 0 else time.monotonic()
    is_spent = lambda: schedule.is_spent(update, seconds=accounts.budgeted())  # noqa: E731

    def notes() -> dict[str, Any]:
        spent = {"seconds": accounts.total(), "budgeted": accounts.budgeted()}
        return {"updates": schedule.updates, "budget": config.budget} | spent

    with finish_on_interrupt() as interrupted:
        while not any(ended := agreed(is_spent(), interrupted.is_set())):
            began, compiling = time.monotonic(), accounts["compiling"]
            telling = functools.partial(telling_of_slow_update, config.budget, first=not update_seconds)
            with accounts.timed("training"), telling(spent=0.0):
                supplied, collecting = source.supply(state.train, roots, update)
            if program is None:  # the arrays that were supplied show their shapes only now
                with accounts.timed("compiling"):
                    program = compiled(state, supplied)
                began += accounts["compiling"] - compiling
            with accounts.timed("training"), telling(spent=time.monotonic() - began):
                state, metrics = apply_supplied(program, state, supplied, roots, update, schedule.progress(update), rates)
                metrics |= collecting
            update_seconds.append(time.monotonic() - began)
            update += 1
            check_update(metrics, state.train, algorithm, update=update, latest_checkpoint=record.latest_checkpoint)
            planned = is_first() and schedule.plan(update, update_seconds=update_seconds, seconds=accounts.budgeted())
            line: dict[str, Any] = {
                "update": update,
                "steps": update * steps,
                "seconds": round(accounts.total(), 2),
            }
            interval = evaluation_interval(
                config.evaluation_seconds, seconds=accounts["evaluating"], evaluations=len(record.evaluations)
            )
            is_due = time.monotonic() - last_evaluation >= interval or is_spent()
            evaluates, updates = agreed(is_due, schedule.updates or 0)
            schedule.updates = updates or None
            if evaluates:
                with accounts.timed("evaluating"):
                    held_out = source.held_out(state.train)
                    metrics |= held_out.metrics
                    record.append_within(line, held_out)
                last_evaluation = time.monotonic()
            record.append(line | metrics)
            if time.monotonic() - last_save >= config.checkpoint_seconds or planned:
                with accounts.timed("saving"):
                    record.save(update, state, notes())
                last_save = time.monotonic()
            each, spent = recent_seconds(update_seconds), accounts.by_activity(source.seconds())
            if watch(progress_of(record, schedule, seconds_per_update=each, spent=spent, seeds=config.seeds)) is True:
                interrupted.set()
        finished = bool(ended[0])
        with accounts.timed("saving"):
            record.save(update, state, notes())
    return update, state, accounts, finished


def _resumed(state: RunState, record: RunRecord, schedule: Schedule, accounts: Accounts) -> tuple[int, RunState]:
    """The number of updates so far and the state: of the newest checkpoint if this run has one, else 0 and the state given."""
    found = record.restore(state)
    if found is None:
        return 0, state
    update, state, notes = found
    accounts.earlier_seconds = notes["seconds"]
    accounts.earlier_budgeted = notes.get("budgeted", notes["seconds"])  # earlier versions counted all of it
    if notes.get("budget", record.first_budget()) == schedule.budget:
        schedule.updates = notes["updates"]
    else:
        schedule.go_on(update, seconds=accounts.earlier_budgeted)
    return update, state


def _compiled(
    algorithm: MetaAlgorithm,
    source: LifetimeSource,
    roots: Key[Array, " seeds"],
    state: RunState,
    supplied: PyTree,
    *,
    seeds: int,
) -> Any:
    """The update as a program that is ready to run and fits into memory, a copy of the state for checkpoints included."""
    program = update_program(algorithm, source)
    program = program.lower(state, supplied, roots, jnp.uint32(0), jnp.float32(0), rates_of(algorithm)).compile()
    check_program(program, algorithm, seeds=seeds, more=bytes_of(state))
    return program
