"""Law after law, tried on a distribution under inspection."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from quickstudy.tasks.checks.faults import Fault, faults_of
from quickstudy.tasks.checks.host_player import OutOfTimeError
from quickstudy.tasks.checks.laws import Law, Trial

_FIRST = ("sampling", "shapes")


def inspect(trial: Trial, laws: Mapping[str, Law], found: list[Fault], *, samples: int) -> None:
    """Tries every law and appends faults to `found` as they appear.

    Where tasks cannot be drawn nothing else is tried. Where they cannot be played, only laws that need no episodes are: every
    other law would repeat the same fault. Where no law is broken, a few lifetimes are run as meta-training runs them.

    Args:
      trial: fresh; it is filled with tasks and episodes.
      laws: by name.
      found: a list that another thread may read meanwhile.
      samples: tasks drawn from every split at most.
    """

    def note(name: str, look: Callable[[], Iterator[str]]) -> None:
        faults = faults_of(name, partial(_in_time, trial, name, look), remedy=laws[name].remedy)
        if not trial.abandoned:
            found.extend(faults)
            trial.broken.update(fault.law for fault in faults if not fault.warning)

    note("sampling", partial(trial.draw_tasks, samples))
    if trial.broken:
        return
    note("shapes", partial(laws["shapes"].look, trial))
    if not trial.broken:
        note("shapes", trial.play_episodes)
    playable = not trial.broken
    for name, law in laws.items():
        if name not in _FIRST and (playable or not law.plays) and not trial.broken & set(law.needs):
            note(name, partial(law.look, trial))
    if not trial.broken:
        note("shapes", trial.run_as_training)


def _in_time(trial: Trial, name: str, look: Callable[[], Iterator[str]]) -> Iterator[str]:
    """The sentences of one look; a law without time left is noted as untried."""
    try:
        yield from look()
    except OutOfTimeError:
        trial.untried.append(name)
