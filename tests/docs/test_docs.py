"""The documentation: links resolve, code runs, commands have these flags, and both walk-throughs give what they promise."""

import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types

import jax
import pytest

from docs.pages import (
    GENERATED,
    PAGES,
    ROOT,
    anchors,
    blocks,
    commands,
    excerpts,
    file_to_write,
    line_to_add,
    links,
    long_lines,
    small,
    small_command,
)
from quickstudy import algorithms, cli, tasks
from quickstudy.evaluation.bench.rows import SHIPPED, load_groups

AGENT, DISTRIBUTION = ROOT / "docs" / "add-an-agent.md", ROOT / "docs" / "add-a-task-distribution.md"
NAMES = {AGENT: "averages", DISTRIBUTION: "worn-locks"}
SUITES = {ROOT / "docs" / "bring-your-own-environment.md": "mujoco"}
"""Pages whose code needs a suite, and the module that it brings."""
ROWS = {entry.name for group in load_groups(SHIPPED) for entry in group.entries}


def name_of(page):
    return str(page.relative_to(ROOT))


def with_suites(pages):
    """Pages as parameters; those that need a suite run among its tests."""
    return [pytest.param(page, id=name_of(page), marks=marks_of(SUITES.get(page))) for page in pages]


def with_slow_pages(pages):
    """The same, where all pages but the README are slow tests: `make docs` runs them, and `make test-all`."""
    return [
        pytest.param(
            page,
            id=name_of(page),
            marks=[*marks_of(SUITES.get(page)), *([] if page.name == "README.md" else [pytest.mark.slow])],
        )
        for page in pages
    ]


def marks_of(suite):
    if suite is None:
        return []
    return [pytest.mark.suites, pytest.mark.skipif(importlib.util.find_spec(suite) is None, reason=f"{suite} is missing")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page):
    missing = [path for path, _ in links(page) if not (page.parent / path).exists()]
    assert not missing
    targets = [(page.parent / path if path else page, anchor) for path, anchor in links(page)]
    wrong = [anchor for target, anchor in targets if anchor and anchor not in anchors(target)]
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED], ids=name_of)
def test_lines_of_the_source_are_short(page):
    assert not long_lines(page, limit=160)


@pytest.mark.parametrize("page", with_slow_pages(page for page in PAGES if blocks(page, "python")))
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("examples", "bundles"):  # pages run in the folder of the clone
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = types.ModuleType("page_of_the_documentation")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page, "python"):
        # Line numbers of a failure are those of the page.
        code = compile("\n" * (block.line - 1) + small(block.text), page, "exec")
        exec(code, vars(module))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "py")], ids=name_of)
def test_excerpts_are_those_of_the_files(page):
    other = [f"{page.name}:{line}" for path, text, line in excerpts(page) if text not in (ROOT / path).read_text()]
    assert not other


def test_the_example_of_the_readme_is_short():
    lengths = [len(block.text.splitlines()) for block in blocks(ROOT / "README.md", "python")]
    assert lengths[0] <= 12
    assert len((ROOT / "README.md").read_text()) <= 9_000


def test_the_architecture_page_names_every_room():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.M)
    assert sorted(rows) == sorted(path.parent.name for path in (ROOT / "src" / "quickstudy").glob("*/__init__.py"))


