"""Ctrl-C and similar signals: a section that is finished first, and a command that handles every signal.

SIGINT (Ctrl-C), SIGTERM and SIGHUP are treated alike. A signal that the program was started to ignore stays ignored, as after
`nohup`. This module imports little, so that the command line listens before it imports anything large.
"""

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_FINISHING = "finishing the present update, then saving; a second Ctrl-C ends at once."
_ENDING = "ending; a second Ctrl-C ends at once."
_LOOKING_SECONDS = 0.1
_SPEAKING_SECONDS = 0.5
"""Seconds after which a signal is answered in words, unless the program has ended by then."""
_UNHEARD_SECONDS = 3.0
"""Seconds that the program may take to hear a signal, before it is ended."""
_UNWINDING_SECONDS = 15.0
"""Seconds that the program may take to close everything."""

_sections: list[threading.Event] = []
_skippable = 0
"""The number of `skip_on_interrupt` contexts that the main thread is in."""
_command: "CommandInterrupts | None" = None


@contextmanager
def finish_on_interrupt() -> Iterator[threading.Event]:
    """Inside this context a first signal only sets the event that is yielded; a second one raises KeyboardInterrupt.

    In a command of the command line the second one ends the program. Outside the main thread, which alone receives signals, the
    event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        with suppress(OSError):  # not by sys.stderr, which may be in use at this moment
            os.write(2, f"quickstudy: {_FINISHING}\n".encode())

    # A command's handlers are set again: a package may have set its own meanwhile, as Ray does.
    earlier = _handled_by(note if _command is None else _command.hear)
    if _command is not None and _command.number is not None:
        event.set()
    _sections.append(event)
    try:
        yield event
    finally:
        _sections.remove(event)
        _restore(earlier)


@contextmanager
def skip_on_interrupt() -> Iterator[None]:
    """An interrupt ends what is inside this context, and nothing else."""
    global _skippable
    _skippable += 1
    try:
        yield
    except KeyboardInterrupt:
        if _command is not None:
            _command.heard = True
    finally:
        _skippable -= 1


def end_with_command() -> None:
    """The program ends as soon as its command has: Python's own end would wait for processes on other hosts that are gone."""
    if _command is not None:
        _command.ends_at_once = True


