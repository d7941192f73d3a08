"""The walk-throughs of the documentation as their readers do them: the commands of a page in their order, in one folder."""

import itertools
import json
import re
import runpy
import shlex
import signal

import pytest

from docs.pages import ROOT, blocks, commands, small_command
from quickstudy import cli, tasks
from serving.test_first_use import CURLS, answer_of
from serving.test_kills import Server

DOCS = ROOT / "docs"


def walked(page, folder, monkeypatch, capsys, *, without=()):
    """Runs the commands of a page but those of some verbs, with small budgets, and gives what each printed."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    for part in ("examples", "bundles"):  # pages are read in the folder of the clone
        (folder / part).symlink_to(ROOT / part)
    printed = []
    for words in (small_command(words) for words in commands(page) if words[1] not in without):
        status = cli.main(words[1:])
        out, err = capsys.readouterr()
        assert status == 0, f"{words}: {err}"
        printed.append((words[1], out))
    return printed


@pytest.mark.slow
@pytest.mark.parametrize(("page", "run"), [("from-a-csv", "variants"), ("on-a-robot", "arm")])
def test_from_a_check_to_a_page_that_says_whether_the_agent_adapts(page, run, tmp_path, monkeypatch, capsys):
    printed = walked(DOCS / f"{page}.md", tmp_path, monkeypatch, capsys)
    assert [verb for verb, _ in printed] == ["check", "train", "evaluate", "report"]
    said = dict(printed)
    assert "no fault found" in said["check"]
    adapts = r"rl2 (adapts|does not adapt significantly|gets worse): .\d"
    assert re.search(adapts, said["report"])
    page = (tmp_path / "runs" / run / "report.html").read_text(encoding="utf-8")
    assert re.search(f"<h1>{adapts}", page)
    assert "<h2>One lifetime</h2>" in page
    measured = json.loads((tmp_path / "runs" / run / "evaluation-test.json").read_text())["results"]
    assert {"rl2", "random"} <= set(measured)


@pytest.mark.slow
def test_from_records_to_decisions_over_http(tmp_path, monkeypatch, capsys):
    """The whole page in its order: a table of past tests, tasks, an agent, its comparison, and ten decisions of the server."""
    page = DOCS / "from-your-records.md"
    verbs = ["fit", "check", "train", "evaluate", "report", "serve"]
    assert [words[1] for words in commands(page)] == verbs
    said = dict(walked(page, tmp_path, monkeypatch, capsys, without=("serve",)))
    assert "fitted to 48 tasks, 12 held out" in said["fit"]
    for line in blocks(page, "text")[1].text.splitlines():
        assert line == "..." or line in said["fit"], line
    made = tasks.make("runs/mine/tasks.py:make")
    fitted = json.loads((tmp_path / "runs" / "mine" / "fit.json").read_text(encoding="utf-8"))
    assert made.config["lift_deviation"] == pytest.approx(fitted["fitted"]["lift_deviation"], rel=1e-5)
    assert made.spec.horizon == fitted["chosen"]["looks"]
    assert said["check"].splitlines()[-1] == "no fault found; warnings: 1"
    measured = json.loads((tmp_path / "runs" / "my-agent" / "evaluation-test.json").read_text(encoding="utf-8"))["results"]
    assert {name for name, one in measured.items() if not one["trained"] and "control" not in one} == {
        "fixed size", "stopping programme", "random",
    }  # fmt: skip
    assert (tmp_path / "runs" / "my-agent" / "report.html").is_file()
    (served,) = (words for words in commands(page) if words[1] == "serve")
    assert served[2:] == ["runs/my-agent", "--store", "sqlite:sessions.db"]
    (asked,) = (line for block in blocks(page, "sh") for line in block.text.splitlines() if line.startswith("python "))
    server = Server("sqlite:sessions.db", agent=served[2])
    try:
        monkeypatch.setattr("sys.argv", [*shlex.split(asked)[1:], "--url", server.url])
        runpy.run_path(shlex.split(asked)[1], run_name="__main__")
    finally:
        assert server.stop(signal.SIGINT) == 0
    decisions = capsys.readouterr().out.splitlines()
    assert len(decisions) == 10
    what = "(go on, (equal parts|most users on arm [01])|end the test, ship arm [01])"
    sentence = rf"test \d+, look \d+, conversions \[\d+, \d+\]: {what}"
    assert all(re.fullmatch(sentence, line) for line in decisions)
    assert all(re.fullmatch(sentence, line) for line in blocks(page, "text")[2].text.splitlines())


@pytest.mark.slow
def test_serve_adapt_audit(tmp_path, monkeypatch, capsys):
    """The agent of the page is served; a decision and its reward are in the audit, and the chain verifies."""
    page = DOCS / "serving.md"
    served = next(words for words in commands(page) if words[1] == "serve")
    assert served[2:] == ["bundles/bandit-n100-k5-taught", "--store", "sqlite:sessions.db", "--at-end", "new"]
    monkeypatch.chdir(tmp_path)
    server = Server("sqlite:sessions.db", agent=str(ROOT / served[2]))
    try:
        for customer, visit in itertools.product(range(1, 32), range(1, 6)):  # an estimate needs 30 sessions
            lines = [line.replace("visit-1", f"visit-{visit}").replace("customer-1", f"customer-{customer}") for line in CURLS]
            _, rewarded = (answer_of(line, server.port) for line in lines)
            assert rewarded == {"decision_id": f"visit-{visit}", "applied": True, "reason": None}
    finally:
        assert server.stop(signal.SIGINT) == 0
    printed = walked(page, tmp_path, monkeypatch, capsys, without=("serve", "registry", "token"))
    verified, shown, heads, exported, evaluated = (out for verb, out in printed if verb == "audit")
    assert "341 events in " in verified  # each session was opened, and had five decisions and five rewards
    assert "The log is whole." in verified
    kinds = [event["kind"] for event in json.loads(shown)["events"]]
    assert kinds == ["acted", "rewarded"]
    assert len(json.loads(heads)) == 1
    assert exported.count('"session": "customer-1"') == 11
    assert "Return of the first 5 decisions" in evaluated
