"""The registry: versions and aliases in a folder, its damages, and servers that follow it."""

import concurrent.futures
import contextlib
import json
import shutil
import threading
from pathlib import Path

import httpx
import pytest

from quickstudy import cli
from quickstudy.cli.guards import guard_of
from quickstudy.protocol.errors import BundleError, UnknownNameError, UsageError
from quickstudy.serving.engine import Engine
from quickstudy.serving.following import Following
from quickstudy.serving.http.application import Application
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.registry import Registry
from quickstudy.serving.stores import open_store
from serving.running import client_of_application
from serving.test_kills import Server

BUNDLES = Path(__file__).parents[2] / "bundles"
ONE, OTHER, ELSEWHERE = (BUNDLES / name for name in ("quick-n10-k5", "bandit-n10-k5", "bandit-n10-k10"))


def load(path, seed, envelope=None):
    guard = None if envelope is None else guard_of(envelope, seed=seed)
    return served_from_bundle(str(path), policy=SessionPolicy(at_end="new"), seed=seed, guard=guard)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A registry with two versions of one agent, and one of another; `(folder, digests)`."""
    folder = tmp_path_factory.mktemp("registry") / "agents"
    registry = Registry(folder)
    digests = [registry.put("bandit", bundle, seed=0, load=load) for bundle in (ONE, OTHER, ELSEWHERE)]
    registry.promote("bandit", digests[0])
    return folder, digests


@pytest.fixture
def registry(filled, tmp_path):
    shutil.copytree(filled[0], tmp_path / "agents")
    return Registry(tmp_path / "agents")


@pytest.fixture
def digests(filled):
    return filled[1]


def test_versions_are_named_by_their_agent(registry, digests):
    assert registry.names() == ["bandit"]
    assert registry.versions("bandit") == sorted(digests)
    assert registry.digest_of("bandit", "champion") == digests[0] == load(ONE, 0).digest
    assert registry.find("bandit", "champion") == registry.find("bandit", digests[0][:8]) == digests[0]
    assert registry.load("bandit", digests[1], load).digest == digests[1]


def test_promotions_are_rolled_back_one_by_one(registry, digests):
    registry.promote("bandit", digests[1], alias="challenger")
    assert registry.model("bandit").moves == "pin"
    registry.promote("bandit", "challenger", moves="pin")
    registry.promote("bandit", digests[0][:12])
    assert registry.rollback("bandit").agent == digests[1]
    assert registry.rollback("bandit", moves="pin").agent == digests[0]
    with pytest.raises(UsageError, match="none to go back to"):
        registry.rollback("bandit")
    assert [change.what for change in registry.model("bandit").history] == ["promote"] * 4 + ["rollback"] * 2


def test_the_rule_for_sessions_can_change_alone(registry, digests):
    assert registry.promote("bandit", digests[0], moves="replay").moves == "replay"
    assert registry.model("bandit").aliases["champion"].before == ()
    with pytest.raises(UsageError, match="already"):
        registry.promote("bandit", digests[0])


def test_unknown_names_are_told_with_the_known_ones(registry, digests, tmp_path):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'champion'\? Known: champion"):
        registry.digest_of("bandit", "chapion")
    with pytest.raises(UnknownNameError, match="Did you mean 'bandit'"):
        registry.model("bandits")
    with pytest.raises(UnknownNameError, match=f"Known: .*{digests[1][:12]}"):
        registry.promote("bandit", "0" * 12)
    with pytest.raises(UnknownNameError, match=r"quickstudy registry put .* NAME BUNDLE"):
        Registry(tmp_path / "none").model("bandit")
    registry.put("other", ONE, seed=0, load=load)
    with pytest.raises(UnknownNameError, match=r"quickstudy registry promote .* other VERSION"):
        registry.digest_of("other", "champion")
    for name in ("..", "a/b", "", "x" * 65):
        with pytest.raises(UsageError, match="a name has"):
            registry.put(name, ONE, seed=0, load=load)
    with pytest.raises(UsageError, match="an alias has"):
        registry.promote("bandit", digests[1], alias="../champion")


def test_a_version_is_a_digest_and_no_path(registry, digests):
    for digest in ("../versions/" + digests[0], "", "..", digests[0].upper()):
        with pytest.raises(BundleError, match="holds no version"):
            registry.version("bandit", digest)


def test_a_version_that_does_not_fit_is_not_promoted(registry, digests):
    with pytest.raises(UsageError, match="other spaces"):
        registry.promote("bandit", digests[2])
    with pytest.raises(BundleError, match="Name the folder"):
        registry.put("bandit", "nothing", seed=0, load=load)


def damage(registry, digests, what):
    model, version = registry.folder / "bandit" / "model.json", registry.path_of("bandit", digests[1])
    match what:
        case "an alias that is changed":
            model.write_text(model.read_text().replace(digests[0], digests[1]))
        case "a file that is cut off":
            model.write_text(model.read_text()[:-20])
        case "an empty file":
            model.write_text("")
        case "another format":
            content = json.loads(model.read_text())
            model.write_text(json.dumps(content | {"format": 2}))
        case "no version":
            shutil.rmtree(version)
        case "no description":
            (version / "version.json").unlink()
        case "parameters that are cut off":
            path = version / "parameters.safetensors"
            path.write_bytes(path.read_bytes()[:-4])
        case "another version's bundle":
            for part in ("bundle.json", "parameters.safetensors"):
                shutil.copyfile(registry.path_of("bandit", digests[0]) / part, version / part)
        case "another version's folder":
            shutil.rmtree(version)
            shutil.copytree(registry.path_of("bandit", digests[0]), version)


OF_THE_MODEL = ("an alias that is changed", "a file that is cut off", "an empty file", "another format")
OF_A_VERSION = (
    "no version",
    "no description",
    "parameters that are cut off",
    "another version's bundle",
    "another version's folder",
)


@pytest.mark.parametrize("what", [*OF_THE_MODEL, *OF_A_VERSION])
def test_damages_are_found_and_told_in_one_line(registry, digests, what, monkeypatch, capsys, tmp_path):
    registry.promote("bandit", digests[1], alias="challenger")
    damage(registry, digests, what)
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    store = f"sqlite:{tmp_path / 'a.db'}"
    assert cli.main(["serve", "bandit@challenger", "--registry", str(registry.folder), "--store", store]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(registry.folder) in said


def following(registry, store, **more):
    follows = Following(registry, "bandit", "champion", load=load, **more)
    engine = Engine(follows.versions.current, store, versions=follows.versions)
    return follows, engine


QUICK = ("a file that is cut off", "parameters that are cut off")


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[] if what in QUICK else pytest.mark.slow) for what in (*OF_THE_MODEL[:2], *OF_A_VERSION[:3])],
)
def test_a_server_goes_on_while_its_registry_is_damaged(registry, digests, what, tmp_path):
    """It says so, and takes up the version when the damage is repaired."""
    follows, engine = following(registry, open_store(f"sqlite:{tmp_path / 'a.db'}"))
    engine.start()
    model = registry.folder / "bandit" / "model.json"
    registry.promote("bandit", digests[1])
    text = model.read_text()
    damage(registry, digests, what)
    follows.look(engine)
    assert str(registry.folder) in follows.trouble
    assert engine.served.digest == digests[0]
    model.write_text(text)
    registry.put("bandit", OTHER, seed=0, load=load)
    follows.look(engine)
    assert follows.trouble is None
    assert engine.served.digest == digests[1]
    engine.stop()
    follows.look(engine)  # the server has stopped: nothing happens


def test_a_server_is_promoted_and_rolled_back_under_load(registry, digests, store_url):
    """Over HTTP, from the command line: clients see no refusal, old sessions stay or move, and shadows are logged."""
    registry.promote("bandit", digests[1], alias="challenger")
    store = open_store(store_url)
    follows, engine = following(registry, store, shadow="challenger")
    application = Application(engine, Tokens(store), follows=follows).asgi()
    stopping, statuses, agents = threading.Event(), [], []

    def live(client, number):
        for count in range(10_000):
            if stopping.is_set():
                return
            session = f"/v1/sessions/s{number}-{count % 2}"
            decided = client.post(f"{session}/act", json={"observation": 0})
            statuses.append(decided.status_code)
            body = {"decision_id": decided.json()["decision_id"], "reward": 0.5}
            statuses.append(client.post(f"{session}/reward", json=body).status_code)
            agents.append(decided.json()["agent"])

    def until(agent):
        for _ in range(1500):
            if client.get("/readyz").json()["agent"] == agent:
                return
            threading.Event().wait(0.02)
        raise AssertionError(client.get("/readyz").text)

    folder = str(registry.folder)
    with client_of_application(application) as client, concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = client.post("/v1/sessions/pinned/act", json={"observation": 0}).json()
        clients = [pool.submit(live, client, number) for number in range(3)]
        assert cli.main(["registry", "promote", folder, "bandit", "challenger"]) == 0
        until(digests[1])
        assert client.post("/v1/sessions/pinned/act", json={"observation": 0}).json()["agent"] == first["agent"]
        assert client.post("/v1/sessions/new/act", json={"observation": 0}).json()["agent"] == digests[1]
        exported = client.get("/v1/sessions/pinned/export").content
        assert client.post("/v1/sessions/copy/import", content=exported).json()["agent"] == first["agent"]
        assert client.post("/v1/sessions/pinned/fork", json={"session": "fork"}).json()["agent"] == first["agent"]
        assert cli.main(["registry", "rollback", folder, "bandit", "--moves", "restart"]) == 0
        until(digests[0])
        assert client.post("/v1/sessions/new/act", json={"observation": 0}).json()["agent"] == digests[0]
        assert "quickstudy_versions 2.0" in client.get("/metrics").text
        stopping.set()
        for one in clients:
            one.result(60)
    assert set(statuses) == {200}
    assert set(agents) >= {digests[0]}
    store = open_store(store_url, serves=False)
    assert {event.kind for event in store.all_events()} >= {"shadowed", "moved"}
    store.close()


def test_promotions_at_the_same_time_are_all_kept_and_never_half_seen(registry, digests):
    stopping, errors, done = threading.Event(), [], []

    def read():
        while not stopping.is_set():
            try:
                assert registry.digest_of("bandit", "champion") in digests
            except Exception as error:
                errors.append(error)

    def promote(digest):
        for _ in range(10):
            with contextlib.suppress(UsageError):  # the champion is that version already
                done.append(registry.promote("bandit", digest))

    reader = threading.Thread(target=read)
    reader.start()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(promote, digests[:2]))
    stopping.set()
    reader.join(60)
    assert errors == []
    model = registry.model("bandit")
    assert len(model.history) == 1 + len(done)
    assert len(model.aliases["champion"].before) == len(done)


@pytest.mark.slow
def test_the_command_takes_up_a_version_without_a_restart(registry, digests, tmp_path):
    server = Server(f"sqlite:{tmp_path / 'a.db'}", agent="bandit@champion", registry=registry.folder)
    try:
        first = httpx.post(f"{server.url}/v1/sessions/a/act", json={"observation": 0}).json()
        registry.promote("bandit", digests[1], moves="replay")
        for _ in range(3000):
            if httpx.get(f"{server.url}/readyz").json()["agent"] == digests[1]:
                break
            threading.Event().wait(0.02)
        second = httpx.post(f"{server.url}/v1/sessions/a/act", json={"observation": 0}).json()
    finally:
        assert server.stop() == 0
    assert [(one["agent"], one["slot"]) for one in (first, second)] == [(digests[0], 0), (digests[1], 1)]


def test_the_verbs_of_the_command(tmp_path, monkeypatch, capsys, digests):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    folder = str(tmp_path / "agents")
    assert cli.main(["registry", "put", folder, "bandit", str(ONE), "--alias", "champion"]) == 0
    assert cli.main(["registry", "put", folder, "bandit", str(OTHER)]) == 0
    assert cli.main(["registry", "promote", folder, "bandit", digests[1][:12]]) == 0
    assert "Sessions of other versions stay with their version." in capsys.readouterr().out
    assert cli.main(["registry", "list", folder, "bandit"]) == 0
    listed = capsys.readouterr().out
    assert f"{digests[1][:12]}  champion" in listed
    assert f"{digests[0][:12]}  -" in listed
    assert listed.count("promote") == 2
    for line in (["fly"], ["rollback", folder], ["list", folder, "nobody"], ["promote", folder, "bandit", "nothing"], []):
        assert cli.main(["registry", *line]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["bandit@champion"], "Add --registry FOLDER"),
        (["bandit", "--registry", "agents"], "NAME@ALIAS"),
        (["bandit@chapion", "--registry", "agents"], "Did you mean 'champion'"),
        (["bandits@champion", "--registry", "agents"], "Did you mean 'bandit'"),
        (["bandit@champion", "--registry", "agents", "--shadow", "challenger"], "unknown alias"),
        (["bandit@champion", "--registry", "agents", "--seed", "1"], "quickstudy registry put"),
        (["bandit@champion", "--registry", "agents", "--moves", "replay"], "quickstudy registry promote"),
        (["bandit@champion", "--registry", "nowhere"], "quickstudy registry put nowhere"),
        (["agents", "--shadow", "challenger"], "Add --registry FOLDER"),
    ],
)
def test_what_cannot_be_served_is_told(registry, line, said, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    monkeypatch.chdir(registry.folder.parent)
    assert cli.main(["serve", *line]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert said in error


def test_an_envelope_makes_another_version_and_is_a_kill_switch_without_a_restart(registry, digests, tmp_path):
    """The version holds a copy of the rules. A promotion gives the decisions of sessions that are open to the fallback."""
    rules = {"format": 1, "mode": "adapts", "fallback": "UCB1"}
    put = []
    for mode in ("adapts", "fallback"):
        path = tmp_path / f"{mode}.json"
        path.write_text(json.dumps(rules | {"mode": mode}))
        put.append(registry.put("bandit", ONE, seed=0, load=load, envelope=path))
        path.unlink()
    assert len({digests[0], *put}) == 3
    with pytest.raises(UsageError, match="--moves pin"):
        registry.promote("bandit", put[0], moves="replay")  # its decisions say what the guard did
    registry.promote("bandit", put[0], moves="pin")
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    follows, engine = following(registry, store)
    with client_of_application(Application(engine, Tokens(store)).asgi()) as client:
        first = client.post("/v1/sessions/a/act", json={"observation": 0}).json()
        assert first["guard"] == {"acted": "agent", "why": "nothing"}
        registry.promote("bandit", put[1], moves="replay")
        follows.look(engine)
        assert follows.trouble is None
        second = client.post("/v1/sessions/a/act", json={"observation": 0}).json()
    assert second["guard"] == {"acted": "fallback", "why": "mode"}
    assert second["agent"] == put[1]


def test_flags_that_belong_to_a_version_are_refused_beside_a_registry(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    for flag, value in (("--seed", "1"), ("--envelope", "envelope.json")):
        asked = ["serve", "bandit@champion", "--registry", str(registry.folder), "--store", f"sqlite:{tmp_path / 'a.db'}"]
        assert cli.main([*asked, flag, value]) == 2
        assert f"quickstudy registry put FOLDER NAME BUNDLE {flag} VALUE" in capsys.readouterr().err
