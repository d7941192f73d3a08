"""Commands as people run them: signals, readers that leave, terminals that are closed."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from quickstudy.storage.run_folder import read_metrics

COMMAND = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
TINY = ["--arms", "2", "--pulls", "5", "--hidden-size", "8", "--lifetimes", "16", "--held-out-tasks", "16", "--seeds", "1"]
TRAIN = [*COMMAND, "train", "rl2", "bernoulli-bandit", *TINY]
LONG, SHORT = ["--budget", "1e9 steps"], ["--budget", "1e4 steps"]


def begun(folder, *more, updates=2, **streams):
    """A training command that has made so many updates."""
    process = subprocess.Popen([*TRAIN, "--folder", str(folder), *more], text=True, **streams)
    until = time.monotonic() + 300
    while len(read_metrics(folder)) < updates and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return process


def pipes():
    return {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.mark.parametrize("phase", ["Python has started", "JAX is imported"])
def test_a_command_that_imports_is_ended_without_a_traceback(phase):
    """Compiled modules print exceptions that come up while they are imported; so none may come up."""
    announced = "import builtins; real = builtins.__import__\n" if phase == "JAX is imported" else ""
    announced += (
        "def told(name, *rest):\n    if name == 'jax': print('now', flush=True)\n    return real(name, *rest)\n"
        "builtins.__import__ = told\n"
        if announced
        else "print('now', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", announced + COMMAND[2], "list"], text=True, **pipes())
    assert process.stdout.readline() == "now\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "quickstudy: interrupted.\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_training_is_saved_and_goes_on_where_it_was(number, tmp_path):
    process = begun(tmp_path / "run", *LONG, **pipes())
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    assert "Interrupted and saved. Go on with:\n  quickstudy train rl2" in out
    made = len(read_metrics(tmp_path / "run"))
    again = begun(tmp_path / "run", *LONG, "--resume", updates=made + 1, **pipes())
    again.kill()
    again.communicate()
    updates = [line["update"] for line in read_metrics(tmp_path / "run")]
    assert len(updates) > made
    assert updates == list(range(1, len(updates) + 1))


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_end_training(tmp_path):
    process = begun(tmp_path / "run", *SHORT, updates=0, **pipes())
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(300), err) == (0, "")
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_training_in_order(tmp_path):
    """The panel writes to a terminal that is gone, and the run is saved all the same."""
    ours, theirs = pty.openpty()
    closing = threading.Event()

    def read():
        while not closing.is_set():
            if select.select([ours], [], [], 0.05)[0]:
                os.read(ours, 65536)

    reading = threading.Thread(target=read)
    reading.start()
    process = begun(tmp_path / "run", *LONG, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    closing.set()
    reading.join()
    os.close(theirs)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    assert list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.slow
def test_skipping_the_baselines_leaves_the_trained_agent(tmp_path):
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [*TRAIN, *SHORT, "--folder", str(tmp_path / "run")]
    process = subprocess.Popen(command, text=True, env=cache, **pipes())
    while "measuring" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "Trained:" in out
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()
