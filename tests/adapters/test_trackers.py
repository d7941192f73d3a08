"""Trackers hold exactly the points of a run: written by quickstudy, read back with what each tracker brings for reading."""

import hashlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evaluation.made_runs import make_run
from quickstudy.adapters.trackers import track
from quickstudy.protocol.errors import UsageError
from quickstudy.storage.folder_lock import FolderLock
from quickstudy.storage.metrics_file import MetricsFile
from reports.made_evaluation import made

pytestmark = [
    pytest.mark.suites,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow names it to SQLAlchemy 2.1
]
LINES, BEFORE = 150, 90
NAMES = ("tensorboard", "trackio", "mlflow", "wandb")


def values(update):
    """What line `update` holds of two seeds; numbers that 32 bits cannot hold exactly."""
    generator = np.random.default_rng(update)
    return {name: generator.normal(size=2).tolist() for name in ("loss", "entropy", "train_return", "held_out_return")}


def add(run, first, last):
    file = MetricsFile(run / "metrics.jsonl")
    for update in range(first, last + 1):
        file.append({"update": update, "steps": 2560 * update, "seconds": 0.37 * update} | values(update))


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "runs" / "one", [], note="x" * 50)
    add(run, 1, BEFORE)
    return run


def expected(last=LINES):
    """`{series: {measure: [(step, value)]}}`, worked out without the package."""
    found = {series: {} for series in ("seed-0", "seed-1", "mean")}
    for update in range(1, last + 1):
        for series, at in (("seed-0", 0), ("seed-1", 1), ("mean", None)):
            shared = {"update": float(update), "seconds": 0.37 * update}
            own = {name: sum(one) / 2 if at is None else one[at] for name, one in values(update).items()}
            for name, value in (shared | own).items():
                found[series].setdefault(name, []).append((2560 * update, value))
    return found


