"""The part on new visitors: what it says of gains, ties and harm; no agent has to be trained for it."""

import dataclasses

import pytest

from quickstudy.evaluation.new_visitors import AGENT, GUARDED, LINUCB, OUTSIDE
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.page import write_report
from quickstudy.reports.visitors_section import HEADING, visitors_section, visitors_sentences
from reports.made_evaluation import made

LEVELS = {AGENT: 0.8, GUARDED: 0.79, "popularity": 0.4, LINUCB: 0.6, "mixture-prior Bayes": 0.8}


def both():
    """Evaluations on both splits."""
    trained = (AGENT, GUARDED)
    found = [made(LEVELS, trained=trained), made(LEVELS, trained=trained, split=OUTSIDE)]
    return [dataclasses.replace(one, results={name: _untimed(result) for name, result in one.results.items()}) for one in found]


def _untimed(result):
    """The result as `measure_new_visitors` has it, without times of single decisions."""
    return dataclasses.replace(result, decision_microseconds={})


def with_lift(evaluation, first, second, *, value, half):
    """The evaluation with another lift, and a difference of the same sign."""
    lift = Estimate(value=value, low=value - half, high=value + half)
    pairs = [one for one in evaluation.comparisons if {one.first, one.second} != {first, second}]
    (old,) = (one for one in evaluation.comparisons if {one.first, one.second} == {first, second})
    old = old if old.first == first else old.reversed()
    return dataclasses.replace(evaluation, comparisons=(*pairs, dataclasses.replace(old, difference=lift, lift=lift)))


def test_harm_is_said_in_percent_and_a_tie_is_called_one():
    usual, outside = both()
    # `made` compares the reference alone; the guarded agent is compared here.
    against = dataclasses.replace(usual.comparisons[0], first=GUARDED, second=LINUCB)
    outside = dataclasses.replace(outside, comparisons=(*outside.comparisons, against))
    outside = with_lift(outside, AGENT, LINUCB, value=-0.09, half=0.01)
    outside = with_lift(outside, GUARDED, LINUCB, value=0.004, half=0.01)
    usual = with_lift(usual, GUARDED, AGENT, value=-0.02, half=0.005)
    *_, harm = visitors_sentences([usual, outside])
    assert "There it has 9.0 % [8.0, 10.0] fewer clicks than item LinUCB" in harm
    assert "with its guard 0.4 % [−0.6, 1.4] more clicks than item LinUCB (no significant difference)" in harm
    assert "the guarded agent has 2.0 % [1.5, 2.5] fewer clicks than rl2 (shipped)." in harm


def test_what_is_lost_is_said_of_everybody():
    first, second, _ = visitors_sentences(both())
    for name in ("popularity", LINUCB, "mixture-prior Bayes"):
        assert f"{name} " in first
        assert name in second
    assert GUARDED not in first + second
    assert second.startswith(f"On 30 visitors never seen in training, {AGENT} is ")


def test_the_part_stands_on_the_page_with_charts_of_its_own(tmp_path):
    page = write_report(tmp_path, evaluations=[made({"rl2": 0.8, "UCB1": 0.7})], visitors=both()).read_text(encoding="utf-8")
    part = page[page.index(f"<h2>{HEADING}</h2>") :]
    assert part.count("<svg") >= 2
    assert "Clicks lost so far against a shop that knows each visitor" in part
    assert "cumulative regret in clicks" in part
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"regret.svg", "visitors-regret.svg", "visitors-adaptation.png"} <= names
    assert HEADING not in write_report(tmp_path, evaluations=[made({"rl2": 0.8})]).read_text(encoding="utf-8")


def test_evaluations_of_something_else_are_refused():
    with pytest.raises(UsageError, match="must hold the splits test and ood:outside-clusters"):
        visitors_section(both()[:1])
    assert not visitors_section([]).markup
