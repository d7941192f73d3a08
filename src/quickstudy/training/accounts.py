"""Seconds of a run, by activity."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Accounts:
    """Adds up the seconds of each activity: compiling, training, evaluating, saving.

    The attribute `earlier_seconds` is the time that the run took before it was resumed, and `earlier_budgeted` the part of it
    that a budget in time counts. Both are 0 in a new run.
    """

    def __init__(self) -> None:
        self.earlier_seconds, self.earlier_budgeted, self._started = 0.0, 0.0, time.monotonic()
        self._seconds = {"compiling": 0.0, "training": 0.0, "evaluating": 0.0, "saving": 0.0}

    def __getitem__(self, activity: str) -> float:
        return self._seconds[activity]

    def total(self) -> float:
        """Seconds that the run has taken, earlier parts included."""
        return self.earlier_seconds + time.monotonic() - self._started

    def budgeted(self) -> float:
        """Seconds that a budget in time counts, earlier parts included: all but those of compiling."""
        return self.earlier_budgeted + time.monotonic() - self._started - self._seconds["compiling"]

    def by_activity(self, collecting: Mapping[str, float]) -> dict[str, float]:
        """Seconds by activity. Where collecting has accounts of its own, training is these and the rest, `update`.

        Args:
          collecting: seconds of collecting lifetimes, by activity, see `LifetimeSource.seconds`.
        """
        if not collecting:
            return dict(self._seconds)
        others = {activity: seconds for activity, seconds in self._seconds.items() if activity != "training"}
        return others | dict(collecting) | {"update": max(0.0, self["training"] - sum(collecting.values()))}

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        """Adds the seconds spent inside to an activity."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[activity] += time.monotonic() - began
