"""The server over HTTP: its verbs, its refusals, and that each says what helps."""

import concurrent.futures
import contextlib
import itertools
import json

import pytest

from quickstudy.serving.engine import Engine
from quickstudy.serving.http.application import MOST_BYTES, Application
from quickstudy.serving.http.tokens import Rates, Tokens, new_token
from quickstudy.serving.stores import open_store
from serving.running import client_of_application


@pytest.fixture
def client_of(serve, tmp_path):
    """`(agent, tokens, **settings) -> client`, of a server that is ready."""
    with contextlib.ExitStack() as clients:
        numbers = itertools.count()

        def make(agent="arms", *, tokens=(), rate=None, policy=None, **settings):
            store = open_store(f"sqlite:{tmp_path / f'{next(numbers)}.db'}")
            for token in tokens:
                store.add_token(token)
            engine = Engine(serve(agent, **(policy or {})), store, **settings)
            application = Application(engine, Tokens(store), rates=Rates(rate)).asgi()
            return clients.enter_context(client_of_application(application))

        yield make


def act(client, session="a", **more):
    return client.post(f"/v1/sessions/{session}/act", json={"observation": 0} | more)


def reward(client, decision, value=1.0, session="a", **more):
    return client.post(f"/v1/sessions/{session}/reward", json={"decision_id": decision, "reward": value} | more)


def test_a_session_from_its_first_decision_to_its_deletion(client_of):
    client = client_of()
    decided = act(client)
    assert decided.status_code == 200
    decision = decided.json()
    assert decision["action"] in (0, 1, 2)
    assert reward(client, decision["decision_id"]).json() == {
        "decision_id": decision["decision_id"],
        "applied": True,
        "reason": None,
    }
    assert client.get("/v1/sessions/a").json()["steps"] == 1
    assert client.get("/v1/sessions").json() == {"sessions": ["a"], "next": None}
    lines = client.get("/v1/sessions/a/export")
    assert len(lines.text.splitlines()) == 4
    assert client.post("/v1/sessions/b/import", content=lines.content).status_code == 201
    assert client.post("/v1/sessions/a/fork", json={"session": "c", "events": 1}).json()["steps"] == 0
    assert act(client, "b").json() | {"session": "a"} == act(client, "a").json()
    assert client.post("/v1/sessions/a/rollback", json={"events": 3}).json()["steps"] == 1
    assert client.post("/v1/sessions/a/freeze", json={}).json()["frozen"]
    assert not client.post("/v1/sessions/a/thaw").json()["frozen"]
    assert client.post("/v1/sessions/a/end").json()["ended"]
    assert act(client).status_code == 409
    assert client.delete("/v1/sessions/a").status_code == 204
    assert client.get("/v1/sessions/a").status_code == 404
    assert client.delete("/v1/sessions/a").status_code == 404
    assert client.get("/v1/sessions").json()["sessions"] == ["b", "c"]


def test_sessions_are_opened_with_a_name_or_get_one(client_of):
    client = client_of()
    assert client.post("/v1/sessions", json={"session": "mine"}).json()["session"] == "mine"
    assert client.post("/v1/sessions", json={"session": "mine"}).status_code == 409
    given = client.post("/v1/sessions").json()["session"]
    assert act(client, given).status_code == 200


def test_a_batch_is_answered_part_by_part(client_of):
    client = client_of()
    parts = [{"op": "act", "session": f"s{number}", "observation": 0} for number in range(200)]
    answers = client.post("/v1/batch", json={"requests": parts}).json()["answers"]
    assert [answer["session"] for answer in answers] == [part["session"] for part in parts]
    parts = [
        {"op": "reward", "session": answer["session"], "decision_id": answer["decision_id"], "reward": 1} for answer in answers
    ]
    parts[3]["decision_id"] = "unknown"
    parts.append({"op": "act", "session": "s0", "observation": 7})
    answers = client.post("/v1/batch", json={"requests": parts}).json()["answers"]
    assert answers[0]["applied"]
    assert (answers[3]["status"], answers[-1]["status"], answers[-1]["field"]) == (404, 422, "observation")
    assert sum(answer.get("applied", False) for answer in answers) == 199


