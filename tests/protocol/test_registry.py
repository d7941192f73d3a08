"""Files of users: whatever is wrong with one is said in one line, with the number of the line in it."""

import json

import pytest

from quickstudy import algorithms, baselines, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.registry import resolve, settings_of
from quickstudy.storage.plain import to_plain

FAULTS = {
    "leaves at import": ("import sys\n\nsys.exit(0)\n", "make", "it ends the program (SystemExit: 0) (line 3)"),
    "raises at import": ("x = 1\nraise ValueError('two\\nlines')\n", "make", "ValueError: two lines (line 2)"),
    "does not parse": ("def make(:\n", "make", "SyntaxError: invalid syntax (mine.py, line 1)"),
    "leaves when called": ("def make():\n    raise SystemExit(3)\n", "make", "it ends the program (SystemExit: 3) (line 2)"),
    "raises when called": ("def make():\n    return f()\ndef f():\n    return {}['a']\n", "make", "KeyError: 'a' (line 4)"),
    "returns something else": ("def make():\n    return 5\n", "make", "or a HostDistribution; came int"),
    "needs an argument": ("def make(size):\n    pass\n", "make", "give every setting a default"),
    "not UTF-8": (b"x = 'caf\xe9'\n", "make", "SyntaxError"),
    "no such function": ("def male():\n    pass\n", "make", "Did you mean 'male'"),
    "stored nowhere": ("def make(*, table=object()):\n    pass\n", "make", "setting 'table' cannot be stored"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_a_users_file_is_one_line_with_its_place(case, tmp_path):
    content, function, expected = FAULTS[case]
    path = tmp_path / "mine.py"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        tasks.make(f"{path}:{function}")
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_without_a_function_names_those_that_there_are_and_is_not_run(tmp_path):
    path = tmp_path / "arm.py"
    path.write_text("raise SystemExit\ndef _private(): ...\ndef draw(): ...\ndef make(): ...\n")
    with pytest.raises(UsageError, match=rf"name a function of {path}, as in {path}:make. Functions in it: draw, make\."):
        tasks.make(str(path))
    with pytest.raises(UsageError, match=r"there is no file 'nowhere\.py'"):
        tasks.make("nowhere.py")


def test_an_algorithm_or_a_baseline_that_returns_something_else(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from quickstudy.algorithms.rl2 import RL2Config\ndef make(spec, config=RL2Config()):\n    return 5\n")
    spec = tasks.make("bernoulli-bandit").spec
    with pytest.raises(UsageError, match="must return a MetaAlgorithm; came int"):
        algorithms.make(f"{path}:make", spec)
    with pytest.raises(UsageError, match="must return an Agent; came int"):
        baselines.make(f"{path}:make", spec)


def test_names_of_tables_are_names_of_baselines():
    spec = tasks.make("bernoulli-bandit").spec
    for shown in ("UCB1", "Thompson sampling", "ε-greedy", "Gittins index"):
        assert baselines.make(shown, spec).spec == spec
    assert baselines.registered_name("LinUCB") == "linear-ucb"


def test_settings_of_a_users_file_come_back_as_they_were(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nimport enum\nfrom pathlib import Path\nfrom quickstudy import tasks\n"
        "class Mode(enum.Enum):\n    EASY = 1\n    HARD = 2\n"
        "def make(*, table: Path = Path('a.csv'), mode: Mode = Mode.EASY, sizes: tuple[int, ...] = (1,),\n"
        "         note: str | None = None):\n"
        "    assert isinstance(table, Path) and isinstance(mode, Mode) and isinstance(sizes, tuple), (table, mode, sizes)\n"
        "    return tasks.make('bernoulli-bandit', arms=2, pulls=len(sizes))\n"
    )
    made = tasks.make(f"{path}:make", mode="HARD", sizes=[1, 2, 3])
    assert made.config == {"table": "a.csv", "mode": "HARD", "sizes": (1, 2, 3), "note": None}
    assert made.spec.episodes == 3
    default = settings_of(resolve("task distribution", f"{path}:make", {}))["mode"].default
    assert tasks.make(f"{path}:make", mode=default).config["mode"] == "EASY"  # the file is loaded again: another `Mode`
    stored = json.loads(json.dumps(to_plain(made.config)))
    assert tasks.make(f"{path}:make", **stored).config == made.config
    with pytest.raises(UsageError, match="mode must be one of EASY, HARD; came 'MEDIUM'"):
        tasks.make(f"{path}:make", mode="MEDIUM")
