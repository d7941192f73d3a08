"""Files of anybody: regular files only, sizes known before reading, JSON within limits, UTF-8 whatever the locale."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quickstudy.protocol.errors import BundleError, UsageError
from quickstudy.storage.caches import cache_folder
from quickstudy.storage.reading import Limit, is_file, parse_json, read_file, read_json

ROOT = Path(__file__).parents[2]
SMALL = Limit(bytes=1000, values=50, depth=5)
NOT_JSON = {
    "nested too deeply": ("[" * 6 + "]" * 6, "nested more than 5 deep"),
    "nested without end": ("[" * 200_000, "values"),
    "too many values": ("[" + "1," * 60 + "1]", "it holds about 62 values, and 50 are allowed"),
    "NaN": ('{"a": NaN}', "NaN is no number of JSON"),
    "infinity": ("[-Infinity]", "-Infinity is no number of JSON"),
    "a float without end": ("[1e999]", "too large"),
    "a whole number without end": ("9" * 300, "does not fit into 64 bits"),
    "a key twice": ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
    "a byte that is no text": (b'["\xff"]', "not UTF-8"),
    "nothing": ("", "Expecting value"),
}


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_is_no_json_within_limits_is_refused(case):
    content, said = NOT_JSON[case]
    with pytest.raises(ValueError, match=said):
        parse_json(content, limit=SMALL)


def test_json_within_limits_is_parsed():
    text = '{"a": [1, -2.5, true, null, "[[[[[[[[ \\" {"], "b": {"ε": 18446744073709551615}}'
    assert parse_json(text.encode(), limit=SMALL) == {"a": [1, -2.5, True, None, '[[[[[[[[ " {'], "b": {"ε": 2**64 - 1}}
    assert parse_json("[NaN]", limit=SMALL, finite=False) != [1]


def test_files_that_are_not_regular_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (
        ("pipe", "a device, a pipe"),
        ("zeros", "a device, a pipe"),
        (".", "a folder"),
        ("loop", "cannot be read"),
    ):
        with pytest.raises(BundleError, match=said):
            read_file(tmp_path / name, what="card", most_bytes=10, refusal=BundleError)
        assert not is_file(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read as the card"):
        read_file("a\x00b", what="card", most_bytes=10)


def test_sizes_are_known_before_reading(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match="1,099,511,627,776 bytes; the card may have 1,000"):
        read_json(large, what="card", limit=SMALL)
    with large.open("wb") as file:
        file.write(b'{"a": 1')
        file.truncate(2**28)
    with pytest.raises(UsageError, match="of them are there"):
        read_file(large, what="card", most_bytes=2**30)


def test_a_file_that_does_not_begin_as_json_is_not_read_to_its_end(tmp_path):
    file = tmp_path / "zeros"
    file.write_bytes(b"\x00" * 3_000_000)
    assert len(read_file(file, what="card", most_bytes=10**9, begins=b"{")) == 2**20
    file.write_bytes(b" \n{" + b" " * 3_000_000)
    assert len(read_file(file, what="card", most_bytes=10**9, begins=b"{")) == 3_000_003


@pytest.mark.parametrize("folder", ["~/.cache/quickstudy", "/proc/nowhere/quickstudy", "/dev/null/quickstudy"])
def test_without_a_home_nothing_is_cached(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *a, **k: folder)
    assert cache_folder("compiled") is None
    assert not list(tmp_path.iterdir())


def test_a_cache_that_can_be_written_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder("compiled")
    assert folder.is_dir()
    assert tmp_path in folder.parents
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    assert cache_folder("compiled") is None


def test_files_are_utf_8_under_any_locale(tmp_path):
    (tmp_path / "some.json").write_bytes('{"name": "ε-greedy − RL²"}'.encode())
    code = (
        "import sys; from quickstudy.storage.reading import CARD, read_json;"
        "assert read_json(sys.argv[1], what='card', limit=CARD) == {'name': '\\u03b5-greedy \\u2212 RL\\u00b2'}"
    )
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::EncodingWarning", "-X", "warn_default_encoding", "-c", code, tmp_path / "some.json"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def without_encoding(source):
    """Calls that read or write text in the encoding of the locale."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        opens = name in ("open", "fdopen") and any(set(text) <= set("rwax+t") for text in texts)
        if (name in ("read_text", "write_text") or opens) and not any(one.arg == "encoding" for one in call.keywords):
            found.append(f"line {call.lineno}: {name}")
    return found


def test_every_file_is_read_and_written_with_its_encoding():
    for path in (ROOT / "src").rglob("*.py"):
        assert not without_encoding(path.read_text(encoding="utf-8")), path
    assert without_encoding("p.read_text()\nopen(p, 'a')\np.open('w')\np.open('wb')\nopen(p, 'r', encoding='utf-8')") == [
        "line 1: read_text", "line 2: open", "line 3: open",
    ]  # fmt: skip
