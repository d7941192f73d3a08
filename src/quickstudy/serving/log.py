"""The log of a session: which of its events count."""

from quickstudy.serving.events import Event, RolledBack
from quickstudy.serving.refusal import Refusal


def checked_events(events: int, log: list[Event]) -> int:
    """A number of first events that a client named.

    Raises:
      Refusal: the log is not so long.
    """
    if not 1 <= events <= len(log):
        raise Refusal("conflict", "the session has fewer events.", field="events", expected=f"1 to {len(log)}", got=str(events))
    return events


def counted(log: list[Event]) -> list[Event]:
    """The events of a log that count: those that a rollback undid, and rollbacks themselves, are left out."""
    return [event for _, event in counted_numbers(list(enumerate(log, 1)))]


def counted_numbers(log: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """The same for the end of a log, whose events have their numbers with them."""
    counting: list[tuple[int, Event]] = []
    for number, event in log:
        if isinstance(event, RolledBack):
            counting = counted_numbers([one for one in log if one[0] <= event.events])
        else:
            counting.append((number, event))
    return counting