def read_tensorboard(address, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted((Path(address) / name).iterdir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        found[folder.name] = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found


def read_trackio(address, name):
    found = {}
    with sqlite3.connect(Path(address) / "quickstudy.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    database.close()
    for full, step, metrics in rows:
        begin, _, series = full.rpartition("/")
        for measure, value in json.loads(metrics).items() if begin == name else ():
            found.setdefault(series, {}).setdefault(measure, []).append((step, value))
    return found


def read_mlflow(address, name):
    from mlflow.tracking import MlflowClient

    client, found = MlflowClient(tracking_uri=address), {}
    experiment = client.get_experiment_by_name("quickstudy").experiment_id
    for run in client.search_runs([experiment]):
        begin, _, series = run.info.run_name.rpartition("/")
        if begin == name:
            history = {measure: client.get_metric_history(run.info.run_id, measure) for measure in run.data.metrics}
            found[series] = {measure: sorted((one.step, one.value) for one in all_) for measure, all_ in history.items()}
            assert run.data.params["algorithm.note"] == "x" * 50
    return found


def read_wandb(address, name):
    from wandb.proto.wandb_internal_pb2 import Record

    from quickstudy.adapters.trackers.wandb import _records

    found = {}
    for path in sorted(Path(address).glob("wandb/offline-run-*/*.wandb")):
        series = None
        for record in map(Record.FromString, _records(path.read_bytes())):
            if record.WhichOneof("record_type") == "run":
                begin, _, series = record.run.display_name.rpartition("/")
                assert begin == name
            for item in record.history.item:
                measure = ".".join(item.nested_key)
                if not measure.startswith("_"):
                    point = (record.history.step.num, json.loads(item.value_json))
                    found.setdefault(series, {}).setdefault(measure, []).append(point)
    return found


READERS = {"tensorboard": read_tensorboard, "trackio": read_trackio, "mlflow": read_mlflow, "wandb": read_wandb}


def address_of(to, folder):
    return f"sqlite:///{folder}/mlflow.db" if to == "mlflow" else str(folder / to)


def assert_same(found, wanted, *, bits):
    assert {series: set(measures) for series, measures in found.items()} == {
        series: set(measures) for series, measures in wanted.items()
    }
    for series, measures in wanted.items():
        for measure, points in measures.items():
            steps, numbers = zip(*found[series][measure], strict=True)
            assert steps == tuple(step for step, _ in points), (series, measure)
            exact = np.asarray([value for _, value in points])
            np.testing.assert_array_equal(np.asarray(numbers), exact.astype(np.float32) if bits == 32 else exact)


def cut_off(to, address):
    """Leaves a tracker as a process that was killed would leave it: the end of what it wrote is missing."""
    if to in ("tensorboard", "wandb"):
        for path in [*Path(address).rglob("*tfevents*"), *Path(address).rglob("*.wandb")]:
            os.truncate(path, path.stat().st_size * 3 // 4)
    elif to == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=address)
        for run in client.search_runs([client.get_experiment_by_name("quickstudy").experiment_id]):
            client.set_tag(run.info.run_id, "quickstudy.step", str(2560 * 40))  # the values after it are there, its tag is not


# The process of wandb may still write when the next call reads. So its case failed once in 25 runs, and it runs apart.
@pytest.mark.parametrize("to", [*NAMES[:-1], pytest.param("wandb", marks=pytest.mark.exhaustive)])
def test_a_tracker_holds_every_point_once(to, run, tmp_path):
    pytest.importorskip({"tensorboard": "tensorboard"}.get(to, to))
    address, bits = address_of(to, tmp_path), 32 if to == "tensorboard" else 64
    assert track(run, to=to, address=address).points == 3 * BEFORE
    assert_same(READERS[to](address, "one"), expected(BEFORE), bits=bits)
    cut_off(to, address)
    add(run, BEFORE + 1, LINES)
    assert track(run, to=to, address=address).points >= 3 * (LINES - BEFORE)
    assert track(run, to=to, address=address).points == 0
    assert_same(READERS[to](address, "one"), expected(), bits=bits)

    evaluation = made({"RL² (adapts)": 0.85, "random": 0.2}, trained=("RL² (adapts)",))
    evaluation.save(run)
    assert track(run, to=to, address=address).points == 1
    found = READERS[to](address, "one")["evaluation-test"]
    name = "RL2 _adapts_" if to == "mlflow" else "RL² (adapts)"
    stored = type(evaluation).load(run / "evaluation-test.json").results["RL² (adapts)"].lifetime_return
    ((step, value),) = found[f"lifetime_return/{name}"]
    assert (step, value) == (2560 * LINES, pytest.approx(stored.value, rel=1e-7))

    (run / "metrics.jsonl").unlink()
    MetricsFile(run / "metrics.jsonl").append({"update": 1, "steps": 2560, "seconds": 0.5} | values(7))
    if to == "wandb":  # which tells runs apart by their identity
        assert track(run, to=to, address=address).points > 0
        return
    with pytest.raises(UsageError, match="another run that is named 'one'"):
        track(run, to=to, address=address)
    assert track(run, to=to, address=address, name="two").points > 0
    assert_same({"mean": READERS[to](address, "one")["mean"]}, {"mean": expected()["mean"]}, bits=bits)


def test_tensorboard_shows_the_settings(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(run, to="tensorboard", address=str(tmp_path))
    events = EventAccumulator(str(tmp_path / "one" / "seed-1")).Reload()
    (text,) = events.Tensors("settings/text_summary")
    assert f"algorithm.note = {'x' * 50}" in text.tensor_proto.string_val[0].decode()


def test_addresses_of_mlflow_that_do_not_fit_are_refused(run, tmp_path):
    (tmp_path / "broken.db").write_bytes(b"no database " * 100)
    for address, said in (
        ("mlflow.db", "begins with sqlite:///"),
        (f"sqlite:///{tmp_path}", "is a folder"),
        (f"sqlite:///{tmp_path}/broken.db", "MLflow cannot use"),
    ):
        with pytest.raises(UsageError, match=said) as refused:
            track(run, to="mlflow", address=address)
        assert "\n" not in str(refused.value)


def test_ctrl_c_ends_following_and_the_next_command_goes_on(run, tmp_path):
    lock = FolderLock.take(run)
    line = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
    words = ["track", str(run), "--follow", "--address", str(tmp_path / "shown")]
    process = subprocess.Popen([*line, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("Following ")
        add(run, BEFORE + 1, BEFORE + 5)
        until = time.monotonic() + 120
        while _last_step(tmp_path / "shown") < 2560 * (BEFORE + 5) and time.monotonic() < until:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)
    finally:
        process.kill()
        lock.release()
    assert process.returncode == 130, said
    assert said[1] == "quickstudy: interrupted.\n"
    assert_same(read_tensorboard(tmp_path / "shown", "one"), expected(BEFORE + 5), bits=32)
    add(run, BEFORE + 6, LINES)
    assert track(run, to="tensorboard", address=str(tmp_path / "shown")).points == 3 * (LINES - BEFORE - 5)
    assert_same(read_tensorboard(tmp_path / "shown", "one"), expected(), bits=32)


def test_offline_runs_of_one_second_are_found(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import HistoryRecord, HistoryStep, Record

    from quickstudy.adapters.trackers.tracked_run import TrackedRun
    from quickstudy.adapters.trackers.wandb import open_wandb

    run = TrackedRun(name="one", project="study", identity="abc", settings={}, began=0.0)
    tracker = open_wandb(run, str(tmp_path))
    key = "abc-" + hashlib.sha256(b"one/mean").hexdigest()[:8]
    for suffix, step in (("", 5), ("-1", 8)):  # wandb adds the number where two runs begin in the same second
        record = Record(history=HistoryRecord(step=HistoryStep(num=step))).SerializeToString()
        folder = tmp_path / "wandb" / f"offline-run-20261129_234435-{key}{suffix}"
        folder.mkdir(parents=True)
        (folder / f"run-{key}.wandb").write_bytes(bytes(7) + struct.pack("<IHB", 0, len(record), 1) + record)
    assert tracker.last_step("mean") == 8
    assert tracker.last_step("seed-0") < 0


def _last_step(folder):
    found = read_tensorboard(folder, "one") if (folder / "one" / "mean").is_dir() else {}
    return found.get("mean", {}).get("update", [(0, 0.0)])[-1][0]
