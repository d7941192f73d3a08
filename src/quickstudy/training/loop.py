"""The outer loop: lifetimes are lived and learned from in one compiled program, for several seeds and devices at once.

The program's randomness depends on the seed and the number of the update alone, and progress through the budget is counted in
updates. So a run that was stopped anywhere goes on to the same parameters, bit by bit, on the same machine. A budget in
minutes is turned into updates once, from the speed of the first ones, and stays so.
"""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import CollectingError, NonFiniteError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.settings import flat_settings
from quickstudy.rollout.collecting.pool import CollectingConfig
from quickstudy.rollout.compiled import check_fit
from quickstudy.storage.run_folder import RunFolder, check_same_run, machine, surviving_disk_trouble, versions
from quickstudy.training.compiled_program import OuterProgram, initial_state
from quickstudy.training.host_program import HostProgram, program_of
from quickstudy.training.interrupts import finishing_what_was_begun

_UPDATES_BEFORE_TIMING = 2
_TIMED_SHARE = 0.05
_TIMED_UPDATES = 3
_OVERRUN = 1.15
_MOST_QUARANTINED = 0.5
_MOST_LOST = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a meta-training run."""

    budget: str = "3m"
    """How long: minutes ("5m", "90s", "1h") or environment steps per seed ("2e6 steps")."""
    seeds: int = 1
    """Independent runs, trained side by side."""
    seed: int = 0
    """Number of the first seed."""
    held_out_tasks: int = 512
    """Held-out tasks that are looked at while training; they choose nothing. Fewer where lifetimes are long."""
    evaluation_seconds: float = 10.0
    """Least seconds between two looks at the held-out tasks; 0 looks after every update."""
    checkpoint_seconds: float = 30.0
    """Seconds between two checkpoints."""

    def __post_init__(self) -> None:
        parse_budget(self.budget)
        for name in ("seeds", "held_out_tasks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more; came {getattr(self, name)}.")
        for name in ("evaluation_seconds", "checkpoint_seconds"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must be 0 or more; came {getattr(self, name)}.")


def parse_budget(budget: str) -> tuple[float | None, int | None]:
    """A budget as (seconds, None) or (None, steps).

    Raises:
      UsageError: neither a time nor a number of steps.
    Example:
      >>> parse_budget("5m"), parse_budget("2e6 steps")
      ((300.0, None), (None, 2000000))
    """
    match = re.fullmatch(r"\s*([0-9][0-9_.]*(?:e[0-9]+)?)\s*(s|m|h|steps)\s*", budget)
    try:
        amount, unit = (float(match[1]), match[2]) if match else (0.0, "")
    except ValueError:
        amount, unit = 0.0, ""
    if amount <= 0:
        raise UsageError(f'budget must be a time ("90s", "5m", "1h") or steps ("2e6 steps"); came {budget!r}.')
    return (None, round(amount)) if unit == "steps" else (amount * {"s": 1, "m": 60, "h": 3600}[unit], None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """What a watcher of the run may show; `metrics` is the newest line of the metrics file."""

    update: int
    updates: int | None
    steps: int
    steps_per_second: float
    seconds: float
    seconds_left: float | None
    spent: dict[str, float]
    metrics: dict[str, Any]
    evaluations: list[tuple[int, list[float]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A meta-training run that has ended or was interrupted.

    `params`: leaves with a leading axis `[seeds]`. `steps`: environment steps per seed. `quarantined`: those, over all seeds,
    whose reward or observation was not finite, and which nothing was learned from. `lost`: lifetimes that environments outside
    broke off, and which nothing was learned from either.
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


def meta_train(
    algorithm: MetaAlgorithm,
    distribution: AnyDistribution,
    config: TrainingConfig = TrainingConfig(),
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    """Meta-trains an agent on the train split.

    Args:
      algorithm: made for this distribution's spec.
      distribution: of the tasks.
      config: budget, seeds, how often to look and to save.
      folder: where checkpoints, metrics and configuration go; None writes nothing.
      resume: go on from the folder's newest checkpoint.
      overwrite: start again in a folder that holds a run.
      command: how the run was asked for, for its record.
      collecting: where lifetimes on tasks that are not written in JAX are lived; it may differ when a run is resumed.
      watch: called after every update.
    Raises:
      CollectingError: most lifetimes were lost to faults of their environments.
      SpecError: the algorithm was made for other tasks.
      UsageError: the folder holds a run already, or one of another configuration.
      NonFiniteError: a NaN or an infinity came up; says where, and which checkpoint is good.
    """
    check_fit(algorithm.agent, distribution.spec)
    jax.eval_shape(algorithm.init, jax.random.key(config.seed))  # whatever it refuses is refused before a folder is made
    description = {
        "command": command,
        "algorithm": {"name": algorithm.name, "config": flat_settings(algorithm.config)},
        "distribution": {"name": distribution.name, "config": dict(distribution.config)},
        "training": dataclasses.asdict(config),
        "spec": distribution.spec.describe(),
        "versions": versions(),
        "machine": machine(),
    }
    program = program_of(algorithm, distribution, tasks=config.held_out_tasks, collecting=collecting)
    store = None
    try:
        store = None if folder is None else RunFolder(folder, resume=resume, overwrite=overwrite)
        if store is not None and resume:
            check_same_run(store.description(), description)
        elif store is not None:
            store.describe(description)
        return _Loop(algorithm, distribution, config, program, store, watch).run()
    finally:
        program.close()
        if store is not None:
            store.close()


class _Loop:
    """The bookkeeping around the compiled programs; nothing here touches a number that is learned."""

    def __init__(
        self,
        algorithm: MetaAlgorithm,
        distribution: AnyDistribution,
        config: TrainingConfig,
        program: OuterProgram | HostProgram,
        store: RunFolder | None,
        watch: Callable[[Progress], None],
    ):
        self.algorithm, self.distribution, self.config = algorithm, distribution, config
        self.program, self.store, self.watch = program, store, watch
        self.spent = {"compiling": 0.0, "training": 0.0, "looking": 0.0, "saving": 0.0}
        self.earlier_seconds = 0.0
        self.started = time.monotonic()
        self.update_seconds: list[float] = []
        self.metrics: list[dict[str, Any]] = []
        self.evaluations: list[tuple[int, list[float]]] = []
        self.steps_per_update = algorithm.lifetimes * distribution.spec.lifetime_steps
        self.budget_seconds, steps = parse_budget(config.budget)
        self.updates = None if steps is None else math.ceil(steps / self.steps_per_update)
        self.update = 0

    def run(self) -> Run:
        """Trains until the budget is spent, or Ctrl-C."""
        with self.timed("compiling"):
            seeds = jnp.arange(self.config.seed, self.config.seed + self.config.seeds)
            roots = jax.vmap(jax.random.key)(seeds)
            self.state = self.resumed(initial_state(self.algorithm, roots))
            self.program.compile(self.state, roots)
        last_look = last_save = -math.inf if self.update == 0 else time.monotonic()
        with finishing_what_was_begun() as interrupted:
            while not self.spent_budget() and not interrupted.is_set():
                began = time.monotonic()
                with self.timed("training"):
                    self.state, metrics = self.program.train(self.state, roots, self.update, self.progress())
                self.update_seconds.append(time.monotonic() - began)
                self.update += 1
                self.check_finite(metrics)
                planned = self.plan()
                line: dict[str, Any] = {
                    "update": self.update,
                    "steps": self.update * self.steps_per_update,
                    "seconds": round(self.seconds(), 2),
                }
                if time.monotonic() - last_look >= self.look_interval() or self.spent_budget():
                    with self.timed("looking"):
                        metrics |= self.program.look(self.state)
                    self.evaluations.append((line["steps"], metrics["held_out_return"]))
                    last_look = time.monotonic()
                self.record(line | metrics)
                if time.monotonic() - last_save >= self.config.checkpoint_seconds or planned:
                    self.save()
                    last_save = time.monotonic()
                self.watch(self.report())
            finished = not interrupted.is_set() or self.spent_budget()
            self.save()
        params = jax.tree.map(np.asarray, jax.vmap(self.algorithm.params)(self.state))
        steps = self.update * self.steps_per_update
        nonfinite_steps = round(sum(sum(line["nonfinite_steps"]) for line in self.metrics) * self.algorithm.lifetimes)
        lost = round(sum(sum(line.get("lost", ())) for line in self.metrics))
        return Run(
            algorithm=self.algorithm, distribution=self.distribution, config=self.config, params=params,
            metrics=self.metrics, steps=steps, nonfinite_steps=nonfinite_steps, lost=lost,
            seconds=self.seconds(), finished=finished, folder=None if self.store is None else self.store.path,
        )  # fmt: skip

    def resumed(self, state: PyTree) -> PyTree:
        """The state of the newest checkpoint, if this run has one."""
        found = None if self.store is None else self.store.restore(state)
        if found is None:
            return state
        self.update, state, notes = found
        self.updates, self.earlier_seconds = notes["updates"], notes["seconds"]
        assert self.store is not None
        self.metrics = self.store.metrics()
        self.evaluations = [(m["steps"], m["held_out_return"]) for m in self.metrics if "held_out_return" in m]
        return state

    def look_interval(self) -> float:
        """Seconds from one look to the next: where looking is slow, it still takes a tenth of the time at most."""
        each = self.spent["looking"] / max(len(self.evaluations), 1)
        return max(self.config.evaluation_seconds, 9 * each) if self.config.evaluation_seconds else 0.0

    def seconds(self) -> float:
        """Seconds that the run has taken so far, earlier parts included."""
        return self.earlier_seconds + time.monotonic() - self.started

    def progress(self) -> float:
        """Spent part of the budget, by updates alone once their number is known."""
        return 0.0 if self.updates is None else min(self.update / self.updates, 1.0)

    def plan(self) -> bool:
        """Turns a budget in time into a number of updates, once their speed is known; True if that was now."""
        timed = self.update_seconds[_UPDATES_BEFORE_TIMING:]
        if self.updates is not None or self.budget_seconds is None:
            return False
        if len(timed) < _TIMED_UPDATES or sum(timed) <= _TIMED_SHARE * self.budget_seconds:
            return False
        left = self.budget_seconds - self.seconds()
        # Looks and checkpoints take their share too.
        self.updates = self.update + max(0, math.floor(0.92 * left / float(np.mean(timed))))
        return True

    def spent_budget(self) -> bool:
        """Whether to stop: all updates are done, or the machine has become so slow that they would take far too long."""
        late = self.budget_seconds is not None and self.seconds() > _OVERRUN * self.budget_seconds
        return late or (self.updates is not None and self.update >= self.updates)

    def check_finite(self, metrics: dict[str, list[float]]) -> None:
        """Stops the run at the first number that is not finite, or where too little is left to learn from."""
        step = self.update * self.steps_per_update
        if np.mean(metrics.get("lost", 0.0)) > _MOST_LOST * self.algorithm.lifetimes:
            raise CollectingError(
                f"update {self.update} (step {step}): {np.mean(metrics['lost']):.0f} of {self.algorithm.lifetimes} lifetimes "
                "were lost to faults of their environment, which stand above. Look at it with `quickstudy check`."
            )
        if np.mean(metrics["nonfinite_steps"]) > _MOST_QUARANTINED * self.distribution.spec.lifetime_steps:
            raise NonFiniteError(
                f"update {self.update} (step {step}): rewards or observations were not finite on "
                f"{np.mean(metrics['quarantined']) / self.distribution.spec.lifetime_steps:.0%} of the steps. "
                "There is too little left to learn from. Look at the tasks with `quickstudy check`."
            )
        bad = [name for name, values in metrics.items() if not np.isfinite(values).all()]
        if not bad:
            return
        leaves = jax.tree_util.tree_leaves_with_path(self.state)
        broken = [
            jax.tree_util.keystr(p) for p, x in leaves if jnp.issubdtype(x.dtype, jnp.floating) and not jnp.isfinite(x).all()
        ]
        where = f"first tensor with it: state{broken[0]}" if broken else "the parameters are still finite"
        good = "nothing was saved" if self.store is None else self.store.latest_checkpoint()
        raise NonFiniteError(
            f"update {self.update} (step {step}): {', '.join(bad)} is not finite; {where}; {good}. Try a lower learning rate."
        )

    def record(self, line: dict[str, Any]) -> None:
        """Adds a line of metrics; a full disk costs the line, not the run."""
        self.metrics.append(line)
        if self.store is not None:
            with surviving_disk_trouble("metrics", self.metrics[-1]):
                self.store.append_metrics(line)

    def save(self) -> None:
        """Writes a checkpoint; a full disk costs the checkpoint, not the run."""
        if self.store is None:
            return
        with self.timed("saving"), surviving_disk_trouble("checkpoint", self.metrics[-1] if self.metrics else {}):
            self.store.save(self.update, self.state, {"updates": self.updates, "seconds": self.seconds()})

    def report(self) -> Progress:
        """What a watcher may show now."""
        recent = self.update_seconds[_UPDATES_BEFORE_TIMING:][-20:] or self.update_seconds[-1:]
        rate = self.config.seeds * self.steps_per_update / float(np.mean(recent))
        left = None if self.updates is None else (self.updates - self.update) * float(np.mean(recent))
        spent = {what: seconds for what, seconds in self.spent.items() if what != "training"}
        spent |= self.program.spent() or {"training": self.spent["training"]}
        return Progress(
            update=self.update, updates=self.updates, steps=self.update * self.steps_per_update, steps_per_second=rate,
            seconds=self.seconds(), seconds_left=left, spent=spent, metrics=self.metrics[-1], evaluations=self.evaluations,
        )  # fmt: skip

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the seconds spent inside to one of the accounts."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[what] += time.monotonic() - began
