"""Clients: the one of a few lines, which tries again, and the provider for OpenFeature."""

import http.server
import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from docs.pages import ROOT, blocks
from quickstudy.protocol.errors import UsageError
from quickstudy.serving import client as client_module
from quickstudy.serving.client import Client, ServerError
from quickstudy.serving.engine import Engine
from quickstudy.serving.http.application import Application
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.stores import open_store
from serving.postgres import free_port
from serving.running import client_of_application

needs_openfeature = pytest.mark.skipif(importlib.util.find_spec("openfeature") is None, reason="openfeature-sdk is missing")


@pytest.fixture(scope="module")
def url(serve, tmp_path_factory):
    store = open_store(f"sqlite:{tmp_path_factory.mktemp('clients') / 'a.db'}")
    with client_of_application(Application(Engine(serve(at_end="new"), store), Tokens(store)).asgi()) as client:
        yield str(client.base_url)


def test_a_decision_and_its_reward(url):
    client = Client(url)
    decision = client.act("a", 0)
    assert decision["action"] in (0, 1, 2)
    assert client.act("a", 0, decision_id=decision["decision_id"]) == decision
    assert client.reward("a", decision["decision_id"], 1.0)["applied"]
    assert client.reward("a", decision["decision_id"], 1.0)["reason"] == "repeated"
    assert client.state("a")["steps"] == 1


def test_refusals_say_what_the_server_says(url):
    with pytest.raises(ServerError, match=r"Expected: a whole number from 0 to 0\. Got: 7\.") as refusal:
        Client(url).act("b", 7)
    assert refusal.value.status == 422
    assert refusal.value.problem["field"] == "observation"
    with pytest.raises(ServerError, match="no such session") as refusal:
        Client(url).state("nobody")
    assert refusal.value.status == 404


class Flaky(http.server.BaseHTTPRequestHandler):
    """Is busy at first, then cuts a connection off, then answers."""

    asked: ClassVar[list] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body, self.headers["Authorization"]))
        if len(self.asked) == 2:
            self.connection.close()
            return
        answer = b"busy" if len(self.asked) == 1 else json.dumps({"action": 1, "decision_id": body["decision_id"]}).encode()
        self.send_response(503 if len(self.asked) == 1 else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_a_request_is_sent_again_with_the_same_decision_id(monkeypatch):
    monkeypatch.setattr(client_module.time, "sleep", lambda seconds: None)
    Flaky.asked.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Flaky) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        decision = Client(f"http://127.0.0.1:{server.server_port}/", token="secret").act("a b/c", 0)
        server.shutdown()
    assert len({body["decision_id"] for _, body, _ in Flaky.asked}) == 1
    assert [path for path, *_ in Flaky.asked] == ["/v1/sessions/a%20b%2Fc/act"] * 3
    assert {token for *_, token in Flaky.asked} == {"Bearer secret"}
    assert decision["decision_id"] == Flaky.asked[0][1]["decision_id"]


def test_a_server_that_is_not_there_is_told(monkeypatch):
    pauses = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    with pytest.raises(ServerError, match="cannot be reached") as error:
        Client(f"http://127.0.0.1:{free_port()}", tries=4).act("a", 0)
    assert error.value.status is None
    assert pauses == [0.2, 0.4, 0.8]


def test_the_file_runs_by_itself(url, tmp_path):
    """It may be copied into a program that has no other package."""
    (tmp_path / "sessions.py").write_text(Path(client_module.__file__).read_text())
    line = f"from sessions import Client; print(Client({url!r}).act('copied', 0)['session'])"
    done = subprocess.run([sys.executable, "-S", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "copied\n"


@pytest.fixture
def flags(url):
    from openfeature import api

    from quickstudy.serving.open_feature import SessionsProvider

    variants = {"banner": ["blue", "green", "red"]}
    server = Client(url)
    rewards = {"bought": "banner"}
    api.set_provider(SessionsProvider({"banner": server, "arm": server, "down": Client("http://127.0.0.1:9", tries=1)},
                                      variants=variants, rewards=rewards))  # fmt: skip
    yield api.get_client()
    api.shutdown()
    api.clear_providers()


@needs_openfeature
def test_a_flag_is_a_decision_and_an_event_its_reward(flags, url):
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.track import TrackingEventDetails

    context = EvaluationContext("flagged", {"decision_id": "visit-1"})
    details = flags.get_string_details("banner", "none", context)
    assert details.value in ("blue", "green", "red")
    assert details.flag_metadata["decision_id"] == "visit-1"
    assert flags.get_string_value("banner", "none", context) == details.value
    flags.track("bought", context, TrackingEventDetails(1.0))
    flags.track("looked", context)
    assert Client(url).reward("flagged", "visit-1", 1.0)["reason"] == "repeated"
    made = flags.get_integer_details("arm", 7, EvaluationContext("other"))
    assert made.value in (0, 1, 2)
    flags.get_string_value("banner", "none", EvaluationContext("third"))
    flags.track("bought", EvaluationContext("third"))
    assert Client(url).state("third")["open"] == 0


@needs_openfeature
def test_the_example_of_the_page_runs(url):
    from openfeature import api

    (block,) = blocks(ROOT / "docs" / "serving.md", "py")
    names = {}
    exec(block.text.replace("Client()", f"Client({url!r})"), names)
    assert names["colour"] in names["variants"]["banner"]
    assert Client(url).reward("customer-1", "visit-1", 1.0)["reason"] == "repeated"
    api.clear_providers()


def test_the_client_of_the_page_runs(url):
    (text,) = [block.text for block in blocks(ROOT / "docs" / "serving.md", "python") if "Client" in block.text]
    names = {}
    exec(text.replace("http://127.0.0.1:8080", url), names)
    assert names["visit"]("customer-2", 1.0) in (0, 1, 2)
    assert Client(url).state("customer-2")["open"] == 0


@needs_openfeature
def test_where_there_is_no_decision_a_flag_has_its_default(flags):
    from openfeature.evaluation_context import EvaluationContext

    for flag, context in (("down", EvaluationContext("a")), ("unknown", EvaluationContext("a")), ("banner", None)):
        details = flags.get_string_details(flag, "none", context)
        assert details.value == "none"
        assert details.error_code is not None
    assert flags.get_boolean_details("banner", True, EvaluationContext("typed")).error_code == "TYPE_MISMATCH"
    with pytest.raises(Exception, match="has made no decision here"):
        flags.track("bought", EvaluationContext("nobody"))


@needs_openfeature
def test_flags_without_a_server_are_refused():
    from quickstudy.serving.open_feature import SessionsProvider

    with pytest.raises(UsageError, match=r"flags banner\. Servers are given for: none"):
        SessionsProvider({}, rewards={"bought": "banner"})
