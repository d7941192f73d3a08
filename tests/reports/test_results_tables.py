"""Cells of the results page, the README's tables and the parts of a Markdown page, on measurements made by hand."""

import dataclasses
from pathlib import Path

import pytest

from quickstudy.evaluation.bench.rows import Group, Row
from quickstudy.evaluation.bench.stored import Measured, Measurement, Opponent, Stored
from quickstudy.numerics.statistics import Estimate
from quickstudy.reports import markdown, results_tables
from quickstudy.reports.adaptation_speed_page import load_speeds
from quickstudy.reports.readme_table import render_readme_block
from quickstudy.reports.results_page import render_page
from quickstudy.reports.seeds import seeds_sentences

ROOT = Path(__file__).parents[2]


def around(value, width=0.5):
    return Estimate(value=value, low=value - width, high=value + width)


def baseline(value, difference, outcome):
    return Opponent(value=around(value), differences={"rl2": around(difference)}, outcomes={"rl2": outcome})


def stored(name="walk", measure="lifetime return", **baselines):
    agent = Measured(
        bundle=name, parameters_sha256="0" * 64, seeds=2, value=around(5.0), by_seed=(4.0, 6.0), first_tasks=around(5.0)
    )
    measurement = Measurement(
        title="walks", distribution="walks", settings={}, split="test", tasks=100, seed=0, task_hash="f" * 64,
        lifetime_steps=10, agents={"rl2": agent}, opponents=baselines, verdict=(),
    )  # fmt: skip
    return Stored(
        name=name, measure=measure, measurements=(measurement,), command=f"quickstudy bench run {name}", seconds=3.0,
        machine={"platform": "cpu", "cores": 2, "processor": "P"}, versions={}, training=None,
    )  # fmt: skip


def row(name="walk", **fields):
    return Row(**{"name": name, "title": f"{name}s", "distribution": "walks", **fields})


def group(*rows, bounds=()):
    return Group(title="Walks", about="All walks.", place=0, bounds=bounds, sources={"exact": "by hand"}, entries=rows)


BASELINES = {"greedy": baseline(4.0, 1.0, "win"), "UCB1": baseline(5.2, -0.2, "tie"), "optimum": baseline(7.0, -2.0, "loss")}


def test_a_bound_is_no_baseline():
    (measurement,) = stored(**BASELINES).measurements
    assert results_tables.strongest(measurement, "lifetime return", without=())[0] == "optimum"
    assert results_tables.strongest(measurement, "lifetime return", without=("optimum",))[0] == "UCB1"
    assert results_tables.strongest(measurement, "lifetime return", without=tuple(BASELINES)) is None


def test_of_regrets_the_lowest_is_the_best_and_differences_change_their_sign():
    (measurement,) = stored(measure="regret", **BASELINES).measurements
    assert [name for name, _ in results_tables.ranked_baselines(measurement, "regret")] == ["greedy", "UCB1", "optimum"]
    assert results_tables.signed_difference(BASELINES["greedy"], "rl2", "regret") == "−1.00 [−1.50, −0.50] ▲"
    assert results_tables.signed_difference(BASELINES["greedy"], "rl2", "lifetime return") == "+1.00 [0.50, 1.50] ▲"


def test_the_page_shows_the_agents_and_folds_everything_else():
    page = render_page([group(row(), bounds=("optimum",))], {"walk": stored(**BASELINES)})
    open_part, _, rest = page.partition("<details>")
    assert "| walks | rl2 | **5.00 [4.50, 5.50]** | 7.00 | UCB1 5.20 | −0.200 [−0.700, 0.300] ≈ |" in open_part
    assert "greedy" not in open_part
    assert "|  | greedy | 4.00 [3.50, 4.50] | +1.00 [0.50, 1.50] ▲ |" in rest
    assert "Mean of each seed: 4.00, 6.00." in " ".join(rest.split())


def test_columns_that_no_row_needs_are_left_out():
    page = render_page([group(row())], {"walk": stored()})
    assert "| tasks | agent | lifetime return |\n" in page
    page = render_page([group(row(target=4.0))], {"walk": stored()})
    assert "| tasks | agent | lifetime return | target |\n" in page
    assert "4: reached" in page


def test_rows_that_were_not_run_are_one_sentence_and_equal_notes_one_item():
    rows = (row(note="Slow."), row("run", note="Slow."), row("jump"), row("skip"))
    page = render_page([group(*rows)], {"walk": stored(), "run": stored("run"), "jump": None, "skip": None})
    assert "Not run yet: `jump`, `skip`.\n" in page
    assert "- walks, rl2; runs, rl2: Slow.\n" in page


def test_references_are_a_table_without_empty_rows():
    known = row(references={"exact": {"optimum": 7.0}})
    page = render_page([group(known, row("run"))], {"walk": stored(), "run": stored("run")})
    assert "*exact*: by hand.\n\n| tasks | optimum |\n| --- | --- |\n| walks | 7 |\n" in page


def test_the_readme_shows_only_rows_with_words_for_it():
    groups = [group(row(readme="a walk"), row("run"), bounds=("optimum",))]
    block = render_readme_block(groups, {"walk": stored(**BASELINES), "run": stored("run", **BASELINES)}, {})
    assert "| a walk | 5.00 (rl2) | 5.20 (UCB1) | tie: −0.200 [−0.700, 0.300] |" in block
    assert block.count("(UCB1)") == 1
    lost = dict(BASELINES, UCB1=dataclasses.replace(BASELINES["UCB1"], outcomes={"rl2": "loss"}))
    assert "| worse: −0.200" in render_readme_block(groups, {"walk": stored(**lost), "run": None}, {})


def test_the_readme_begins_with_the_steps_on_a_new_task():
    block = render_readme_block([], {}, load_speeds(ROOT))
    first = next(line for line in block.splitlines() if line.startswith("| find a goal"))
    assert "| faster: 25 [19, 38] |" in first
    assert "| tie: 1.5 to 5.7 [1, 20] |" in block


@pytest.mark.parametrize(("page", "widest"), [("README.md", 128), ("docs/results.md", 160), ("docs/adaptation-speed.md", 160)])
def test_lines_of_generated_pages_are_narrow(page, widest):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= widest


def test_long_text_is_wrapped_and_addresses_stay_whole():
    address = "https://example.org/" + "a" * 130
    assert markdown.paragraph(f"see {address} for more").splitlines() == ["see", address, "for more"]
    item = markdown.item("word " * 40).splitlines()
    assert item[0].startswith("- word")
    assert all(line.startswith("  word") for line in item[1:])
    assert max(map(len, item)) <= markdown.WIDTH


def test_agents_with_as_many_seeds_share_a_sentence():
    assert seeds_sentences({"rl2": 3, "maml": 3, "pearl": 1, "varibad": 5}) == [
        "pearl was trained once: the intervals cover the tasks only, not the training.",
        "rl2 and maml have 3 training seeds: the intervals are somewhat too narrow.",
    ]
    assert seeds_sentences({}) == []
