"""How the source may look: the rooms and their imports, what is public, how long and how deep files are.

Each rule is tried on a small package that breaks it, so that a rule which finds nothing any more is noticed.
"""

import importlib
import pkgutil
from pathlib import Path

import pytest

import quickstudy
from structure import (
    Package,
    calls_of_lapack,
    circles,
    deep_files,
    folders_without_source,
    imports_against_the_table,
    long_files,
    median_length,
    missing_from_all,
    rows_out_of_order,
    undefined_names,
    wrong_rooms,
)

SOURCE = Path(quickstudy.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
EXAMPLES = sorted((TESTS.parent / "examples").glob("*.py"))
ROOMS = {
    "protocol": (),
    "numerics": ("protocol",),
    "networks": ("protocol", "numerics"),
    "programs": ("protocol",),
    "rollout": ("protocol", "numerics", "programs"),
    "baselines": ("protocol", "numerics", "networks"),
    "algorithms": ("protocol", "numerics", "networks", "rollout", "baselines"),
    "tasks": ("protocol", "numerics", "networks", "rollout", "baselines"),
    "storage": ("protocol", "rollout", "algorithms", "tasks"),
    "fitting": ("protocol", "numerics"),
    "training": ("protocol", "numerics", "rollout", "storage"),
    "evaluation": ("protocol", "numerics", "networks", "rollout", "baselines", "algorithms", "tasks", "storage", "training"),
    "serving": ("protocol", "numerics", "rollout", "storage"),
    "reports": ("protocol", "numerics", "algorithms", "tasks", "storage", "fitting", "evaluation"),
    "export": ("protocol", "numerics", "programs", "rollout", "storage"),
    "dashboard": ("protocol", "rollout", "storage", "training", "evaluation", "serving"),
    "adapters": ("protocol", "numerics", "rollout", "baselines", "storage", "evaluation", "serving"),
    "cli": (
        "protocol",
        "rollout",
        "baselines",
        "algorithms",
        "tasks",
        "storage",
        "fitting",
        "training",
        "evaluation",
        "serving",
        "reports",
        "export",
        "dashboard",
        "adapters",
    ),
}
"""Each room, and the rooms that it may import. A row names rooms above it only, so rooms form no circle."""
TEST_FOLDERS = ("docs", "golden", "laws", "learning", "packaging")
"""Folders of tests that look at the whole package rather than at one room."""
LIMIT_LINES = 350
LIMIT_MEDIAN_LINES = 150
LIMIT_DEPTH = 3


@pytest.fixture(scope="module")
def package():
    return Package(SOURCE)


def small_package(folder, **sources):
    """A package `small` from the sources of its modules, as `room__module`."""
    (folder / "small").mkdir(parents=True)
    for name, source in {"__init__": "", **sources}.items():
        path = folder / "small" / f"{name.replace('__', '/', 1) if name != '__init__' else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return Package(folder / "small")


def test_the_root_holds_rooms_and_nothing_else(package):
    assert not wrong_rooms(package, ROOMS)


def test_a_file_at_the_root_and_an_empty_room_are_found(tmp_path):
    small = small_package(tmp_path, low__a="", stray="")
    assert wrong_rooms(small, {"low": (), "high": ("low",)}) == ["stray is no room", "high is a room without files"]


def test_rows_name_rooms_above_them():
    assert not rows_out_of_order(ROOMS)
    assert rows_out_of_order({"low": ("high",), "high": ("low",)}) == ["low may not name high, which does not stand above it"]


def test_imports_keep_to_the_table(package):
    assert not imports_against_the_table(package, ROOMS)


@pytest.mark.parametrize(
    "source",
    [
        "import small.high.b",
        "from small.high import b",
        "from small import high",
        "from ..high.b import thing",
        "def f():\n    from small.high.b import thing",
        "TABLE = {'b': 'small.high.b:thing'}",
        "import_module('small.high.b')",
    ],
)
def test_every_kind_of_import_upwards_is_found(tmp_path, source):
    small = small_package(tmp_path, low__a=source, high____init__="", high__b="thing = 1")
    (complaint,) = imports_against_the_table(small, {"low": (), "high": ("low",)})
    assert complaint.startswith("low.a imports high")
    assert complaint.endswith("low may import no room")


def test_strings_that_name_no_module_are_no_imports(tmp_path):
    small = small_package(tmp_path, low__a="'small.high.b is a file'\n'large.high.b'", high__b="")
    assert small.imports["low.a"] == set()


def test_no_module_imports_itself_through_others(package):
    assert not circles(package)


def test_circles_are_found(tmp_path):
    within = "def f():\n    from small.room import c"
    small = small_package(
        tmp_path, room__a="from small.room import b", room__b=within, room__c="import small.room.a", room__d=""
    )
    assert circles(small) == ["room.a <-> room.b <-> room.c"]


def test_a_table_may_name_files_that_do_not_import_it(tmp_path):
    table = {"room____init__": "TABLE = {'a': 'small.room.a:make'}"}
    lazy = small_package(tmp_path / "lazy", **table, room__a="from small.room.b import x", room__b="x = 1")
    assert lazy.imports["room"] == {"room.a"}
    assert not circles(lazy)
    back = small_package(tmp_path / "back", **table, room__a="from small.room import TABLE")
    assert circles(back) == ["room <-> room.a"]


def test_files_are_short_and_shallow():
    assert not long_files(FILES + EXAMPLES, limit=LIMIT_LINES)
    assert median_length(FILES) <= LIMIT_MEDIAN_LINES
    assert not deep_files(FILES + EXAMPLES, limit=LIMIT_DEPTH)


def test_long_and_deep_files_are_found(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("def f():\n    def g():\n        return 0\n")
    assert long_files([path], limit=2) == [f"{path} has 3 lines; at most 2 are allowed"]
    assert not long_files([path], limit=3)
    assert median_length([path]) == 3
    assert deep_files([path], limit=1) == [f"{path} nests 2 functions; at most 1 are allowed"]
    assert not deep_files([path], limit=2)


def test_tests_mirror_the_source():
    assert not folders_without_source(TESTS, SOURCE, own=TEST_FOLDERS)


def test_a_folder_that_mirrors_nothing_is_found(tmp_path):
    root = small_package(tmp_path, low__a="").root
    for folder in ("low", "laws", "gone"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_a.py").touch()
    assert folders_without_source(tmp_path / "tests", root, own=("laws",)) == ["tests/gone mirrors no folder of small"]


def test_public_names_are_exact():
    names = ["quickstudy"] + [f"quickstudy.{m.name}" for m in pkgutil.iter_modules([str(SOURCE)]) if m.ispkg]
    for name in names:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", [])
        assert list(public) == sorted(public), f"{name}.__all__ is not sorted"
        missing = [attribute for attribute in public if not hasattr(module, attribute)]
        assert not missing, f"{name}.__all__ names {missing}, which are not there"


def test_all_lists_what_a_file_defines():
    assert not [complaint for path in FILES for complaint in missing_from_all(path)]


def test_nothing_calls_lapack():
    assert not [complaint for path in FILES for complaint in calls_of_lapack(path)]


def test_every_name_is_defined():
    assert not [complaint for path in FILES + EXAMPLES for complaint in undefined_names(path)]


@pytest.mark.parametrize(
    ("rule", "source", "found"),
    [
        (missing_from_all, "__all__ = ['f']\ndef f(): ...\ndef g(): ...\n", "does not list g"),
        (calls_of_lapack, "import jax.numpy as jnp\njnp.linalg.solve\n", "names jnp.linalg.solve"),
        (undefined_names, "def f(x: Float[Array, ' t']):\n    return y\n", "uses y"),
    ],
)
def test_what_breaks_a_rule_of_names_is_found(tmp_path, rule, source, found):
    path = tmp_path / "a.py"
    path.write_text(source)
    assert f"{path} {found}" in rule(path)


def test_one_worker_runs_the_tests_of_a_file(request):
    """pytest-xdist marks groups in the names of tests. With a pytest that it does not know, it would spread them silently."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@test_structure.py")
