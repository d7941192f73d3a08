"""`quickstudy export`: what it writes and says, what it refuses, and what it makes of names from strangers."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

import hostile
from export.c_function import needs_gcc, run_c
from quickstudy import cli
from quickstudy.export.contract import in_a_comment

BUNDLES = Path(__file__).parents[2] / "bundles"
QUICK = "quick-n10-k5"
NAME = 'a""" \x1b[2J[red]\n\\ \u202e'
"""A name that would end a text, steer a terminal, and turn letters around."""


def run(*words, capsys):
    status = cli.main(["export", *map(str, words)])
    return status, *capsys.readouterr()


def test_the_command_writes_checks_and_says_so(capsys, tmp_path):
    folder = tmp_path / "agent"
    status, said, _ = run(BUNDLES / QUICK, "--to", "numpy", "--check", 200, "--bench", "--folder", folder, capsys=capsys)
    assert status == 0
    assert "largest deviation of policy.logits, 200 steps" in said
    assert "an empty call in the same run" in said
    assert "counted multiply-adds: decision, adaptation" in said
    assert "counted nJ: decision, adaptation" in said
    report = json.loads((tmp_path / "agent" / "report.json").read_text())
    assert report["target"] == "numpy"
    assert report["latency"]["median"] > report["latency"]["empty_median"] > 0


def test_matrices_of_eight_bits_are_asked_for_and_shown(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, said, _ = run(BUNDLES / QUICK, "--quantize", "int8", "--check", 100, capsys=capsys)
    assert status == 0
    assert "largest change of the policy by" in said
    contract = json.loads((tmp_path / "exported" / f"{QUICK}-numpy-int8" / "contract.json").read_text())
    assert contract["weights"]["matrices"] == "int8"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--to", "c", "--quantize", "fp16"), 2, "C99 has no numbers of 16 bits"),
        (("--quantize", "int4"), 2, "int4"),
        (("--to", "fortran"), 2, "fortran"),
        (("--check", "-1"), 2, "check must be 0 or more; came -1"),
        (("--check", "2147483647"), 2, "comparing 2,147,483,647 steps needs about"),
        (("--seed", "7"), 2, "seed"),
        (("--folder", "{file}"), 2, "is not a folder. Name another with --folder."),
        (("--folder", "{file}/deeper"), 2, "is not a folder"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_before_anything_is_traced(
    words, status, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("QUICKSTUDY_MEMORY_GB", "1")
    monkeypatch.setattr("quickstudy.export.export.step_programs", None)
    (tmp_path / "file").write_text("mine")
    words = [word.format(file=tmp_path / "file") for word in words]
    came, out, err = run(BUNDLES / QUICK, *words, capsys=capsys)
    assert (came, out, err.count("\n")) == (status, "", 1), err
    assert said in err


def test_an_agent_that_cannot_be_exported_is_one_line(capsys, tmp_path):
    status, _, err = run(BUNDLES / "pendulum-maml", "--to", "c", "--folder", tmp_path / "agent", capsys=capsys)
    assert (status, err.count("\n")) == (1, 1)
    assert "adapts by a computation on" in err
    assert not (tmp_path / "agent").exists()


class Without:
    """Finds no package of one name, as if it were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(("to", "missing"), [("onnx", "onnx"), ("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_without_the_extra_one_line_says_what_to_install(to, missing, capsys, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, missing, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(missing), *sys.meta_path])
    status, out, err = run(BUNDLES / QUICK, "--to", to, "--folder", tmp_path / "agent", capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith(f"pip install 'quickstudy[{to}]'\n")
    assert not (tmp_path / "agent").exists()


no_onnx = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed")
no_litert = pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")


@pytest.mark.parametrize(
    "to",
    [
        "numpy",
        pytest.param("c", marks=needs_gcc),
        pytest.param("onnx", marks=[no_onnx, pytest.mark.suites]),
        pytest.param("litert", marks=[no_litert, pytest.mark.suites]),
    ],
)
def test_a_name_is_never_code(to, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLES / QUICK, tmp_path / NAME)
    status, out, err = run(NAME, "--to", to, "--check", 50, capsys=capsys)
    assert status == 0, err
    assert "\x1b" not in out
    assert "\u202e" not in out
    (folder,) = (tmp_path / "exported").iterdir()
    assert folder.name.isprintable()
    contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
    assert contract["bundle"]["name"].isprintable()
    source = (folder / ("agent.c" if to == "c" else "agent.py")).read_text(encoding="utf-8")
    assert "a___ _x1b_2J_red__n_ _u202e (rl2), seed 0, exported by quickstudy" in source.splitlines()[0]
    if to == "c":
        program = '#include "agent.h"\nint main(void) { agent_state state; agent_begin(&state); return state.decided; }\n'
        assert run_c(program, folder, folder) == ""


def test_a_comment_cannot_be_ended():
    assert in_a_comment('x.py:make */ int main() {} """\n# \\') == "x.py:make _/ int main() __ _____ _"


def test_no_file_that_a_bundle_names_is_run(capsys, tmp_path):
    trap, ran = tmp_path / "a trap.py", tmp_path / "ran"
    trap.write_text(f"open({str(ran)!r}, 'w')\n\ndef make(*given, **named):\n    raise SystemExit(3)\n")
    for at, expected in ((("distribution", "name"), 0), (("algorithm", "name"), 2)):
        folder = shutil.copytree(BUNDLES / QUICK, tmp_path / at[0])
        hostile.card_with(at, f"{trap}:make")(folder)
        status, _, err = run(folder, "--check", 50, "--folder", tmp_path / f"{at[0]} exported", capsys=capsys)
        assert (status, err.count("\n")) == (expected, expected // 2), err
        assert not ran.exists()
