"""Readouts of strangers: each is refused in one line or works, and its sizes are compared before anything is made of them."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import hostile
from quickstudy.evaluation.belief_probe.probe import QUANTILES, Readout, Standardisation
from quickstudy.evaluation.belief_probe.storage import load_readout, save_readout
from quickstudy.evaluation.belief_probe.targets import TaskParameter
from quickstudy.networks.layers import Perceptron
from quickstudy.protocol.errors import BundleError

LONGEST_LINE = 2000


def made():
    """A small readout: a real parameter of two numbers, and one of three choices."""
    key = jax.random.key(0)
    unit = lambda size: Standardisation(mean=jnp.zeros(size), deviation=jnp.ones(size))  # noqa: E731
    return Readout(
        features=unit(5),
        observations=unit(2),
        parameters=unit(2),
        outcomes=unit(3),
        parameter_network=Perceptron(5, (8,), 7, gain=1.0, key=key),
        outcome_network=Perceptron(9, (8, 4), 6, gain=1.0, key=key),
        deviation_scale=jnp.ones(2),
        step_scores=jnp.arange(QUANTILES, dtype=jnp.float32),
        last_steps_scores=jnp.arange(QUANTILES, dtype=jnp.float32),
        task_scores=jnp.arange(QUANTILES, dtype=jnp.float32),
        named=(
            TaskParameter(name="wind", size=2, choices=None),
            TaskParameter(name="goal", size=1, choices=((0,), (1,), (3,))),
        ),
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Header and numbers of a sound file."""
    path = tmp_path_factory.mktemp("sound") / "readout.safetensors"
    save_readout(path, made())
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def said_of(path):
    """The one line that refuses a readout; None where it works."""
    try:
        readout = load_readout(path)
    except BundleError as error:
        line = str(error)
        assert "\n" not in line
        assert "\x1b" not in line
        assert 0 < len(line) < LONGEST_LINE
        return line
    estimates = jax.eval_shape(lambda: readout.estimate(jnp.zeros(readout.features.mean.shape)))
    assert set(estimates) == {one.name for one in readout.named}
    return None


def with_metadata(parts, **texts):
    header, numbers = parts
    return hostile.joined(header | {"__metadata__": header["__metadata__"] | texts}, numbers)


def test_a_readout_comes_back(tmp_path):
    path = tmp_path / "readout.safetensors"
    save_readout(path, made())
    back = load_readout(path)
    assert eqx.tree_equal(back, made())
    assert back.named == made().named


RAW = {
    "no names": {"named": "[]"},
    "names that do not parse": {"named": "{"},
    "names that are null": {"named": "null"},
    "names that are numbers": {"named": "[1]"},
    "no networks": {"networks": "[]"},
    "one network": {"networks": "[[5, 8, 7]]"},
    "networks nested 100 000 deep": {"networks": "[" * 100_000},
    "widths that are text": {"networks": '[["a", 8, 7], [9, 8, 4, 6]]'},
    "widths that are negative": {"networks": "[[-5, 8, 7], [9, 8, 4, 6]]"},
    "widths that are NaN": {"networks": "[[NaN, 8, 7], [9, 8, 4, 6]]"},
    "networks of gigabytes": {"networks": "[[5, 30000, 60000, 7], [9, 30000, 60000, 6]]"},
    "networks beyond limits": {"networks": "[[5, 10000000000, 7], [9, 8, 4, 6]]"},
    "a network of a thousand layers": {"networks": f"[[5, {'8, ' * 1000} 7], [9, 8, 4, 6]]"},
    "an older format": {"format": "1"},
    "a later format": {"format": "3"},
    "one name twice": {"named": json.dumps([{"name": "wind", "size": 2, "choices": None}] * 2)},
    "choices of another size": {"named": json.dumps([{"name": "goal", "size": 1, "choices": [[0, 1]]}])},
    "no choices": {"named": json.dumps([{"name": "goal", "size": 1, "choices": []}])},
    "a size of 10^12": {"named": json.dumps([{"name": "goal", "size": 10**12, "choices": None}])},
    "names of escapes": {"named": json.dumps([{"name": "\x1b[2J", "size": -1, "choices": None}])},
}


@pytest.mark.parametrize("case", RAW)
def test_a_header_that_is_changed_is_refused_in_one_line(case, parts, tmp_path):
    path = tmp_path / "readout.safetensors"
    path.write_bytes(with_metadata(parts, **RAW[case]))
    assert said_of(path) is not None


def test_a_header_that_is_changed_at_any_place_is_refused_in_one_line_or_works(parts, tmp_path):
    header, numbers = parts
    path, tried, refused = tmp_path / "readout.safetensors", 0, 0

    def attempt(content):
        nonlocal tried, refused
        path.write_bytes(content)
        tried, refused = tried + 1, refused + (said_of(path) is not None)

    for field in ("named", "networks"):
        for _, _, changed in hostile.mutated_cards(json.loads(header["__metadata__"][field])):
            attempt(with_metadata(parts, **{field: json.dumps(changed)}))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for at in list(hostile.places(tensors))[::7]:
        for value in hostile.VALUES.values():
            attempt(hostile.joined(hostile.put(header, at, value), numbers))
    assert tried > 400
    assert refused > 0.9 * tried


def test_files_that_are_no_readout_are_refused(parts, tmp_path):
    header, numbers = parts
    contents = {
        "numbers that are not finite": hostile.joined(header, b"\xff" * len(numbers)),
        "a file that is cut off": hostile.joined(header, numbers[:-8]),
        "bytes behind it": hostile.joined(header, numbers + b"\x00"),
        "an array that is missing": hostile.joined({k: v for k, v in header.items() if "deviation_scale" not in k}, numbers),
        "a pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
        "nothing": b"",
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert said_of(path) is not None, name
    path = tmp_path / "missing" / "readout.safetensors"
    assert "cannot be read as the readout" in said_of(path)
    (tmp_path / "zeros").symlink_to("/dev/zero")
    assert "a device" in said_of(tmp_path / "zeros")
