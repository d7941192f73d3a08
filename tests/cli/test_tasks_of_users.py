"""Task files as users write them: every command works on them, and says whether the agent adapts."""

import json
from pathlib import Path

import pytest

from quickstudy.cli import main

ARM, VARIANTS = (f"{Path(__file__).parent / name}:make" for name in ("robot_arm.py", "page_variants.py"))
FEW = ["--tasks", "3", "--splits", "test"]
SPEED = ["--lifetimes", "1", "--against", "random", "--against-episodes", "10"]
INLINE = ["--collectors", "inline", "--parallel-environments", "3"]


def run(*arguments, capsys):
    try:
        status = main([str(one) for one in arguments])
    except SystemExit as stop:
        status = stop.code or 0
    return status, *capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "collecting", "controls", "told"),
    [
        (ARM, INLINE, {"random", "rl2 without memory"}, "from the first to the last episode."),
        (VARIANTS, [], {"rl2 without memory", "rl2, shuffled rewards"}, "compared with the same agent without memory."),
    ],
    ids=["arm", "variants"],
)
def test_every_command_works_on_the_file(tasks, collecting, controls, told, capsys, tmp_path):
    folder = tmp_path / "run"
    status, out, err = run("check", tasks, "--samples", "200", "--budget-seconds", "1", *collecting, capsys=capsys)
    assert status == 0, out + err
    size = ["--hidden-size", "8", "--lifetimes", "6", "--minibatches", "2", "--held-out-tasks", "4", "--budget", "300 steps"]
    status, _, err = run("train", "rl2", tasks, *size, *collecting, "--folder", folder, capsys=capsys)
    assert status == 0, err
    status, out, err = run("evaluate", folder, "--on", tasks, *FEW, *collecting, capsys=capsys)
    assert status == 0, err
    assert told in out
    stored = json.loads((folder / "evaluation-test.json").read_text(encoding="utf-8"))
    assert controls <= set(stored["results"])
    assert stored["results"]["rl2"]["gain"]["low"] is not None
    assert run("report", folder, capsys=capsys)[0] == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert told in page[: page.index("</h1>")]
    status, out, err = run("speed", folder, "--on", tasks, *FEW, *SPEED, *collecting, capsys=capsys)
    assert status == 0, err
    assert "speed-up" in out
