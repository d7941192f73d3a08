"""The first minutes of a user: the page's own commands serve a shipped agent, and it adapts."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from quickstudy import cli
from serving.test_kills import Server

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
CURLS = [line for line in PAGE.read_text().splitlines() if line.startswith("curl ")]


def answer_of(line, port):
    """The answer to a line with curl; where there is no curl, the same request from Python."""
    words = shlex.split(line.replace("localhost:8080", f"127.0.0.1:{port}"))
    if shutil.which("curl"):
        return json.loads(subprocess.run(words, check=True, capture_output=True, timeout=30).stdout)
    (url,) = [word for word in words if word.startswith("127.0.0.1")]
    return httpx.post(f"http://{url}", content=words[words.index("-d") + 1]).json()


@pytest.mark.slow
def test_the_two_lines_of_the_page_make_an_agent_adapt(tmp_path):
    act, reward = CURLS
    server = Server(f"sqlite:{tmp_path / 'sessions.db'}")
    try:
        actions = []
        for visit in range(1, 41):
            decided = answer_of(act.replace("visit-1", f"visit-{visit}"), server.port)
            actions.append(decided["action"])
            assert 0 <= decided["propensity"] <= 1
            pays = '"reward": 1' if decided["action"] == 2 else '"reward": 0'
            told = answer_of(reward.replace("visit-1", f"visit-{visit}").replace('"reward": 1', pays), server.port)
            assert told == {"decision_id": f"visit-{visit}", "applied": True, "reason": None}
    finally:
        assert server.stop() == 0
    assert actions[-10:].count(2) >= 9, actions


def test_other_machines_need_tokens(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    bundle = str(PAGE.parents[1] / "bundles" / "bandit-n10-k5")
    assert cli.main(["serve", bundle, "--host", "0.0.0.0", "--store", f"sqlite:{tmp_path / 'a.db'}"]) == 2
    assert re.search(r"quickstudy token add STORE TENANT", capsys.readouterr().err)


@pytest.mark.parametrize("store", ["nonsense", "sqlite:/nowhere/a.db", "sqlite:", "sqlite:..", "sqlite:/dev/null"])
def test_stores_that_cannot_be_are_told(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    monkeypatch.chdir(tmp_path)
    bundle = str(PAGE.parents[1] / "bundles" / "bandit-n10-k5")
    assert cli.main(["serve", bundle, "--store", store]) in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "line", [["audit", "verify"], ["audit", "heads"], ["token", "list"], ["token", "remove"]], ids=" ".join
)
def test_what_reads_a_store_makes_none(line, tmp_path, capsys):
    """A name that is mistyped is told, rather than found to be a log without faults."""
    more = ["an-id"] if line[1] == "remove" else []
    assert cli.main([*line, f"sqlite:{tmp_path / 'a.db'}", *more]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    bundle = str(PAGE.parents[1] / "bundles" / "bandit-n10-k5")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["serve", bundle, "--port", port, "--store", f"sqlite:{tmp_path / 'a.db'}"]) == 2
    assert f"cannot listen on host '127.0.0.1', port {port}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_server_that_is_told_to_stop_has_done_its_work(number, tmp_path):
    server = Server(f"sqlite:{tmp_path / 'sessions.db'}")
    assert httpx.post(f"{server.url}/v1/sessions/a/act", json={"observation": 0}).status_code == 200
    assert server.stop(number) == 0


def test_a_second_server_on_one_file_is_refused(tmp_path, monkeypatch, capsys):
    from quickstudy.serving.stores import open_store

    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    url = f"sqlite:{tmp_path / 'a.db'}"
    store = open_store(url)
    bundle = str(PAGE.parents[1] / "bundles" / "bandit-n10-k5")
    assert cli.main(["serve", bundle, "--store", url]) == 2
    assert "served by another process" in capsys.readouterr().err
    store.close()


class Without:
    """Finds no package of one name, as if it were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("missing", ["uvicorn", "msgspec", "httptools", "prometheus_client"])
def test_without_the_extra_one_line_says_what_to_install(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    monkeypatch.delitem(sys.modules, missing, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(missing), *sys.meta_path])
    bundle = str(PAGE.parents[1] / "bundles" / "bandit-n10-k5")
    assert cli.main(["serve", bundle, "--store", f"sqlite:{tmp_path / 'a.db'}"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].endswith("pip install 'quickstudy[serve]'")


def test_tokens_are_added_listed_and_removed(tmp_path, capsys):
    url = f"sqlite:{tmp_path / 'a.db'}"
    assert cli.main(["token", "add", url, "acme", "--scopes", "read", "act"]) == 0
    token = capsys.readouterr().out.strip()
    assert re.fullmatch(r"qs_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", token)
    assert (
        token.encode() not in (tmp_path / "a.db").read_bytes() + (tmp_path / "a.db-wal").read_bytes()
        if (tmp_path / "a.db-wal").exists()
        else True
    )
    assert cli.main(["token", "list", url]) == 0
    listed = capsys.readouterr().out.split()
    assert listed == [token.split("_")[1], "acme", "read", "act"]
    assert cli.main(["token", "remove", url, listed[0]]) == 0
    assert cli.main(["token", "remove", url, listed[0]]) == 2
    assert cli.main(["token", "add", url, "acme", "--scopes", "fly"]) == 2
    assert cli.main(["token", "fly", url]) == 2
