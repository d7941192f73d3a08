"""What the pages say: content, CSV files, empty pages, and what is refused."""

import html
import os
import re
import shlex

import httpx
import pytest

from dashboard.conftest import decide, running
from dashboard.made import LEVELS, table
from evaluation.made_runs import make_run
from quickstudy import cli
from quickstudy.dashboard.access import Access
from quickstudy.dashboard.application import SECURITY_HEADERS, application
from quickstudy.dashboard.asked import PageRoute
from quickstudy.dashboard.rendering import Pages
from quickstudy.dashboard.sources import Sources, dashboard
from quickstudy.serving.http.tokens import new_token
from quickstudy.serving.requests import Reward, SessionName
from quickstudy.serving.stores import open_store
from reports.made_evaluation import made
from reports.made_lifetime import LIFETIME

PAGES = ("/runs", "/sessions", "/agents", "/audit", "/adaptation", "/generalisation", "/belief")


def text_of(response):
    """The text of a page as people read it."""
    assert response.status_code == 200, response.text
    body = re.sub(r"<(script|style).*?</\1>", "", response.text, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def key_of(response):
    return re.search(r'name="form_key" value="([^"]+)"', response.text)[1]


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_page_says_which_command_fills_it(empty, page):
    said = text_of(empty.get(page))
    (command,) = re.findall(r"This command fills the page: (quickstudy \w+)", said)
    assert command.split()[1] in cli.VERBS


@pytest.mark.parametrize("page", [*PAGES, "/runs/one.csv?name=second", "/nothing", "/static/charts.js", "/vendor/htmx.min.js"])
def test_every_response_forbids_other_origins(client, page):
    headers = client.get(page).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_script_and_no_style_of_their_own(client, page):
    text = client.get(page).text
    assert not re.findall(r"<script(?![^>]*\bsrc=\"/)|<style|\sstyle=|\son\w+=|javascript:", text)


def test_the_list_of_runs_has_their_state_and_numbers(client):
    said = text_of(client.get("/runs"))
    assert "3 runs of 3" in said
    assert re.search(r"first rl2 on some-tasks interrupted 20 – 2 200 3 It ended before its budget was spent", said)
    assert re.search(r"second maml on some-tasks finished 10 – 1 300 7 none", said)
    assert "study/best" in said
    found = client.get("/runs?search=maml&state=finished", headers={"hx-request": "true"}).text
    assert "<html" not in found
    assert "second" in found
    assert "first" not in found


def test_a_run_and_its_curves(client):
    said = text_of(client.get("/runs/one?name=first"))
    assert "State interrupted" in said
    assert "Held-out return 3 " in said
    header, rows = table(client.get("/runs/one.csv?name=first&measure=held_out_return").text)
    assert header == ["steps", "mean over seeds", "seed 0", "seed 1"]
    assert rows == [[100, 2, 1, 3], [200, 3, 2, 4]]


def test_runs_are_compared_on_one_axis(client):
    header, rows = table(client.get("/runs/compare.csv?run=first&run=second").text)
    assert header == ["steps", "first", "second"]
    assert rows == [[100.0, 2, 5], [200.0, 3, 6], [300.0, None, 7]]
    assert "some-tasks, 3 runs" in text_of(client.get("/runs/compare"))


@pytest.mark.parametrize("page", ["/runs/one?name=../x", "/runs/compare?run=none", "/runs/one.csv?name=first&measure=loss"])
def test_what_is_not_there_is_said(client, page):
    response = client.get(page)
    assert response.status_code == 400
    assert 'role="alert"' in response.text


def test_names_of_anybody_are_text(client):
    assert "<b>x</b>" not in client.get("/sessions?search=<b>x</b>").text
    assert "<b>x</b>" not in client.get("/runs/one?name=<b>x</b>").text


def test_sessions_are_searched_and_listed(client):
    said = text_of(client.get("/sessions?search=customer"))
    assert "customer-1 adapts 1 3 7" in said
    assert "shop" not in said
    assert "customer-1" not in client.get("/sessions?after=customer-1&search=customer").text.split("<tbody>")[1]


def test_one_session_tells_late_rewards_and_unknown_ones(client, served):
    first, second, third = decide(served[2], "late", rewards=(float("nan"), 1.0, float("nan")))
    served[2].ask_and_wait(Reward(name=SessionName("default", "late"), decision_id=first, reward=0.5))
    said = text_of(client.get("/sessions/one?name=late"))
    assert "Late rewards 1 Decisions without a reward 1" in said
    assert re.search(rf"{first} 0 \d 0\.333 0\.5 [\d.]+ m?s late reward", said)
    assert re.search(rf"{second} 0 \d 0\.\d+ 1 [\d.]+ m?s known", said)
    assert re.search(rf"{third} 0 \d 0\.\d+ – – open", said)
    header, rows = table(client.get("/sessions/one.csv?name=late&measure=reward").text)
    assert header == ["decision", "reward"]
    assert rows == [[1, 0.5], [2, 1], [3, None]]


def test_changes_are_confirmed_and_stand_in_the_audit(client, served):
    (decision,) = decide(served[2], "changed", rewards=(1.0,))
    asked = client.get("/sessions/change?name=changed&change=freeze")
    assert "Freeze session changed?" in text_of(asked)
    form = {"form_key": key_of(asked), "name": "changed"}
    done = client.post("/sessions/change", data=form | {"change": "freeze"})
    assert done.status_code == 303
    said = text_of(client.get(done.headers["location"]))
    assert "State frozen" in said
    assert "The session was frozen." in said
    client.post("/sessions/change", data=form | {"change": "thaw"})
    decide(served[2], "changed", rewards=(0.0,))
    client.post("/sessions/change", data=form | {"change": "rollback", "events": "3"})
    assert "undone by a rollback" in text_of(client.get("/sessions/one?name=changed"))
    client.post("/sessions/change", data=form | {"change": "fork", "fork": "copied", "events": "3"})
    assert decision in text_of(client.get("/sessions/one?name=copied"))
    checked = client.post("/audit/verify", data={"form_key": form["form_key"]})
    assert "The log is whole." in text_of(checked)


def test_a_change_without_the_key_of_a_form_is_refused(client):
    refused = client.post("/sessions/change", data={"form_key": "guessed", "name": "shop", "change": "freeze"})
    assert refused.status_code == 403
    assert "State adapts" in text_of(client.get("/sessions/one?name=shop"))


def test_a_change_that_the_server_refuses_is_told(client):
    key = key_of(client.get("/sessions/change?name=shop&change=fork"))
    form = {"form_key": key, "name": "shop", "change": "fork", "fork": "customer-1", "events": "1"}
    refused = client.post("/sessions/change", data=form)
    assert refused.status_code == 409
    assert "There is a session of this name already" in refused.text


def test_the_audit_finds_a_decision_with_and_without_its_session(client, served):
    (decision,) = decide(served[2], "audited", rewards=(1.0,))
    decide(served[2], "audited", rewards=(1.0,), decision_id="visit-17")
    said = text_of(client.get(f"/audit?decision={decision}&session=audited"))
    assert re.search(r"Session audited .* acted .* rewarded .* reward 1\.0", said)
    assert "Session audited" in text_of(client.get("/audit?decision=visit-17"))
    report = client.get(f"/audit/decision.json?decision={decision}&session=audited").json()
    assert [event["kind"] for event in report["events"]] == ["acted", "rewarded"]
    decide(served[2], "other", rewards=(1.0,), decision_id="visit-17")
    assert "Several sessions have this decision audited other" in text_of(client.get("/audit?decision=visit-17"))
    assert "No session has the decision" in text_of(client.get("/audit?decision=none"))


def test_adaptation_has_bands_over_tasks_and_experts(client):
    said = text_of(client.get("/adaptation?folder=study/best&split=test"))
    assert "Lines are medians over tasks." in said
    assert "Thompson sampling expert or baseline" in said
    header, rows = table(client.get("/adaptation.csv?folder=study/best&split=test&measure=regret").text)
    assert header[:4] == ["step", "rl2: median", "rl2: 10 %", "rl2: 90 %"]
    assert len(rows) == 20
    assert all(low <= median <= high for _, median, low, high, *_ in rows)
    assert "These are training tasks." in text_of(client.get("/adaptation?folder=study/best&split=train"))


def test_a_run_without_results_is_told_how_to_get_them(client):
    for page in ("/adaptation?folder=first", "/generalisation?folder=first"):
        said = text_of(client.get(page))
        assert re.search(r"There are no results in \S+/first yet. This command fills the page: quickstudy evaluate", said)


def test_generalisation_has_every_split_and_the_worst_tasks(client):
    said = text_of(client.get("/generalisation?folder=study/best"))
    assert re.search(r"train TRAINING TASKS, not held out 30 rl2 .*test held-out tasks 30 rl2 .*ood:far", said)
    assert re.search(r"1 1\.5 random 0\.5 1 0 5 random 7 -2 2 9 random 3 6", said)


def test_parts_without_content_say_which_command_fills_them(empty, tmp_path):
    make_run(tmp_path / "runs" / "bare", [], finished=False)
    said = text_of(empty.get("/runs/one?name=bare"))
    assert "goes on with the run, and fills the page: quickstudy train --resume" in said
    folder = make_run(tmp_path / "runs" / "old", [[1.0]])
    made(LEVELS, split="test").save(folder)
    assert re.search(
        r"During training .* This command trains one: quickstudy train", text_of(empty.get("/adaptation?folder=old"))
    )
    said = text_of(empty.get("/generalisation?folder=old"))
    assert re.search(
        r"do not hold the parameters of their tasks. This command stores them: quickstudy evaluate \S+/old --splits", said
    )
    assert re.search(r"The worst tasks need the return on every task. This command stores them: quickstudy evaluate", said)


def test_belief_has_a_chart_for_each_part(client):
    page = client.get("/belief").text
    for address in re.findall(r'data-csv="([^"]+)"', page):
        header, rows = table(client.get(html.unescape(address)).text)
        assert header[0] == "step"
        assert rows


def test_every_chart_has_its_file(client):
    pages = ["/runs/one?name=second", "/runs/compare", "/sessions/one?name=shop", "/adaptation", "/generalisation", "/belief"]
    found = [address for page in pages for address in re.findall(r'data-csv="([^"]+)"', client.get(page).text)]
    assert len(found) >= 8
    for address in found:
        answer = client.get(html.unescape(address))
        assert answer.headers["content-type"].startswith("text/csv"), address
        assert len(answer.text.splitlines()) > 1, address


def test_a_page_that_fails_says_so_and_keeps_its_headers(caplog):
    def answer(asked):
        raise RuntimeError("a fault of ours")

    access = Access(None)
    pages = Pages(form_key=access.form_key, signs_out=False)
    with running(application([PageRoute(path="/fails", answer=answer)], access, pages)) as url:
        failed = httpx.get(f"{url}/fails")
    assert failed.status_code == 500
    assert "This page has failed." in failed.text
    assert "a fault of ours" not in failed.text
    assert "default-src 'self'" in failed.headers["content-security-policy"]
    assert "a fault of ours" in caplog.text


def test_another_host_is_refused_where_there_is_no_token(whole):
    answer = httpx.get(f"{whole}/runs", headers={"host": "dashboard.example"})
    assert answer.status_code == 403
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_with_tokens_everybody_signs_in(runs, tmp_path):
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    reader, stored = new_token("acme", ("read",))
    store.add_token(stored)
    with running(dashboard(Sources(runs=runs, store=store))) as url, httpx.Client(base_url=url, timeout=60) as client:
        signs_in_and_out(client, reader)
    store.close()


def signs_in_and_out(client, reader):
    sent = client.get("/runs?search=a", headers={"host": "far.example"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?to=/runs%3Fsearch%3Da")
    page = client.get(sent.headers["location"])
    form = {"form_key": key_of(page), "to": "//evil.example"}
    assert client.post("/sign-in", data=form | {"token": "qs_wrong_one"}).status_code == 401
    signed = client.post("/sign-in", data=form | {"token": reader})
    assert (signed.status_code, signed.headers["location"]) == (303, "/runs")
    assert "httponly" in signed.headers["set-cookie"].lower()
    assert client.get("/runs").status_code == 200
    assert client.get("/sessions").status_code == 200
    assert client.get("/audit").status_code == 403  # needs the scope admin
    assert client.post("/sign-out", data={"form_key": form["form_key"]}).status_code == 303
    assert client.get("/runs").status_code == 303


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("/adaptation", "evaluation-test.json"),
        ("/generalisation", "evaluation-test.json"),
        ("/belief", "example-lifetime.json"),
    ],
)
def test_a_damaged_result_leaves_the_choice_of_others(tmp_path, page, file):
    for name in ("damaged", "whole"):
        made(LEVELS, split="test").save(tmp_path / name)
        LIFETIME.save(tmp_path / name)
    damaged = tmp_path / "damaged" / file
    damaged.write_text('{"half": ')
    with running(dashboard(Sources(runs=tmp_path))) as url, httpx.Client(base_url=url, timeout=60) as client:
        refused = client.get(page)
        assert refused.status_code == 400
        assert f'role="alert">{damaged} does not parse' in refused.text
        assert "<option>whole</option>" in refused.text
        assert client.get(f"{page}?folder=whole").status_code == 200


def test_commands_on_pages_name_any_folder_as_one_word(tmp_path):
    make_run(tmp_path / "my runs" / "it's one", [[1.0]])
    made(LEVELS, split="test").save(tmp_path / "my runs" / "measured")
    with running(dashboard(Sources(runs=tmp_path / "my runs"))) as url, httpx.Client(base_url=url, timeout=60) as client:
        pages = ("/runs/one?name=it's one", "/adaptation?folder=it's one", "/generalisation?folder=measured")
        commands = [re.findall(r"quickstudy evaluate ([^<]*)", html.unescape(client.get(page).text)) for page in pages]
    words = [shlex.split(command)[0] for each in commands for command in each]
    own, measured = str(tmp_path / "my runs" / "it's one"), str(tmp_path / "my runs" / "measured")
    assert [word for word in words if word != "RUN"] == [own, own, measured, measured]


def test_a_folder_whose_name_is_no_text_hides_no_other_run(tmp_path):
    make_run(tmp_path / "one", [[1.0]])
    strange = tmp_path / os.fsdecode(b"caf\xe9")
    make_run(strange, [[1.0]])
    made(LEVELS, split="test").save(strange)
    LIFETIME.save(strange)
    with running(dashboard(Sources(runs=tmp_path))) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert "1 run of 1" in text_of(client.get("/runs"))
        for page in ("/runs/compare", "/adaptation", "/generalisation", "/belief"):
            text_of(client.get(page))


def test_the_folder_of_runs_may_be_one_run(tmp_path):
    run = make_run(tmp_path / "run", [[1.0], [4.0]])
    with running(dashboard(Sources(runs=run))) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert "1 run of 1" in text_of(client.get("/runs"))
        assert "Held-out return 4 " in text_of(client.get("/runs/one?name=."))
