"""Ctrl-C during training: the update under way is finished and saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def finish_on_interrupt() -> Iterator[threading.Event]:
    """Inside this context a first Ctrl-C only sets the event that is yielded; a second one raises KeyboardInterrupt.

    The same holds for SIGTERM. Outside the main thread, which alone receives signals, the event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
