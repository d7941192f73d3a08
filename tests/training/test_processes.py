"""Several processes train as one does, the first alone writes, and the loss of one is told.

The second process runs in a folder of its own, so whatever it wrote would be seen there.
"""

import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import LostProcessError, UsageError
from quickstudy.storage.run_folder import read_metrics
from quickstudy.training import processes
from quickstudy.training.device_mesh import device_mesh
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.processes import ProcessesConfig, agreed, all_or_none, from_first, joined, naming_lost_processes
from training.two_processes import ended, free_address, started, with_devices

TINY = ["--arms", "2", "--pulls", "5", "--hidden-size", "8", "--lifetimes", "32", "--held-out-tasks", "16"]
COMMAND = "import sys; from quickstudy.cli import main; sys.exit(main())"
# The first process is stopped by the second, goes on to the end, and then begins where a run is already.
CHILD = """
import sys
import jax, numpy as np
from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.processes import ProcessesConfig, joined
number = int(sys.argv[6])
with joined(ProcessesConfig(processes=2, process_id=number, coordinator=sys.argv[4])):
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
    config = TrainingConfig(budget="640 steps", evaluation_seconds=0.0, held_out_tasks=16)
    stop = lambda progress: number == 1 and progress.update == 2
    assert not meta_train(algorithm, distribution, config, folder="run", watch=stop).finished
    run = meta_train(algorithm, distribution, config, folder="run", resume=True)
    np.savez("params.npz", *jax.tree.leaves(run.params), returns=[line["held_out_return"] for line in run.metrics])
    try:
        meta_train(algorithm, distribution, config, folder="run")
    except UsageError as error:
        print(run.steps, run.finished, run.folder, error)
"""


