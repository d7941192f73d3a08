"""Signals: a section that is finished first, and commands that hear every signal; in small programs of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from quickstudy.training.interrupts import finish_on_interrupt, skip_on_interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_first_signal_sets_the_event_and_a_second_one_interrupts(number, capfd):
    earlier = signal.getsignal(number)
    with finish_on_interrupt() as interrupted:
        assert not interrupted.is_set()
        os.kill(os.getpid(), number)
        assert interrupted.wait(5)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012, as the signal may be handled a moment later
            os.kill(os.getpid(), number)
            time.sleep(5)
    assert signal.getsignal(number) is earlier
    assert capfd.readouterr().err.count("finishing the present update") == 1


def test_a_signal_that_is_ignored_stays_ignored():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with finish_on_interrupt() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted.wait(0.1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_what_may_be_skipped_is_skipped():
    with skip_on_interrupt():
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="else"), skip_on_interrupt():
        raise ValueError("something else")


COMMAND = """
    import ctypes, os, signal, sys, threading, time
    from quickstudy.training.interrupts import CommandInterrupts, finish_on_interrupt, skip_on_interrupt

    def ready():
        print("ready", flush=True)

    def wait_in_compiled_code():
        # For a lock that this thread holds itself; without Python's lock. No signal interrupts it.
        lock = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(lock)

    def command():
    {body}

    interrupts = CommandInterrupts(own_process=True)
    try:
        with interrupts:
            status = command() or 0
    except KeyboardInterrupt:
        print("interrupted")
        status = 130
    sys.exit(interrupts.finish(status))
"""
PHASES = {
    "python code": ("ready()\ntime.sleep(60)", "interrupted"),
    "an exception that Python drops": (
        """
        class Dropping:
            def __del__(self):
                ready()
                time.sleep(60)
        Dropping()
        while True: time.sleep(0.01)
        """,
        "interrupted",
    ),
    "code that swallows it": (
        """
        ready()
        try: time.sleep(60)
        except BaseException: pass
        while True: time.sleep(0.01)
        """,
        "interrupted",
    ),
    "closing that takes a second": (
        """
        try:
            ready()
            time.sleep(60)
        finally:
            time.sleep(1.2)
            print("closed")
        """,
        "closed\ninterrupted",
    ),
    "a section that is finished first": (
        """
        with finish_on_interrupt() as interrupted:
            ready()
            until = time.monotonic() + 1.5
            while time.monotonic() < until: time.sleep(0.01)
            assert interrupted.is_set()
        print("saved")
        return 130
        """,
        "saved",
    ),
    "a section that ends as if nothing had been": (
        "with finish_on_interrupt() as interrupted:\n    ready()\n    interrupted.wait(60)\nreturn 0",
        "",
    ),
    "an import within a part that may be skipped": (
        """
        import os, tempfile
        folder = tempfile.mkdtemp()
        with open(os.path.join(folder, "slowly_imported.py"), "w") as file:
            file.write("import time; print('ready', flush=True); time.sleep(1.0)")
        sys.path.append(folder)
        with skip_on_interrupt():
            import slowly_imported
            while True: time.sleep(0.01)
        print('the rest')
        """,
        "the rest",
    ),
    "a part that may be skipped": (
        "with skip_on_interrupt():\n    ready()\n    time.sleep(60)\ntime.sleep(1.0)\nprint('the rest')",
        "the rest",
    ),
    "handlers that another package set": (
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, lambda *_: sys.exit(7))
        with finish_on_interrupt() as interrupted:
            ready()
            interrupted.wait(60)
        """,
        "",
    ),
    "compiled code that gives the lock back": ("ready()\nwait_in_compiled_code()\nprint('not reached')", ""),
    "a thread that never ends": (
        "threading.Thread(target=time.sleep, args=(60,)).start()\nready()\ntime.sleep(60)",
        "interrupted",
    ),
}


def begun(body):
    """A program with this command, that has said that it is ready."""
    program = textwrap.dedent(COMMAND).format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    time.sleep(0.2)  # until it is where it stays
    return process


LONGER = ("closing that takes a second", "an import within a part that may be skipped")
"""Phases of more than a second in which a shorter one goes the same way."""


@pytest.mark.parametrize(
    ("number", "phase"),
    [pytest.param(signal.SIGINT, phase, marks=pytest.mark.slow if phase in LONGER else []) for phase in PHASES]
    + [(number, phase) for number in SIGNALS[1:] for phase in ("python code", "handlers that another package set")],
)
def test_a_signal_is_heard_in_every_phase(number, phase):
    body, printed = PHASES[phase]
    process = begun(body)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out.strip()) == (128 + number, printed)
    assert "Traceback" not in err


@pytest.mark.parametrize("phase", ["a section", "closing", "compiled code"])
def test_a_second_signal_ends_the_program_at_once(phase):
    forever = "until = time.monotonic() + 60\nwhile time.monotonic() < until: time.sleep(0.01)"
    body = {
        "a section": f"with finish_on_interrupt():\n    ready()\n{textwrap.indent(forever, '    ')}",
        "closing": f"try:\n    ready()\n    time.sleep(60)\nfinally:\n{textwrap.indent(forever, '    ')}",
        "compiled code": "ready()\nwait_in_compiled_code()",
    }[phase]
    process = begun(body)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert time.monotonic() - began < 3  # it takes milliseconds; other things run on this machine
    assert err == "quickstudy: interrupted.\n"


def test_the_same_signal_twice_in_a_row_is_one():
    """As `timeout` and terminals that close send them."""
    process = begun(
        "with finish_on_interrupt() as interrupted:\n    ready()\n    interrupted.wait(60)\n    time.sleep(0.5)\nprint('saved')"
    )
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "saved\n"
    assert process.returncode == 143


def test_what_takes_longer_is_answered_in_words():
    process = begun("with finish_on_interrupt() as interrupted:\n    ready()\n    interrupted.wait(60)\n    time.sleep(1.5)")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert err == "quickstudy: finishing the present update, then saving; a second Ctrl-C ends at once.\n"
