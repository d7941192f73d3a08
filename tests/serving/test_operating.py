"""The commands of the page on operating: a backup of a store in use is whole, and a server goes on with it."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from docs.pages import ROOT, blocks
from quickstudy.serving.engine import Engine
from quickstudy.serving.http.application import Application
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.requests import Act, Look, Reward, SessionName
from quickstudy.serving.stores import open_store
from serving.postgres import programs
from serving.running import client_of_application

PAGE = ROOT / "docs" / "operating.md"
A = SessionName("default", "a")


def commands(begins):
    """The block of the page whose first line begins so."""
    (found,) = [block.text for block in blocks(PAGE, "sh") if block.text.startswith(begins)]
    return found


def run(text, folder):
    """Runs a block; `quickstudy` is that of this Python."""
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    line = f"#!/bin/sh\nexec {sys.executable} -c 'import sys; from quickstudy.cli import main; sys.exit(main())' \"$@\"\n"
    (folder / "quickstudy").write_text(line)
    (folder / "quickstudy").chmod(0o755)
    done = subprocess.run(
        ["sh", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=1000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lived(engine, steps):
    for slot in range(steps):
        decision = engine.ask_and_wait(Act(name=A, observation=0))
        engine.ask_and_wait(Reward(name=A, decision_id=decision["decision_id"], reward=float(slot % 2)))


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.slow
def test_a_backup_of_a_store_in_use_is_restored(serve, tmp_path):
    needs("sqlite3")
    (tmp_path / "agents").mkdir()
    engine = Engine(serve(at_end="new"), open_store(f"sqlite:{tmp_path / 'sessions.db'}"))
    engine.start()
    lived(engine, 4)
    before = engine.ask_and_wait(Look(name=A))
    assert "The log is whole." in run(commands('sqlite3 sessions.db ".backup'), tmp_path)
    run(commands("tar "), tmp_path)
    lived(engine, 3)
    assert "1|" in run(commands('sqlite3 sessions.db "select'), tmp_path)
    engine.stop()
    assert "The log is whole." in run(commands("rm -f sessions.db"), tmp_path)
    engine = Engine(serve(at_end="new"), open_store(f"sqlite:{tmp_path / 'sessions.db'}"))
    engine.start()
    assert engine.ask_and_wait(Look(name=A)) == before
    lived(engine, 1)
    engine.stop()
    assert (tmp_path / "agents.tar.gz").exists()


def test_a_backup_by_python_is_whole(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = Engine(serve(at_end="new"), open_store("sqlite:sessions.db"))
    engine.start()
    lived(engine, 3)
    (block,) = blocks(PAGE, "python")
    exec(compile(block.text, PAGE, "exec"), {})
    lived(engine, 1)
    engine.stop()
    store = open_store("sqlite:backup.db", serves=False)
    assert len(store.events(A)) == 1 + 2 * 3
    store.close()


@pytest.mark.slow
def test_a_dump_of_a_database_in_use_is_restored(serve, postgres, tmp_path):
    if programs() is None or not (programs() / "pg_dump").exists():
        pytest.skip("pg_dump is not installed")
    url, other = postgres.database("dumped"), postgres.database("restored")
    engine = Engine(serve(at_end="new"), open_store(url))
    engine.start()
    lived(engine, 4)
    path = f"export PATH={programs()}:$PATH\n"
    run(path + commands("pg_dump").replace("postgresql://USER@HOST/DATABASE", url), tmp_path)
    before = engine.ask_and_wait(Look(name=A))
    lived(engine, 1)
    engine.stop()
    said = run(path + commands("pg_restore").replace("postgresql://USER@HOST/DATABASE", other), tmp_path)
    assert "The log is whole." in said
    engine = Engine(serve(at_end="new"), open_store(other))
    engine.start()
    assert engine.ask_and_wait(Look(name=A)) == before
    engine.stop()


def test_every_figure_of_the_alarms_is_told(serve, tmp_path):
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    with client_of_application(Application(Engine(serve(), store), Tokens(store)).asgi()) as client:
        client.post("/v1/sessions/a/act", json={"observation": 0})
        text = client.get("/metrics").text
    named = set(re.findall(r"\bquickstudy_\w+", PAGE.read_text()))
    assert named
    assert [name for name in named if not re.search(rf"^{name}\b", text, re.M)] == []