def folders(path):
    names = ("first", "second")
    for name in names:
        (path / name).mkdir()
    return [path / name for name in names]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_train_as_one_with_two_devices(tmp_path):
    first, second = folders(tmp_path)
    (status, out, err), (status_2, out_2, err_2) = ended(started(CHILD, folders=(first, second)), seconds=1500)
    assert (status, status_2) == (0, 0), err + err_2
    assert out == "640 True run run already exists. Go on with --resume, start again with --overwrite, or name another.\n"
    assert out_2.startswith("640 True None another process of this run refused to begin.")
    assert sorted(path.name for path in second.iterdir()) == ["params.npz"]
    assert [line["update"] for line in read_metrics(first / "run")] == [1, 2, 3, 4]

    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
    assert device_mesh(algorithm).size == 2
    config = TrainingConfig(budget="640 steps", evaluation_seconds=0.0, held_out_tasks=16)
    alone = meta_train(algorithm, distribution, config, folder=tmp_path / "alone")
    of_first, of_second = np.load(first / "params.npz"), np.load(second / "params.npz")
    for number, leaf in enumerate(jax.tree.leaves(alone.params)):
        np.testing.assert_array_equal(of_first[f"arr_{number}"], of_second[f"arr_{number}"])
        np.testing.assert_allclose(of_first[f"arr_{number}"], leaf, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_second["returns"][-1], alone.metrics[-1]["held_out_return"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_signal_to_one_process_saves_and_a_lost_one_is_told(tmp_path):
    first, second = folders(tmp_path)
    command = ["train", "rl2", "bernoulli-bandit", *TINY, "--folder", "run", "--budget", "1e9 steps"]

    def begun(*more, updates):
        both = started(COMMAND, *command, *more, folders=(first, second))
        until = time.monotonic() + 900
        while len(read_metrics(first / "run")) < updates and both[0].poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        return both

    both = begun(updates=2)
    both[1].send_signal(signal.SIGINT)
    (status, out, err), (status_2, out_2, _) = ended(both, seconds=300)
    assert (status, status_2) == (130, 130), err
    assert "Interrupted and saved. Go on in every process, each with its own --process-id, with:\n  quickstudy train rl2" in out
    assert out_2 == ""
    made = len(read_metrics(first / "run"))
    both = begun("--resume", updates=made + 1)
    both[1].kill()
    (status, out, err), _ = ended(both, seconds=300)
    assert status == 1, err
    assert "quickstudy: process 0 lost the connection to another process of this run (of 1), so the run ends; " in err
    named = re.search(r"the last good checkpoint is run/checkpoints/(\d+)\.", err)
    assert int(named[1]) >= made
    assert "--resume" in err
    assert list(second.iterdir()) == []


WAITS = """
import sys
from quickstudy.training import processes
processes._JOINING_SECONDS = 1
with processes.joined(processes.ProcessesConfig(processes=2, process_id=int(sys.argv[1]), coordinator=sys.argv[2])):
    print("joined")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_waits_in_vain_says_so(number):
    address = free_address()
    command = [sys.executable, "-c", WAITS, str(number), address]
    done = subprocess.run(command, env=with_devices(1), capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"quickstudy: process {number} waited 1 s for all 2 processes at {address}, and not all came. Start every one of them, "
        "each with its own --process-id, and let every host reach that port.\n"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"process_id": 1}, "process_id must be 0 with one process; came 1."),
        ({"processes": 2, "process_id": 2, "coordinator": "a:1"}, "process_id must be from 0 to 1; came 2."),
        ({"processes": 2}, "2 processes need a coordinator. Give --coordinator HOST:PORT of process 0 to all."),
        ({"processes": 2, "coordinator": "10.0.0.1"}, "coordinator must be HOST:PORT, such as 10.0.0.1:8476"),
        ({"processes": 2, "coordinator": "a:65536"}, "with a port below 65536; came 'a:65536'."),
        ({"processes": 2, "coordinator": "http://a:80"}, "coordinator must be HOST:PORT"),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(UsageError, match=said):
        ProcessesConfig(**settings)


def test_addresses():
    for address in ("10.0.0.1:8476", "head.example.org:1", "[::1]:8476"):
        assert ProcessesConfig(processes=2, coordinator=address).coordinator == address


def test_processes_are_joined_before_jax_starts():
    jax.devices()
    with (
        pytest.raises(UsageError, match="could not be joined"),
        joined(ProcessesConfig(processes=2, coordinator=free_address())),
    ):
        pass


def test_one_process_agrees_with_itself(key):
    assert agreed(True, 7, 0) == (1, 7, 0)
    tree = {"key": key}
    assert from_first(tree) is tree
    with pytest.raises(ZeroDivisionError):
        all_or_none(lambda: 1 / 0)


def test_of_several_processes_one_that_fails_lets_none_begin(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    told = []
    monkeypatch.setattr(processes, "agreed", lambda *values: told.append(values) or (1,))
    with pytest.raises(ZeroDivisionError):
        all_or_none(lambda: 1 / 0)
    with pytest.raises(UsageError, match="refused to begin"):
        all_or_none(lambda: 7)
    assert told == [(1,), (0,)]
    monkeypatch.setattr(processes, "agreed", lambda *values: values)
    assert all_or_none(lambda: 7) == 7


@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_computations_that_break_are_lost_processes_only_where_there_are_several(kind, monkeypatch):
    def told(message):
        with pytest.raises(Exception, match=message[:9]) as raised, naming_lost_processes(lambda: "nothing was saved"):
            raise kind(message)
        return raised.value

    closed = "UNKNOWN: Gloo AllGather failed: Connection closed by peer\nat a place"
    assert type(told(closed)) is kind
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    lost = told(closed)
    assert type(lost) is LostProcessError
    assert "(of 1, 2), so the run ends; nothing was saved. " in str(lost)
    assert str(lost).endswith("What JAX says: UNKNOWN: Gloo AllGather failed: Connection closed by peer")
    assert type(told("RESOURCE_EXHAUSTED: out of memory")) is kind
    assert type(told("shapes do not fit")) is kind


def test_every_process_has_as_many_devices_in_the_mesh(monkeypatch):
    def chosen(lifetimes):
        algorithm = algorithms.make("rl2", tasks.make("bernoulli-bandit").spec, lifetimes=lifetimes, minibatches=2)
        return device_mesh(algorithm).devices.tolist()

    of_process = [["a", "b"], ["c", "d", "e"]]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "local_devices", lambda process: of_process[process])
    monkeypatch.setattr("quickstudy.training.device_mesh.Mesh", lambda devices, *axes, **types: Named(devices))
    assert chosen(16) == ["a", "b", "c", "d"]
    assert chosen(12) == ["a", "c"]
    with pytest.raises(UsageError, match="2 processes cannot share 10 lifetimes evenly"):
        chosen(10)


class Named:
    """Stands in for a mesh of devices that are not there."""

    def __init__(self, devices):
        self.devices = devices
