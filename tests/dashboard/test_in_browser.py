"""The pages in a real browser: nothing from elsewhere, no complaint, nothing too wide, and readable for everybody."""

import time
from pathlib import Path

import pytest

from dashboard import chromium
from dashboard.conftest import decide
from evaluation.made_runs import make_run
from quickstudy.storage.folder_lock import FolderLock
from quickstudy.storage.metrics_file import MetricsFile

pytestmark = pytest.mark.slow

PAGES = (
    "/runs",
    "/runs/one?name=second",
    "/runs/compare",
    "/sessions",
    "/sessions/one?name=shop",
    "/sessions/change?name=shop&change=fork",
    "/agents",
    "/audit",
    "/adaptation",
    "/generalisation",
    "/generalisation?folder=study/best&on=ood-far",
    "/generalisation/lifetime?folder=study/best&split=ood-far&task=2",
    "/sessions/holdback",
    "/belief",
    "/nothing",
)
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
SERIOUS = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)"""
ALL_DRAWN = '[...document.querySelectorAll("figure.chart[data-csv]")].every((one) => one.querySelector("canvas"))'


def until(page, expression, *, seconds=30):
    """Waits until an expression is true. The policy of the pages forbids the waiting of playwright, which uses `eval`."""
    ends = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < ends, expression
        page.wait_for_timeout(20)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium.installed()
    if path is None:
        chromium.missing("there is no Chromium")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (1300, "dark"), (390, "light"), (390, "dark")])
def test_pages_are_sound_at_every_width_and_in_every_light(browser, whole, width, scheme):
    # Scripts of the test itself are let in past the policy; the next test loads the pages with the policy in force.
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for address in PAGES:
        page.goto(whole + address)
        until(page, ALL_DRAWN)
        wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, address
        page.evaluate(AXE)
        assert page.evaluate(SERIOUS) == [], address
    context.close()


def test_what_is_not_sound_is_found(browser):
    page = browser.new_page()
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="/none.png"></main></html>')
    page.evaluate(AXE)
    assert [said.partition(":")[0] for said in page.evaluate(SERIOUS)] == ["image-alt"]
    page.close()


def test_nothing_comes_from_elsewhere_and_nothing_is_complained_about(browser, whole):
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    page, complaints, elsewhere, paints = context.new_page(), [], [], {}
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(whole) else elsewhere.append(request.url))
    for address in PAGES:
        page.goto(whole + address)
        until(page, ALL_DRAWN)
        paints[address] = page.evaluate('performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0')
    context.close()
    assert elsewhere == []
    assert [said for said in complaints if "404" not in said] == []  # the last page is not there, on purpose
    assert sorted(paints.values())[len(paints) // 2] < 2000  # milliseconds; several tests share the machine


def test_tables_are_there_without_scripts(browser, whole):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{whole}/runs/one?name=second")
    assert page.get_by_text("The chart needs JavaScript.").first.is_visible()
    page.goto(f"{whole}/sessions")
    page.get_by_label("Search", exact=True).fill("shop")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("row").count() == 2
    page.get_by_role("link", name="shop").click()
    assert page.get_by_role("table", name="").first.is_visible()
    context.close()


def test_moments_of_training_are_there_with_a_slider_and_without_scripts(browser, whole):
    page = browser.new_page()
    page.goto(f"{whole}/adaptation?folder=study/best&split=test")
    until(page, ALL_DRAWN)
    assert page.get_by_text("after 200 steps", exact=True).first.is_visible()
    page.get_by_role("slider", name="Moment of training").focus()
    page.keyboard.press("ArrowLeft")
    until(page, 'document.getElementById("moment-said").textContent === "after 100 steps"')
    assert page.evaluate('[...document.querySelectorAll("svg.panel")].map((one) => one.classList.contains("chosen"))') == [
        True,
        False,
    ]
    page.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{whole}/adaptation?folder=study/best&split=test&moment=0")
    assert page.get_by_role("img", name="after 100 steps").is_visible()
    assert page.locator("svg.panel.chosen").count() == 1
    context.close()


def test_a_search_changes_the_table_alone(browser, whole):
    page = browser.new_page()
    page.goto(f"{whole}/sessions")
    page.evaluate("document.body.dataset.kept = 'yes'")
    page.get_by_label("Search", exact=True).press_sequentially("shop")
    until(page, 'document.querySelectorAll("#listed tbody tr").length === 1')
    assert page.evaluate("document.body.dataset.kept") == "yes"
    assert page.url.endswith("search=shop")
    page.close()


def test_everything_is_reached_with_the_keyboard(browser, whole):
    page = browser.new_page()
    page.goto(f"{whole}/runs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert [name for name in ("Sessions", "search", "second", "Compare the chosen runs") if name not in reached] == []
    page.close()


def test_a_live_reward_shows_within_a_second(browser, whole, served):
    decide(served[2], "live", rewards=(1.0,))
    page = browser.new_page()
    page.goto(f"{whole}/sessions/one?name=live")
    until(page, ALL_DRAWN)
    page.wait_for_timeout(500)  # until the stream is open
    decide(served[2], "live", rewards=(0.125,))
    began = time.monotonic()
    page.get_by_text("0.125").first.wait_for(timeout=10_000)
    assert time.monotonic() - began < 3  # a second on a machine that does nothing else
    until(page, '[...document.querySelectorAll("figure.chart[data-csv]")].every((one) => one.dataset.points === "2")')
    page.close()


def test_a_live_run_goes_on_before_the_eyes(browser, whole, runs):
    folder = make_run(runs / "live", [[1.0], [2.0]], finished=False)
    lock = FolderLock.take(folder)
    page = browser.new_page()
    page.goto(f"{whole}/runs/one?name=live")
    until(page, ALL_DRAWN)
    assert page.get_by_text("running").is_visible()
    page.wait_for_timeout(500)
    line = {"update": 3, "steps": 12_345, "seconds": 30.0, "train_return": [0.0], "held_out_return": [3.0]}
    MetricsFile(folder / "metrics.jsonl").append(line)
    page.get_by_text("12,345").first.wait_for(timeout=10_000)
    until(page, 'document.querySelector("figure.chart").dataset.points === "3"')
    page.close()
    lock.release()