def test_decisions_are_idempotent_by_the_id_of_the_client(client_of):
    client = client_of("walker")
    first = act(client, observation=[0.5, 0.5], decision_id="mine").json()
    assert act(client, observation=[0.5, 0.5], decision_id="mine").json() == first
    other = act(client, observation=[0.5, 0.0], decision_id="mine")
    assert (other.status_code, other.json()["field"]) == (409, "decision_id")


REFUSALS = [
    ("POST", "/v1/sessions/a/act", b"", 422, "observation"),
    ("POST", "/v1/sessions/a/act", b"{", 422, None),
    ("POST", "/v1/sessions/a/act", b"\xff", 422, None),
    ("POST", "/v1/sessions/a/act", b"[" * 10_000, 422, None),
    ("POST", "/v1/sessions/a/act", b'{"observation": 3}', 422, "observation"),
    ("POST", "/v1/sessions/a/act", b'{"observation": NaN}', 422, None),
    ("POST", "/v1/sessions/a/act", b'{"observation": 0, "obs": 0}', 422, "obs"),
    ("POST", "/v1/sessions/a/act", b'{"observation": 0, "decision_id": "a/b"}', 422, "decision_id"),
    ("POST", "/v1/sessions/a/reward", b'{"decision_id": "x", "reward": "1"}', 422, "reward"),
    ("POST", "/v1/sessions/a/reward", b'{"decision_id": "x", "reward": 1e999}', 422, None),
    ("POST", "/v1/sessions/a/reward", b'{"decision_id": "x", "reward": 1e300}', 422, "reward"),
    ("POST", "/v1/sessions/a/reward", b'{"decision_id": "x", "reward": 1}', 404, "decision_id"),
    ("POST", "/v1/sessions/a/rollback", b'{"events": 0}', 422, "events"),
    ("POST", "/v1/sessions/a/rollback", b'{"events": 99}', 409, "events"),
    ("POST", "/v1/sessions/a/fork", b'{"session": "b", "events": 99}', 409, "events"),
    ("POST", "/v1/sessions/a/fork", b'{"session": "a"}', 409, "session"),
    ("POST", "/v1/sessions/a/import", b"nonsense", 422, "line 1"),
    ("POST", "/v1/sessions/nobody/reward", b'{"decision_id": "x", "reward": 1}', 404, "session"),
    ("POST", "/v1/sessions/..%2f..%2fetc/act", b'{"observation": 0}', 404, None),
    ("POST", "/v1/sessions/a%20b/act", b'{"observation": 0}', 422, "session"),
    ("POST", "/v1/sessions/" + "a" * 129 + "/act", b'{"observation": 0}', 422, "session"),
    ("GET", "/v1/sessions?limit=x", b"", 422, "limit"),
    ("GET", "/v1/sessions/a/act", b"", 405, None),
    ("GET", "/nothing", b"", 404, None),
    ("POST", "/v1/batch", b'{"requests": []}', 422, "requests"),
    ("POST", "/v1/batch", b'{"requests": [{"op": "fly"}]}', 422, None),
    ("POST", "/v1/sessions/a/act", b" " * (MOST_BYTES + 1), 413, None),
]


@pytest.fixture(scope="module")
def one_client(serve, tmp_path_factory):
    store = open_store(f"sqlite:{tmp_path_factory.mktemp('one') / 'one.db'}")
    application = Application(Engine(serve(), store), Tokens(store)).asgi()
    with client_of_application(application) as client:
        act(client)
        yield client


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), REFUSALS)
def test_refusals_say_what_is_wrong(one_client, method, path, body, status, field):
    answer = one_client.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["detail"]
    if field is not None:
        assert field in told["field"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"observation": 0, "obs": 0}', "an object with observation, decision_id, new_episode"),
        (b"{}", "an object with observation, decision_id, new_episode"),
        (b'{"observation": 0, "decision_id": 3}', "str | null"),
    ],
)
def test_refusals_say_what_is_allowed(one_client, body, expected):
    assert one_client.post("/v1/sessions/a/act", content=body).json()["expected"] == expected


