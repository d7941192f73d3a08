"""Tries the laws of a distribution of tasks outside JAX on it, in a thread beside, which is left behind if it hangs."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import jax

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.tasks.checks.faults import Fault, faults_of, place_of_frame
from quickstudy.tasks.checks.host_comparison import Comparison
from quickstudy.tasks.checks.host_episodes import HostTrial, draw_tasks, play_episodes
from quickstudy.tasks.checks.host_laws import HOST_LAWS
from quickstudy.tasks.checks.host_player import OutOfTimeError

_GLANCE_SECONDS = 0.05
_PATIENCE = 3.0  # budgets, for one call


def inspect_host(
    distribution: HostDistribution, *, samples: int, seed: int, budget_seconds: float
) -> tuple[list[Fault], HostTrial]:
    """Every law tried on environments that may be slow, and may never answer.

    One call into the user's code that takes longer than three times the budget counts as one that hangs: the thread it is in is
    left behind, and the line that it waits at is named. Nothing can be done about a call that also keeps Python from running.

    Args:
      distribution: whatever it does, nothing is raised from here.
      samples: tasks drawn from every split at most.
      seed: of the tasks, the actions and the episodes.
      budget_seconds: about how long to play.
    Returns:
      Faults in the order in which they were found, and the trial.
    """
    trial = HostTrial(distribution=distribution, key=jax.random.key(seed), budget_seconds=budget_seconds)
    found: list[Fault] = []
    crash: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(partial(_inspect, trial, found, samples), crash), daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not trial.clock.abandoned:
            thread.join(_GLANCE_SECONDS)
            name, since = trial.clock.under_way or ("", time.perf_counter())
            if time.perf_counter() - since > _PATIENCE * budget_seconds:
                trial.clock.abandoned = True
                found.append(_hanging(name, time.perf_counter() - since, thread))
    finally:
        trial.clock.abandoned = True
    if crash:
        raise crash[0]
    return list(found), trial


def seen_of(trial: HostTrial) -> str:
    """What was drawn and played, in a sentence."""
    drawn = ", ".join(f"{len(jax.tree.leaves(tasks)[0]):,} of {split!r}" for split, tasks in trial.tasks.items())
    played = ", ".join(f"{len(episodes.valid)} of {split!r}" for split, episodes in trial.episodes.items())
    rate = f"; {1 / trial.clock.each('step'):,.0f} steps a second" if trial.clock.seconds["step"] else ""
    return f"tasks drawn: {drawn or 'none'}; played: {played or 'none'}{rate}"


def _run(work: Callable[[], None], crash: list[BaseException]) -> None:
    try:
        work()
    except BaseException as error:  # raised again in the thread that waits
        crash.append(error)


def _inspect(trial: HostTrial, found: list[Fault], samples: int) -> None:
    """Fills `found`, law by law."""
    _note(trial, found, "sampling", partial(draw_tasks, trial, samples=samples))
    if trial.broken:
        return
    _note(trial, found, "shapes", partial(play_episodes, trial))
    playable = not trial.broken
    comparison = Comparison(trial) if playable else None
    for name, law in HOST_LAWS.items():
        if (playable or not law.plays) and not trial.broken & set(law.needs):
            _note(trial, found, name, partial(law.look, comparison if law.compares else trial))


def _note(trial: HostTrial, found: list[Fault], name: str, look: Callable[[], Iterator[str]]) -> None:
    """What one look finds; laws that there is no time for are noted as such."""
    faults = faults_of(name, partial(_in_time, trial, name, look), remedy=HOST_LAWS[name].remedy)
    if not trial.clock.abandoned:
        found += faults
        trial.broken |= {name for fault in faults if not fault.warning}


def _in_time(trial: HostTrial, name: str, look: Callable[[], Iterator[str]]) -> Iterator[str]:
    try:
        yield from look()
    except OutOfTimeError:
        trial.untried.append(name)


def _hanging(name: str, seconds: float, thread: threading.Thread) -> Fault:
    place = place_of_frame(sys._current_frames().get(thread.ident or 0))
    what = f"{name} has not come back for {seconds:.1f} seconds" + (f" ({place})." if place else ".")
    return Fault(law="speed", what=what, remedy=HOST_LAWS["speed"].remedy)
