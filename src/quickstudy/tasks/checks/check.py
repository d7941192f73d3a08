"""Tries the laws of a task distribution on it, and names each fault with its remedy.

`check` looks at behaviour alone: it draws tasks, plays random actions and compares. Whatever the user's code
raises on the way is a fault too, with its cause in one line. The laws stand in `laws.py`, and those of environments outside JAX
in `host_laws.py`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax

from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.checks.episodes import Trial, draw_tasks, play_episodes
from quickstudy.tasks.checks.faults import Fault, faults_of
from quickstudy.tasks.checks.host_check import inspect_host, seen_of
from quickstudy.tasks.checks.host_laws import HOST_LAWS
from quickstudy.tasks.checks.laws import LAWS


class Findings(NamedTuple):
    """Faults, and in one sentence what was looked at, where that depends on how fast things are; else empty."""

    faults: list[Fault]
    seen: str


def check(
    distribution: TaskDistribution | HostDistribution, *, samples: int = 10_000, seed: int = 0, budget_seconds: float = 10.0
) -> list[Fault]:
    """Tries every law on a task distribution; an empty list means that nothing was found.

    Args:
      distribution: whatever it does, nothing is raised from here.
      samples: tasks drawn from every split, to look for tasks that two of them share.
      seed: of the tasks, the actions and the episodes.
      budget_seconds: about how long to play where environments live outside JAX; as many tasks are played as fit.
    Returns:
      Faults in the order of the laws, then those that are only warnings.
    Example:
      >>> from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit
      >>> check(bernoulli_bandit(arms=3, pulls=5), samples=1_000)
      []
    """
    return findings(distribution, samples=samples, seed=seed, budget_seconds=budget_seconds).faults


def findings(distribution: TaskDistribution | HostDistribution, *, samples: int, seed: int, budget_seconds: float) -> Findings:
    """What `check` finds, and what it looked at."""
    if isinstance(distribution, HostDistribution):
        found, trial = inspect_host(distribution, samples=samples, seed=seed, budget_seconds=budget_seconds)
        return Findings(_ordered(found, HOST_LAWS), seen_of(trial))
    return Findings(_ordered(_inspect(distribution, samples=samples, seed=seed), LAWS), "")


def fault_lines(faults: Iterable[Fault]) -> list[str]:
    """Faults as lines of text for a terminal: what was seen, and below it the remedy."""
    lines = []
    for fault in faults:
        kind = "warning" if fault.warning else "fault"
        lines += [f"{kind} ({fault.law}): {fault.what}", f"    remedy: {fault.remedy}"]
    return lines or ["no fault found"]


def _inspect(distribution: TaskDistribution, *, samples: int, seed: int) -> list[Fault]:
    """Faults of a distribution in JAX."""
    key_tasks, key_play = jax.random.split(jax.random.key(seed))
    trial = Trial(distribution=distribution, key=key_play)
    found = _faults("sampling", partial(draw_tasks, trial, key_tasks, samples=samples))
    if not found:
        found = _faults("shapes", partial(LAWS["shapes"].look, trial))
        # What does not fit its spec cannot be played, and every other law would only say so once more.
        if not found:
            found = _faults("shapes", partial(play_episodes, trial))
        playable = not found
        for name, law in LAWS.items():
            if name != "shapes" and (playable or not law.plays):
                found += _faults(name, partial(law.look, trial))
    return found


def _faults(law: str, look: Callable[[], Iterable[str]]) -> list[Fault]:
    return faults_of(law, look, remedy=LAWS[law].remedy)


def _ordered(found: list[Fault], laws: Iterable[str]) -> list[Fault]:
    order = list(laws)
    return sorted(found, key=lambda fault: (fault.warning, order.index(fault.law)))
