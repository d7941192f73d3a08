"""Tries the laws of a task distribution on it, and names each fault with its remedy.

`check` looks at behaviour alone: it draws tasks, plays random actions and compares. Whatever the user's code
raises on the way is a fault too, with its cause in one line. The laws stand in `laws.py`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax

from quickstudy.inspection.laws import LAWS
from quickstudy.inspection.trial import Trial, draw_tasks, play_episodes
from quickstudy.task_distribution import TaskDistribution


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One law that a task distribution breaks.

    Args:
      law: its name, from `laws.LAWS`.
      what: what was seen.
      remedy: what to do about it.
      warning: it may be meant so; worth a look, nothing more.
    """

    law: str
    what: str
    remedy: str
    warning: bool = False


def check(distribution: TaskDistribution, *, samples: int = 10_000, seed: int = 0) -> list[Fault]:
    """Tries every law on a task distribution; an empty list means that nothing was found.

    Args:
      distribution: whatever it does, nothing is raised from here.
      samples: tasks drawn from every split, to look for tasks that two of them share.
      seed: of the tasks, the actions and the episodes.
    Returns:
      Faults in the order of the laws, then those that are only warnings.
    Example:
      >>> from quickstudy.tasks.bernoulli_bandit import bernoulli_bandit
      >>> check(bernoulli_bandit(arms=3, pulls=5), samples=1_000)
      []
    """
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
    order = list(LAWS)
    return sorted(found, key=lambda fault: (fault.warning, order.index(fault.law)))


def fault_lines(faults: Iterable[Fault]) -> list[str]:
    """Faults as lines of text for a terminal: what was seen, and below it the remedy."""
    lines = []
    for fault in faults:
        kind = "warning" if fault.warning else "fault"
        lines += [f"{kind} ({fault.law}): {fault.what}", f"    remedy: {fault.remedy}"]
    return lines or ["no fault found"]


def _faults(law: str, look: Callable[[], Iterator[str]]) -> list[Fault]:
    """What one look finds, where an exception is a fault too; a leading '?' marks a warning."""
    try:
        sentences = list(look())
    except Exception as error:  # the user's code may raise anything at all
        cause = (str(error).strip().splitlines() or ["no message"])[0]
        sentences = [f"{type(error).__name__}: {cause}"]
    return [Fault(law=law, what=what.lstrip("?"), remedy=LAWS[law].remedy, warning=what.startswith("?")) for what in sentences]