def test_a_range_is_told_without_marks_of_code(one_client):
    told = one_client.post("/v1/sessions/a/rollback", content=b'{"events": 0}').json()
    assert told["expected"].endswith(">= 1.0")
    assert "`" not in told["expected"]


def test_an_unknown_part_of_a_batch_is_told_which_there_are(one_client):
    told = one_client.post("/v1/batch", content=b'{"requests": [{"op": "fly", "session": "a"}]}').json()
    assert (told["field"], told["expected"]) == ("requests[0].op", "act or reward")


def test_tokens_say_who_may_do_what(client_of):
    (everything, all_of_one), (acting, acts), (foreign, other) = (
        new_token(tenant, scopes)
        for tenant, scopes in (("one", ("read", "act", "reward", "admin")), ("one", ("act",)), ("other", ("read", "act")))
    )
    client = client_of(tokens=(all_of_one, acts, other))

    def status(text, method, path, **more):
        headers = {"Authorization": f"Bearer {text}"} if text else {}
        return client.request(method, path, headers=headers, **more).status_code

    body = {"json": {"observation": 0}}
    assert status(None, "POST", "/v1/sessions/a/act", **body) == 401
    assert status("qs_0_x", "POST", "/v1/sessions/a/act", **body) == 401
    assert status(everything[:-1], "POST", "/v1/sessions/a/act", **body) == 401
    assert status(acting, "POST", "/v1/sessions/a/act", **body) == 200
    assert status(acting, "GET", "/v1/sessions/a") == 403
    assert status(acting, "DELETE", "/v1/sessions/a") == 403
    assert status(foreign, "GET", "/v1/sessions/a") == 404
    assert (
        status(
            foreign, "POST", "/v1/batch", json={"requests": [{"op": "reward", "session": "a", "decision_id": "x", "reward": 1}]}
        )
        == 403
    )
    assert status(everything, "GET", "/v1/sessions/a") == 200
    assert client.get("/healthz").status_code == 200


def test_a_tenant_that_asks_too_often_is_told_to_wait(client_of):
    client = client_of(rate=2.0)
    answers = [act(client) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert answers[-1].headers["retry-after"] == "1"


def test_metrics_have_no_label_for_sessions(client_of):
    client = client_of()
    for session in "abc":
        act(client, session)
    text = client.get("/metrics").text
    assert 'quickstudy_requests_total{kind="act",status="200"} 3.0' in text
    assert "quickstudy_live_sessions 3.0" in text
    assert 'session="' not in text


def test_the_document_names_every_path(one_client):
    document = json.loads(one_client.get("/openapi.json").content)
    assert document["openapi"] == "3.1.0"
    one = "/v1/sessions/{session}"
    verbs = ("act", "reward", "end", "freeze", "thaw", "rollback", "fork", "export", "import")
    others = {"/v1/batch", "/v1/sessions", one, "/healthz", "/readyz"}
    assert set(document["paths"]) == {f"{one}/{verb}" for verb in verbs} | others
    for path, operations in document["paths"].items():
        for method in operations:
            assert one_client.request(method, path.replace("{session}", "nobody")).status_code not in (405, 500)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]


def test_a_client_that_is_one_of_many_gets_its_own_answer(client_of):
    client = client_of()

    def one(number):
        decisions = [act(client, f"s{number}").json() for _ in range(5)]
        return [(decision["session"], decision["slot"]) for decision in decisions]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for number, slots in enumerate(pool.map(one, range(16))):
            assert slots == [(f"s{number}", slot) for slot in range(5)]
