"""Inspects a distribution of tasks outside JAX in a second thread, which is abandoned if the user's code hangs."""

import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import jax

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.tasks.checks.faults import Fault, place_of_frame
from quickstudy.tasks.checks.host_episodes import HostTrial
from quickstudy.tasks.checks.host_laws import HOST_LAWS
from quickstudy.tasks.checks.inspection import inspect

_POLL_SECONDS = 0.05
_HANGING_BUDGETS = 3.0
"""A call that takes longer than this many times the budget counts as one that hangs."""


def inspect_host(
    distribution: HostDistribution, *, samples: int, seed: int, budget_seconds: float, collecting: CollectingConfig
) -> tuple[list[Fault], HostTrial]:
    """Tries every law on environments that may be slow, and may never answer.

    A call into the user's code that takes longer than three times the budget counts as one that hangs. Its thread is abandoned,
    and the fault names the line at which it waits. A call that holds Python's global lock cannot be interrupted.

    Args:
      distribution: whatever it does, nothing is raised here.
      samples: tasks drawn from every split at most.
      seed: of the tasks, the actions and the episodes.
      budget_seconds: about how long to play.
      collecting: where training would run lifetimes; a few are run there.
    Returns:
      Faults in the order in which they were found, and the trial.
    """
    trial = HostTrial(distribution=distribution, key=jax.random.key(seed), budget_seconds=budget_seconds, collecting=collecting)
    found: list[Fault] = []
    crash: list[BaseException] = []
    thread = threading.Thread(
        target=_run, args=(partial(inspect, trial, HOST_LAWS, found, samples=samples), crash), daemon=True
    )
    thread.start()
    try:
        while thread.is_alive() and not trial.clock.abandoned:
            thread.join(_POLL_SECONDS)
            name, since = trial.clock.under_way or ("", time.perf_counter())
            if time.perf_counter() - since > _HANGING_BUDGETS * budget_seconds:
                trial.clock.abandoned = True
                found.append(_hanging(name, time.perf_counter() - since, thread))
    finally:
        trial.clock.abandoned = True
    if crash:
        raise crash[0]
    return list(found), trial


def summary_of(trial: HostTrial) -> str:
    """One sentence: how many tasks were drawn and played, and how many steps a second."""
    drawn = ", ".join(f"{len(jax.tree.leaves(tasks)[0]):,} of {split!r}" for split, tasks in trial.tasks.items())
    played = ", ".join(f"{len(episodes.valid)} of {split!r}" for split, episodes in trial.episodes.items())
    rate = f"; {1 / trial.clock.each('step'):,.0f} steps a second" if trial.clock.seconds["step"] else ""
    return f"tasks drawn: {drawn or 'none'}; played: {played or 'none'}{rate}"


def _run(work: Callable[[], None], crash: list[BaseException]) -> None:
    try:
        work()
    except BaseException as error:  # raised again in the thread that waits
        crash.append(error)


def _hanging(name: str, seconds: float, thread: threading.Thread) -> Fault:
    place = place_of_frame(sys._current_frames().get(thread.ident or 0))
    what = f"{name} has not come back for {seconds:.1f} seconds" + (f" ({place})." if place else ".")
    return Fault(law="speed", what=what, remedy=HOST_LAWS["speed"].remedy)
