"""The budget of a run: how it is written, how a time becomes a number of updates, and when it is spent.

Progress through the budget is counted in updates alone, because learning depends on it and must not depend on the clock. A
budget in time is turned into a number of updates once, from the speed of the first updates, and that number stays.
"""

import logging
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.setting_values import shown

_log = logging.getLogger(__name__)
_UPDATES_BEFORE_TIMING = 2
_TIMED_UPDATES = 3
_TIMED_SHARE = 0.05
_TRAINING_SHARE = 0.92
_OVERRUN = 1.15
_RECENT_UPDATES = 20
_MOST_SECONDS = 3.6e8
_MOST_STEPS = 1e18
_MOST_UPDATES = 2**32 - 1
"""Random keys of an update are made from its number in 32 bits."""


def parse_budget(budget: str) -> tuple[float | None, int | None]:
    """A budget as (seconds, None) or (None, steps).

    Raises:
      UsageError: neither a time nor a number of steps, or one that is too large.
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
        raise UsageError(f'budget must be a time ("90s", "5m", "1h") or steps ("2e6 steps"); came {shown(budget)}.')
    amount *= {"s": 1, "m": 60, "h": 3600, "steps": 1}[unit]
    if unit == "steps" and not 0.5 < amount <= _MOST_STEPS:
        raise UsageError(f"budget must be 1 step or more and at most {_MOST_STEPS:.0e} steps; came {shown(budget)}.")
    if unit != "steps" and amount > _MOST_SECONDS:
        raise UsageError(f"budget must be at most {_MOST_SECONDS / 3600:,.0f}h; came {shown(budget)}.")
    return (None, round(amount)) if unit == "steps" else (amount, None)


def is_longer(budget: str, than: str) -> bool:
    """Whether a budget allows more than another of the same kind; a time and a number of steps cannot be compared."""
    return any(a is not None and b is not None and a > b for a, b in zip(parse_budget(budget), parse_budget(than), strict=True))


class Schedule:
    """The number of updates that a budget allows.

    Args:
      budget: as for `parse_budget`.
      steps_per_update: environment steps per seed in one update.
    Raises:
      UsageError: not a budget, or one of too many updates.

    The attribute `budget` is the budget as it was given. The attribute `updates` is the number of updates; it is None until a
    budget in time was turned into updates.
    """

    def __init__(self, budget: str, *, steps_per_update: int):
        self.budget = budget
        self._seconds, steps = parse_budget(budget)
        self.updates: int | None = None if steps is None else math.ceil(steps / steps_per_update)
        if self.updates is not None and self.updates > _MOST_UPDATES:
            raise UsageError(
                f"budget {shown(budget)} is {self.updates:,} updates of {steps_per_update:,} steps; at most "
                f"{_MOST_UPDATES:,} are possible. Use a smaller budget."
            )

    def progress(self, update: int) -> float:
        """The spent part of the budget in [0, 1] after this many updates; 0 until the number of updates is known."""
        return 0.0 if self.updates is None else min(update / self.updates, 1.0)

    def go_on(self, update: int, *, seconds: float) -> None:
        """Plans a run that goes on beyond an earlier budget. A budget in time is planned at the speed that the run had so far.

        Args:
          update: the number of updates so far.
          seconds: the time that they took, as far as a budget counts it.
        """
        if self._seconds is not None and update > 0 and seconds > 0:
            self.updates = max(update, math.floor(update * self._seconds / seconds))

    def plan(self, update: int, *, update_seconds: Sequence[float], seconds: float) -> bool:
        """Turns a budget in time into a number of updates as soon as their speed is known. True if that happened now.

        Args:
          update: the number of updates so far.
          update_seconds: the duration of each update of this process; the first ones may hold compilation and are left out.
          seconds: the time that the run has taken, without compiling.
        """
        timed = update_seconds[_UPDATES_BEFORE_TIMING:]
        if self.updates is not None or self._seconds is None:
            return False
        if len(timed) < _TIMED_UPDATES or sum(timed) <= _TIMED_SHARE * self._seconds:
            return False
        # Evaluations and checkpoints take the rest of the time.
        for_training = _TRAINING_SHARE * (self._seconds - seconds)
        self.updates = update + max(0, math.floor(for_training / float(np.mean(timed))))
        return True

    def is_spent(self, update: int, *, seconds: float) -> bool:
        """Whether to stop after this many updates and seconds, compiling not counted.

        A run whose updates are so slow that their number was never planned stops with the update that ends after its budget in
        time. A run whose machine has become slow stops before its last update, once it has taken far longer than its budget. It
        never stops before its first update.
        """
        overrun = 1.0 if self.updates is None else _OVERRUN
        late = update > 0 and self._seconds is not None and seconds > overrun * self._seconds
        return late or (self.updates is not None and update >= self.updates)


def slow_update(budget: str, update_seconds: float) -> str | None:
    """A sentence where one update takes longer than the whole budget in time; None elsewhere.

    Args:
      budget: as for `parse_budget`.
      update_seconds: of the first update.
    """
    seconds, _ = parse_budget(budget)
    if seconds is None or update_seconds <= seconds:
        return None
    return (
        f"One update took {update_seconds:,.0f} s, longer than the budget of {budget}, so the run ends after it. For "
        "more updates, give more time, or make an update smaller: fewer lifetimes, shorter lifetimes, fewer seeds."
    )


@contextmanager
def telling_of_slow_update(budget: str, *, spent: float, first: bool) -> Iterator[None]:
    """Inside this context a warning is logged as soon as one update has taken the whole budget in time.

    Args:
      budget: as for `parse_budget`.
      spent: seconds that the update has taken before; nothing is logged if they exceed the budget.
      first: whether it is the first update of this process. Nothing is logged of later ones.
    """
    seconds, _ = parse_budget(budget)
    if seconds is None or not first or spent >= seconds:
        yield
        return
    said = f"The first update has taken {budget}, the whole budget. The run ends after this update; Ctrl-C twice stops it now."
    timer = threading.Timer(min(seconds - spent, threading.TIMEOUT_MAX), _log.warning, [said])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def recent_seconds(update_seconds: Sequence[float]) -> float:
    """Mean duration of the newest updates, in seconds; the first two count only where there are no others."""
    recent = update_seconds[_UPDATES_BEFORE_TIMING:][-_RECENT_UPDATES:] or update_seconds[-1:]
    return float(np.mean(recent))


def evaluation_interval(least_seconds: float, *, seconds: float, evaluations: int) -> float:
    """Seconds between two evaluations: slow evaluations are made less often, so that they take a tenth of the time at most.

    Args:
      least_seconds: the interval that was asked for; 0 asks for an evaluation after every update, however slow it is.
      seconds: the time of all evaluations so far.
      evaluations: their number.
    """
    each = seconds / max(evaluations, 1)
    return max(least_seconds, 9 * each) if least_seconds else 0.0
