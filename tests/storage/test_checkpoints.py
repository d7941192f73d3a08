"""A checkpoint is taken in whole or not at all, whatever happened to its files."""

import hashlib
import json
import logging
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.checkpoints import Checkpoints

DESCRIPTION = {"algorithm": {"name": "rl2"}}
NOTES = {1: {"updates": 313, "seconds": 1.0}, 2: {"updates": 313, "seconds": 2.5}}


def state_of(number):
    """A small state with everything that a state may hold."""
    return {
        "weights": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) * number,
        "steps": jnp.asarray([number], jnp.int32),
        "done": jnp.asarray([True, False]),
        "half": jnp.asarray([number, 0.5], jnp.bfloat16),
        "nothing": jnp.zeros((2, 0)),
        "key": jax.random.key(number),
        "other key": jax.random.key(number, impl="rbg"),
        "scalar": jnp.float32(number),
    }


@pytest.fixture(scope="module")
def states():
    return {number: state_of(number) for number in (1, 2)}


@pytest.fixture(scope="module")
def written(states, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    checkpoints = Checkpoints(folder)
    for number, state in states.items():
        checkpoints.save(number, state, NOTES[number], DESCRIPTION)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "checkpoints")


def plain(state):
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(state)]


def taken_in(folder, states):
    """The number of the checkpoint that is taken in; fails if anything of it is not as it was written."""
    found = Checkpoints(folder).restore(state_of(0))
    if found is None:
        return None
    update, state, notes = found
    assert notes == NOTES[update]
    for came, wanted in zip(plain(state), plain(states[update]), strict=True):
        assert came.dtype == wanted.dtype
        np.testing.assert_array_equal(came, wanted)
    return update


def test_a_state_comes_back_bit_for_bit(folder, states):
    assert taken_in(folder, states) == 2
    _, state, _ = Checkpoints(folder).restore(state_of(0))
    assert jax.random.key_impl(state["other key"]) == jax.random.key_impl(states[2]["other key"])
    assert jax.random.bits(state["key"]) == jax.random.bits(states[2]["key"])


@pytest.mark.slow
def test_no_flipped_bit_is_taken_in(folder, states):
    """Hundreds of flips all over the files, none of which may change a number."""
    outcomes = {1: 0, 2: 0}
    for path in sorted((folder / "2").iterdir()):
        data = path.read_bytes()
        for bit in range(0, 8 * len(data), 3 if path.name == "SHA256SUMS" else 37):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            outcomes[taken_in(folder, states)] += 1
        path.write_bytes(data)
    assert outcomes[1] > 600
    assert outcomes[2] == 0


@pytest.mark.parametrize("name", ["state.safetensors", "notes.json", "SHA256SUMS"])
def test_no_truncated_emptied_or_removed_file_is_taken_in(folder, states, name, caplog):
    path = folder / "2" / name
    data = path.read_bytes()
    for length in sorted({0, 1, 7, 8, 9, len(data) // 2, len(data) - 1}):
        path.write_bytes(data[:length])
        assert taken_in(folder, states) == 1
    path.write_bytes(data + b"\0")
    assert taken_in(folder, states) == (2 if name == "SHA256SUMS" else 1)
    caplog.clear()
    path.unlink()
    assert taken_in(folder, states) == 1
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"The checkpoint {folder}/2 is damaged and is passed over: {name} is missing.",
        f"The run goes on from the checkpoint {folder}/1, which is whole.",
    ]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: [path.unlink(), os.mkfifo(path)], "not a regular file"),
        (lambda path: [path.unlink(), path.symlink_to("/dev/zero")], "not a regular file"),
        (lambda path: [path.unlink(), path.mkdir()], "directory"),
        (lambda path: os.truncate(path, 2**40), "bytes; at most"),
    ],
)
@pytest.mark.parametrize("name", ["state.safetensors", "notes.json", "SHA256SUMS"])
def test_only_regular_files_of_the_expected_size_are_read(folder, states, name, damage, says, caplog):
    damage(folder / "2" / name)
    assert taken_in(folder, states) == 1
    assert says in caplog.text


def test_where_no_checkpoint_is_whole_there_is_none(folder, caplog):
    for number in ("1", "2"):
        for path in (folder / number).iterdir():
            path.write_bytes(b"")
    assert Checkpoints(folder).restore(state_of(0)) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert f"{folder}/1 is damaged" in caplog.text


def forge(checkpoint, **changes):
    """Changes the notes of a checkpoint, with a digest that agrees."""
    path, sums = checkpoint / "notes.json", checkpoint / "SHA256SUMS"
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | changes))
    digests = [hashlib.sha256(data).hexdigest() for data in (before, path.read_bytes())]
    assert digests[0] in sums.read_text()
    sums.write_text(sums.read_text().replace(*digests))


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": {"updates": "many", "seconds": 1.0}},
        {"notes": {"updates": None, "seconds": float("inf")}},
        {"notes": {"updates": 3, "seconds": "x"}},
        {"notes": {"updates": -3, "seconds": 1.0}},
        {"notes": {"updates": 3.5, "seconds": 1.0}},
        {"notes": {"updates": True, "seconds": 1.0}},
        {"notes": []},
        {"notes": None},
        {"run": "rl2"},
        {"update": 3},
        {"format": 2},
    ],
)
def test_notes_of_other_types_are_passed_over(folder, states, changes, caplog):
    forge(folder / "2", **changes)
    assert taken_in(folder, states) == 1
    assert "2 is damaged and is passed over: notes.json" in caplog.text


def test_a_checkpoint_under_another_number_is_passed_over(folder, states):
    (folder / "2").rename(folder / "3")
    assert taken_in(folder, states) == 1


def test_a_whole_checkpoint_of_another_state_is_refused(folder):
    with pytest.raises(
        UsageError, match=r"checkpoints/2 holds another state .* \['steps'\] is int32\[1\] there, and float32\[1\] now"
    ):
        Checkpoints(folder).restore(state_of(0) | {"steps": jnp.zeros(1)})


def test_a_checkpoint_of_an_earlier_format_is_refused_in_one_line(folder):
    for path in (folder / "2").iterdir():
        path.unlink()
    (folder / "2" / "_CHECKPOINT_METADATA").write_text("{}")
    with pytest.raises(UsageError, match="has the format of an earlier version") as refused:
        Checkpoints(folder).restore(state_of(0))
    assert "\n" not in str(refused.value)


def test_two_are_kept_and_what_is_not_a_checkpoint_stays(folder, states):
    (folder / "mine").mkdir()
    checkpoints = Checkpoints(folder)
    checkpoints.restore(state_of(0))
    checkpoints.save(3, states[1], NOTES[1], DESCRIPTION)
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3", "mine"]
    assert checkpoints.latest() == 3


def test_a_damaged_checkpoint_is_written_again(folder, states):
    (folder / "2" / "notes.json").write_text("")
    checkpoints = Checkpoints(folder)
    assert checkpoints.restore(state_of(0))[0] == 1
    checkpoints.save(2, states[2], NOTES[2], DESCRIPTION)
    assert taken_in(folder, states) == 2


def test_the_description_comes_from_the_newest_checkpoint_that_holds_it(folder):
    forge(folder / "1", run={"algorithm": {"name": "older"}})
    assert Checkpoints(folder).description() == DESCRIPTION
    (folder / "2" / "notes.json").unlink()
    assert Checkpoints(folder).description() == {"algorithm": {"name": "older"}}
    (folder / "1" / "SHA256SUMS").unlink()
    assert Checkpoints(folder).description() is None
