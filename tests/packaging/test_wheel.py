"""The wheel as a user gets it: built from the checkout, installed into an empty environment, and used in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from quickstudy import algorithms
from quickstudy.evaluation.bench.rows import SHIPPED, load_groups
from quickstudy.evaluation.new_visitors import BUNDLE
from quickstudy.reports.visitors_section import HEADING

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "quickstudy"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# What belongs to the tests' own process would reach the commands otherwise.
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "XLA_FLAGS", "JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR")

QUICK = "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
"""One device, and programs that compile sooner: compiling is most of the time of these commands."""


def plain_environment(**more):
    """The environment of a shell in which no test runs."""
    return {name: value for name, value in os.environ.items() if name not in OURS} | more


def run(*words, cwd, **more):
    """What a command prints; it must end with status 0."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd, env=plain_environment(**more), capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def interpreter(version):
    """The Python of this version, or None; a name on the path that starts nothing does not count."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    asked = [found, "-c", "import ensurepip, sys, venv; print(sys.executable)"]
    answer = subprocess.run(asked, env=plain_environment(), capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The one wheel that serves every version."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two minutes on a free machine; it installs everything, and imports JAX six times
@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_brings_all_that_the_commands_need(version, wheel, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    files = {f"quickstudy/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.*") if path.suffix != ".pyc"}
    shown = ROOT / "bundles" / BUNDLE
    files |= {f"quickstudy/storage/shipped_bundles/{BUNDLE}/{path.name}" for path in shown.iterdir()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == files
    room, empty = tmp_path / "room", tmp_path / "empty"
    empty.mkdir()
    run(python, "-m", "venv", room, cwd=tmp_path)
    run(room / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    run(room / "bin" / "python", "-m", "pip", "check", cwd=tmp_path)

    def quickstudy(*words):
        own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200", "XLA_FLAGS": QUICK}
        return run(room / "bin" / "quickstudy", *words, cwd=empty, **own)

    listed = [line.split() for line in quickstudy("list").splitlines()]
    assert {words[0] for words in listed if words} > set(algorithms.ALGORITHMS)
    rows = quickstudy("bench", "list")
    assert all(entry.name in rows for group in load_groups(SHIPPED) for entry in group.entries)
    assert "no fault found" in quickstudy("check", "bernoulli-bandit", "--samples", "300")
    demo = ("demo", "--budget", "5s", "--arms", "2", "--pulls", "10", "--tasks", "100", "--visitors", "50")
    assert f"{HEADING}:" in quickstudy(*demo)
    page = empty / "runs" / "demo" / "report.html"
    assert page.is_file()
    page.unlink()
    assert str(page.relative_to(empty)) in quickstudy("report", "runs/demo")
    drawn = page.read_text()
    assert f"<h2>{HEADING}</h2>" in drawn
    styles = (PACKAGE / "reports" / "page.css").read_text().splitlines()
    assert {line.strip() for line in styles if line not in drawn} == {"LIGHT_SERIES", "DARK_SERIES"}  # places of the colours
    assert drawn.count("<svg") >= 2
    pictures = {path.suffix for path in (empty / "runs" / "demo" / "pictures").iterdir()}
    assert pictures == {".svg", ".png"}
    evaluation = json.loads((empty / "runs" / "demo" / "evaluation-test.json").read_text())
    assert {"rl2", "UCB1", "Gittins index"} < set(evaluation["results"])
    assert [path.name for path in empty.iterdir()] == ["runs"]
