"""Words of a page's readers, in texts that also hold names."""

import pytest

from quickstudy.reports.wording import Wording


@pytest.mark.parametrize(
    ("usual", "said"),
    [
        ("reward of a step, mean over 5 steps", "conversions of a visitor, mean over 5 visitors"),
        ("Reward at each step", "Conversions at each visitor"),
        ("environment steps per seed", "visitors per seed"),
        ("Lifetime return during training", "Conversions per lifetime during training"),
        ("cumulative regret (log scale)", "cumulative regret in conversions (log scale)"),
        ("Cumulative return", "Cumulative conversions"),
        ("+1.0 [0.5, 1.5] per lifetime.", "+1.0 [0.5, 1.5] conversions per lifetime."),
        ("the reward of step-wise is", "the conversions of step-wise is"),
        ("stepping stones", "stepping stones"),
        ("return", "conversions"),
        ("return so far", "conversions so far"),
        ("return in the episode", "conversions in the episode"),
    ],
)
def test_usual_words_are_replaced(usual, said):
    say = Wording(unit="conversions", step="visitor").sayer(["step-wise", "rl2"])
    assert say(usual) == said


def test_nothing_changes_without_words():
    assert Wording().sayer([])("reward of a step") == "reward of a step"


@pytest.mark.parametrize(
    ("step", "plural"),
    [("visitor", "visitors"), ("query", "queries"), ("day", "days"), ("batch", "batches"), ("series", "series")],
)
def test_plurals(step, plural):
    assert Wording(step=step).sayer(["x"])("5 steps") == f"5 {plural}"


def test_letters_with_a_meaning_in_patterns_are_taken_literally():
    assert Wording(unit=r"\1 (€)", step="[x]").sayer(["a.b"])("reward of a step of a.b") == r"\1 (€) of a [x] of a.b"