@pytest.mark.parametrize("page", with_suites(page for page in PAGES if page not in NAMES and commands(page)))
def test_commands_parse(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    for words in commands(page):
        assert not [word for word in words if word.startswith("bundles/") and not (ROOT / word).is_dir()]
        if words[1] == "train" and "runs/" in words[3]:
            continue  # on a file that an earlier command of the page writes: the walk of the page runs it
        if words[1] == "train":
            rest = [word for word in words[2:] if not word.endswith(".toml") and word != "--config"]
            assert cli.main(["train", *rest, "--print-config"]) == 0, capsys.readouterr().err
            continue
        # Nothing is run: a flag is right if the help of the command names it.
        named = list(itertools.takewhile(lambda word: not word.startswith("-"), words[2:]))
        if words[1] == "bench":
            assert named[1:] == [name for name in named[1:] if name in ROWS]
        elif words[1] != "check":
            named = [word for word in named if not word.startswith("runs/")]
        with pytest.raises(SystemExit) as stop:
            cli.main([words[1], *named, "--help"])
        assert stop.value.code == 0
        flags = [word for word in words if word.startswith("--")]
        shown = capsys.readouterr().out
        assert [flag for flag in flags if not re.search(rf"{flag}\b", shown)] == []


def test_the_toml_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    (block,) = blocks(ROOT / "docs" / "runs.md", "toml")
    (tmp_path / "ten-arms.toml").write_text(block.text)
    assert cli.main(["train", "rl2", "bernoulli-bandit", "--config", str(tmp_path / "ten-arms.toml"), "--print-config"]) == 0
    assert "arms = 10" in capsys.readouterr().out


def snapshot(folder):
    """Every file below a folder, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def follow(page, copy):
    """Writes the file of a page and adds its line; returns the paths that changed."""
    before = snapshot(copy)
    path, text = file_to_write(page)
    assert not (copy / path).exists()
    (copy / path).write_text(text)
    path, after, line = line_to_add(page)
    table = (copy / path).read_text()
    assert table.count(after + "\n") == 1
    (copy / path).write_text(table.replace(after + "\n", f"{after}\n{line}\n"))
    now = snapshot(copy)
    return sorted(path for path in before | now if before.get(path) != now.get(path))


DRIVER = textwrap.dedent(
    """
    import json, sys, time, warnings
    import jax
    warnings.simplefilter("error")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    import quickstudy
    from quickstudy.cli import main
    print(quickstudy.__file__)
    for words in json.loads(sys.argv[1]):
        began = time.process_time()
        status = main(words[1:])
        print(f"{time.process_time() - began:.0f} s for", *words, flush=True)
        if status:
            sys.exit(f"{words} ended with status {status}")
    """
)


def run_in(copy, cwd, commands):
    """Runs command lines, one after the other in one process, against a copy of the package; returns what they print."""
    environment = os.environ | {
        "PYTHONPATH": str(copy / "src"),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "COLUMNS": "160",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(commands)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_walk_throughs_change_two_files_and_their_commands_run(tmp_path):
    """Both pages are carried out in a copy of the package."""
    copy, cwd = tmp_path / "copy", tmp_path / "work"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    cwd.mkdir()
    for page, shelf in ((AGENT, "algorithms"), (DISTRIBUTION, "tasks")):
        file, _ = file_to_write(page)
        assert follow(page, copy) == sorted([file, f"src/quickstudy/{shelf}/__init__.py"])
        shutil.copy(copy / file, cwd)  # what "without touching the package" asks for
    both = [
        [
            "quickstudy",
            "train",
            "averages",
            "worn-locks",
            "--budget",
            "3000 steps",
            "--lifetimes",
            "64",
            "--folder",
            "runs/both",
        ],
        ["quickstudy", "evaluate", "runs/both", "--tasks", "64"],
    ]
    given = [words for page in NAMES for words in commands(page) if words[1] != "list"]
    output = run_in(copy, cwd, [["quickstudy", "list"], *map(small_command, given), *both])
    assert str(copy) in output.splitlines()[0]
    for name in NAMES.values():
        assert re.search(rf"^  {name} ", output, re.M)
    assert output.count("no fault found") == 2
    evaluation = json.loads((cwd / "runs" / "both" / "evaluation-test.json").read_text())
    assert evaluation["results"]["averages"]["trained"]
    assert {"random", "greedy", "Thompson sampling"} < set(evaluation["results"])
    assert (cwd / "runs" / "rl2-worn-locks" / "report.html").is_file()


def test_the_names_of_the_walk_throughs_are_free():
    assert "averages" not in algorithms.ALGORITHMS
    assert "worn-locks" not in tasks.DISTRIBUTIONS


@pytest.mark.parametrize("page", NAMES, ids=name_of)
def test_the_files_of_the_walk_throughs_are_formatted_as_the_package(page):
    ruff = shutil.which("ruff", path=os.path.dirname(sys.executable))
    assert ruff is not None
    path, text = file_to_write(page)
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *arguments, "--no-cache", "--stdin-filename", path, "-"],
            cwd=ROOT, input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
