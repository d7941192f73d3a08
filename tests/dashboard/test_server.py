"""The commands: the dashboard as a process, the dashboard of a server, and settings that cannot be."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from quickstudy import cli
from quickstudy.serving.stores import open_store
from serving.test_kills import BUNDLE, MAIN, Server


class ServerWithDashboard(Server):
    def start(self):
        self.command.append("--dashboard")
        super().start()


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(runs, served):
    command = [sys.executable, "-c", MAIN, "dashboard", "--runs", str(runs), "--store", served[1], "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    with contextlib.closing(process.stdout):
        url = re.search(r"http://\S+?(?=\.? )", process.stdout.readline().replace(". Ctrl", " . Ctrl"))[0]
        assert "study/best" in httpx.get(f"{url}/runs", timeout=60).text
        with httpx.stream("GET", f"{url}/runs/one/events?name=first", timeout=60) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            process.send_signal(signal.SIGTERM)  # a page that is open does not keep it
            assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_a_server_shows_its_own_dashboard(tmp_path, runs):
    server = ServerWithDashboard(f"sqlite:{tmp_path / 'sessions.db'}", agent=str(BUNDLE), runs=runs)
    decision = httpx.post(f"{server.url}/v1/sessions/a/act", json={"observation": 0}).json()["decision_id"]
    httpx.post(f"{server.url}/v1/sessions/a/reward", json={"decision_id": decision, "reward": 1.0})
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert "study/best" in client.get("/runs").text
        assert decision in client.get("/sessions/one?name=a").text
        page = client.get("/sessions/change?name=a&change=freeze")
        key = re.search(r'name="form_key" value="([^"]+)"', page.text)[1]
        assert client.post("/sessions/change", data={"form_key": key, "name": "a", "change": "freeze"}).status_code == 303
        assert client.get("/v1/sessions/a").json()["frozen"]
        assert client.get("/nothing").status_code == 404
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "no token is set up"),
        (["--store", "sqlite:none.db"], "there is no store"),
        (["--server", "http://127.0.0.1:1"], "Name the store, too"),
        (["--runs", __file__], "is a file"),
        (["--port", "70000"], "port"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["dashboard", "--port", "0", *flags]) == 2
    assert said in capsys.readouterr().err


def test_the_address_of_a_server_is_checked(tmp_path, capsys):
    open_store(f"sqlite:{tmp_path / 'a.db'}").close()
    assert cli.main(["dashboard", "--store", f"sqlite:{tmp_path / 'a.db'}", "--server", "elsewhere", "--port", "0"]) == 2
    assert "http://127.0.0.1:8080" in capsys.readouterr().err