class CommandInterrupts:
    """Signals of a command; a context manager. Every signal is heard, in whatever phase the command is.

    A first signal raises KeyboardInterrupt in the main thread, except inside a section that is finished first. Python drops an
    exception that is raised in a callback, a finaliser or a compilation, or raises another one in its place. So a thread checks
    whether the exception is being handled, and raises it again if not. If the main thread is busy in compiled code, the thread
    ends the program after a few seconds. While a module is being imported nothing can be lost, and the program ends at once. A
    second signal always ends it at once.

    Args:
      own_process: the program ends after the command. Then signals are heard up to its very end.
    Attributes:
      number: of the first signal; None if there was none.
      heard: the main thread has acted on it.
      raised: KeyboardInterrupt was raised for it. Other errors may have come of it.
      ends_at_once: see `end_with_command`.
    """

    def __init__(self, *, own_process: bool = False):
        self.number: int | None = None
        self.heard = self.raised = self.ends_at_once = False
        self._own_process, self._main = own_process, threading.main_thread().ident
        self._first_at: float | None = None
        self._said, self._since, self._retry_at, self._echo_until = False, 0.0, 0.0, 0.0

    def __enter__(self) -> "CommandInterrupts":
        """Starts to listen, if this is the main thread."""
        global _command
        self._listens = threading.current_thread() is threading.main_thread() and _command is None
        if self._listens:
            _command = self
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._note_dropped
            self._watching = threading.Thread(target=self._watch, daemon=True)
            self._watching.start()
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._earlier = _handled_by(self.hear)
        return self

    def __exit__(self, *_: object) -> None:
        """Stops listening, unless the program ends with the command."""
        global _command
        if not self._listens:
            return
        self.heard = True
        if self._own_process:
            return
        _restore(self._earlier)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._unraisable
        os.close(self._write)
        self._watching.join()
        os.close(self._read)
        _command = None

    def status(self, status: int) -> int:
        """The exit status of the command: 128 and the signal's number where it was interrupted, else the one given."""
        return status if self.number is None or status not in (0, 130) else 128 + self.number

    def finish(self, status: int) -> int:
        """The exit status of the command. A program that was interrupted and ends with its command ends here.

        Everything is closed by then. Python's own end could wait for threads of environments, and compiled code that still
        runs would crash in it.
        """
        status = self.status(status)
        if self._own_process and (self.number is not None or self.ends_at_once):
            _write("")
            os._exit(status)
        return status

    @contextmanager
    def errors_are_interrupts(self) -> Iterator[None]:
        """Errors of any kind become KeyboardInterrupt once that was raised: what it interrupts may raise another error."""
        try:
            yield
        except Exception as error:
            if self.raised:
                raise KeyboardInterrupt from error
            raise

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals, in the main thread."""
        self._note_first(number)
        if _sections or self.heard or _holds_interrupt(sys.exc_info()[1]):
            return
        self.raised, self._retry_at = True, time.monotonic() + _SPEAKING_SECONDS
        if self._own_process and _is_importing(frame):
            # Compiled modules that are being imported print the exception, and raise another one.
            if not _skippable:
                self._end()
            return
        raise KeyboardInterrupt

    def _note_dropped(self, dropped: Any) -> None:
        """Python's report of an exception that it drops."""
        if self.number is not None and issubclass(dropped.exc_type, KeyboardInterrupt):
            self._retry_at = 0.0
        else:
            self._unraisable(dropped)

    def _watch(self) -> None:
        """The thread. It sees signals even while the main thread is in compiled code."""
        while True:
            pause = None if self.number is None else _LOOKING_SECONDS
            if select.select([self._read], [], [], pause)[0]:
                numbers = os.read(self._read, 64)
                if not numbers:
                    return
                for number in numbers:
                    if number in _SIGNALS:
                        self._note(number)
            if self.number is not None:
                self._look(time.monotonic())

    def _note(self, number: int) -> None:
        """A signal that arrived, also one that this thread raised itself."""
        now = time.monotonic()
        if now < self._echo_until:
            self._echo_until = 0.0
        elif self._first_at is None:
            self._first_at = now
            self._note_first(number)
        # `timeout` and closing terminals send the same signal twice in a row.
        elif now - self._first_at > (0.02 if number == signal.SIGINT else 1.0):
            self._end()

    def _note_first(self, number: int) -> None:
        """Keeps the first signal. Both threads come here for it, in any order, and do the same."""
        if self.number is None:
            self._since, self.number = time.monotonic(), number
            for event in _sections:
                self.heard = True
                event.set()

    def _look(self, now: float) -> None:
        """Whether the signal is being acted upon."""
        assert self.number is not None
        if not self._said and now - self._since > _SPEAKING_SECONDS:
            self._said = True
            _say(_FINISHING if _sections else _ENDING)
        if self.heard or _sections:
            return
        unwinding = _holds_interrupt(_exception_of(self._main))
        if now - self._since > (_UNWINDING_SECONDS if unwinding else _UNHEARD_SECONDS):
            self._end()
        if self.raised and not unwinding and now > self._retry_at:
            self._retry_at, self._echo_until = now + _SPEAKING_SECONDS, now + 2 * _LOOKING_SECONDS
            _thread.interrupt_main(signal.Signals(self.number))

    def _end(self) -> None:
        """Ends the program at once. Its worker processes end with it."""
        _say("interrupted." if self.number == signal.SIGINT else f"interrupted by {signal.Signals(self.number or 0).name}.")
        os._exit(self.status(130))


def _handled_by(handler: Callable[[int, Any], None]) -> dict[int, Any]:
    """Sets the handler of all signals that are not ignored. Returns the earlier ones."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def _restore(earlier: dict[int, Any]) -> None:
    for number, handler in earlier.items():
        signal.signal(number, handler)


def _exception_of(thread: int | None) -> BaseException | None:
    """The exception that a thread is handling."""
    found: Any = sys._current_exceptions().get(thread or 0)
    return found[1] if isinstance(found, tuple) else found  # Python 3.11 gives a tuple


def _holds_interrupt(error: BaseException | None) -> bool:
    """Whether an exception is a KeyboardInterrupt, or came up while one was handled."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _say(text: str) -> None:
    """Writes a line to standard error, and what was printed before it; waits no longer than a moment for the terminal."""
    _write(f"quickstudy: {text}\n")


def _write(text: str) -> None:
    def write() -> None:
        with suppress(Exception):
            sys.stdout.flush()
        with suppress(Exception):
            shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides the cursor
            sys.stderr.write(f"{shown}{text}")
            sys.stderr.flush()

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    writing.join(_SPEAKING_SECONDS)
