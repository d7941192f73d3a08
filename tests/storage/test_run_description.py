"""A run goes on only under its own configuration and on its own tasks."""

import copy

import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.run_description import check_same_run, description_text, read_description

LEAF = {"type": "float32", "shape": [3, 1], "values": [0.25, 1e-30, float("nan")]}
STORED = {
    "algorithm": {"name": "rl2", "config": {"hidden_size": 8}},
    "distribution": {"name": "my_tasks.py:make", "config": {"arms": 2}},
    "training": {"budget": "5m", "seeds": 1, "checkpoint_seconds": 30.0},
    "spec": {"horizon": 5, "episodes": 2, "observation_space": {"kind": "Box", "low": [0.0] * 50}},
    "tasks": {"train.mean": LEAF, "train.best": {"type": "int32", "shape": [3], "values": [0, 1, 1]}},
    "files": {"my_tasks.py": "aa"},
    "versions": {"jax": "0.10.2"},
    "machine": {"cores": 2, "device": "cpu"},
}


def asked(**places):
    """What is asked for now: as it was stored, but for these places, as in `training__seeds=2`."""
    found = copy.deepcopy(STORED)
    for place, value in places.items():
        *folders, last = place.split("__")
        part = found
        for folder in folders:
            part = part[folder]
        part[last] = value
    return found


def test_the_same_run_goes_on(caplog):
    check_same_run(STORED, asked(training__checkpoint_seconds=1.0))
    check_same_run({part: STORED[part] for part in ("algorithm", "distribution", "training")}, asked())  # of an earlier version
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"algorithm__config": {"hidden_size": 16}}, "another configuration: hidden_size was 8, now 16."),
        ({"training__budget": "9m"}, "budget was '5m', now '9m'"),
        ({"spec__horizon": 7}, "another configuration: horizon was 5, now 7."),
        ({"spec__observation_space": {"kind": "Box", "low": [0.0] * 49}}, "observation_space was"),
        ({"tasks__train.best": STORED["tasks"]["train.best"] | {"values": [0, 1, 2]}}, "train.best of a task was 1, now 2."),
        (
            {"tasks__train.best": STORED["tasks"]["train.best"] | {"shape": [3, 2]}},
            r"train.best was int32\[3\], now int32\[3, 2\]",
        ),
        ({"tasks__train.more": LEAF}, "train.more is new"),
        ({"tasks": {"train.best": STORED["tasks"]["train.best"]}}, "train.mean is gone"),
        ({"tasks__train.mean": LEAF | {"values": [0.26, 1e-30, float("nan")]}}, "train.mean of a task was 0.25, now 0.26"),
    ],
)
def test_what_differs_is_named_in_one_line(change, says):
    with pytest.raises(UsageError, match=says) as refused:
        check_same_run(STORED, asked(**change))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_another_machine_may_round_otherwise(caplog):
    close = LEAF | {"values": [0.25 * (1 + 1e-6), 2e-30, float("nan")]}
    check_same_run(STORED, asked(**{"tasks__train.mean": close}, machine__device="gpu", machine__cores=9))
    (said,) = caplog.records
    assert "only up to rounding: device was 'cpu', now 'gpu'." in said.getMessage()


def test_another_text_of_the_tasks_is_said(caplog):
    check_same_run(STORED, asked() | {"files": {"my_tasks.py": "bb"}})
    assert "my_tasks.py changed since the run was started." in caplog.text


def test_a_description_without_its_parts_is_refused():
    with pytest.raises(UsageError, match="lacks algorithm, training"):
        check_same_run({"distribution": {}, "training": 3}, asked())


def test_flipped_bits_of_a_description_are_found(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(description_text(STORED))
    data = path.read_bytes()
    outcomes = []
    for bit in range(0, 8 * len(data), 11):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_description(tmp_path)
        except UsageError:
            outcomes.append("found")
        else:
            outcomes.append("harmless" if repr(found) == repr(STORED) else "taken in")
    assert "taken in" not in outcomes
    assert outcomes.count("found") > 0.9 * len(outcomes)


def test_a_description_of_an_earlier_version_has_no_digest(tmp_path):
    (tmp_path / "run.json").write_text('{"command": "train"}')
    assert read_description(tmp_path) == {"command": "train"}
