"""The shipped rows, their stored results and their bundles; the pages that are drawn from them are as committed."""

from pathlib import Path

import pytest

from marks import slow_but
from quickstudy import tasks
from quickstudy.evaluation.bench.rows import Matrix, Row, columns_of, find, load_groups
from quickstudy.evaluation.bench.stored import load
from quickstudy.evaluation.bench.verification import load_bundles, verify
from quickstudy.reports.adaptation_speed_page import load_speeds
from quickstudy.reports.readme_table import render_readme_block
from quickstudy.reports.results_page import PAGE, render_page

ROOT = Path(__file__).parents[3]
GROUPS = load_groups()
ENTRIES = [entry for group in GROUPS for entry in group.entries]
CHEAPEST = 3


def results():
    return {entry.name: load(ROOT, entry) for entry in ENTRIES}


def cheapest():
    """The stored results whose quick verification costs least, and needs no suite."""
    there = [(entry, result) for entry in ENTRIES if (result := load(ROOT, entry)) is not None]
    there = [(entry, result) for entry, result in there if not any(c.distribution in tasks.SUITES for c in columns_of(entry))]

    def cost(pair):
        return sum(one.lifetime_steps * agent.seeds for one in pair[1].measurements for agent in one.agents.values())

    return sorted(there, key=cost)[:CHEAPEST]


def test_the_results_page_is_what_would_be_drawn_now():
    assert (ROOT / PAGE).read_text() == render_page(GROUPS, results()), "draw it again: quickstudy bench page"


def test_the_table_of_the_readme_is_what_would_be_drawn_now():
    text = (ROOT / "README.md").read_text()
    block = text.partition("<!-- measured -->\n")[2].partition("<!-- /measured -->")[0]
    assert block == render_readme_block(GROUPS, results(), load_speeds(ROOT)), "draw it again: quickstudy bench page"


@pytest.mark.parametrize("pair", slow_but(cheapest()[:1], cheapest()), ids=lambda pair: pair[0].name)
def test_shipped_agents_do_again_what_is_stored(pair):
    """The first tasks of the cheapest rows; `quickstudy bench verify` measures everything again."""
    ((bundles),) = load_bundles([pair], ROOT)
    entry, result = pair
    checks = list(verify(entry, result, bundles, quick=True))
    assert checks
    assert [check.fault for check in checks if check.fault] == []


def test_there_is_something_to_verify():
    assert cheapest()


def test_every_bundle_belongs_to_a_row_and_is_small():
    for bundle in (ROOT / "bundles").iterdir():
        row = find(GROUPS, bundle.name)
        assert isinstance(row, Row)
        assert row.bundle is None
        assert sum(file.stat().st_size for file in bundle.iterdir()) < 1_000_000, bundle


def test_every_stored_result_belongs_to_a_row():
    stored = list((ROOT / "results" / "rows").glob("*.json"))
    assert stored
    for path in stored:
        find(GROUPS, path.stem)


FEWER_TASKS = {"mdp-": 3000, "navigation-": 500, "cart-pole-": 500, "pendulum-": 500}
FEWER_TASKS |= {"half-cheetah-": 200, "reach-": 50, "push-": 50, "ml10-": 50, "xland-": 2000, "starpilot-": 200}


def test_rows_have_enough_tasks_and_seeds_for_what_they_claim():
    for entry in ENTRIES:
        # Lifetimes of navigation and control have hundreds to thousands of steps: 500 tasks, as is published for them. Those of
        # suites cost seconds each; Meta-World's own test split has 50 tasks.
        least = next((few for start, few in FEWER_TASKS.items() if entry.name.startswith(start)), 4000)
        assert entry.tasks >= least
        if isinstance(entry, Row) and entry.target is not None:
            assert entry.seeds >= 3


def test_targets_lie_within_what_is_possible():
    """No target is above an exact optimum or a bound."""
    for entry in ENTRIES:
        if isinstance(entry, Matrix) or entry.target is None:
            continue
        for mark in ("exact", "bound"):
            for best in entry.references.get(mark, {}).values():
                assert entry.target >= best if entry.measure == "regret" else entry.target <= best
