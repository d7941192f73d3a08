"""The page of a sweep: which settings matter, what limits it, and commands that parse."""

import dataclasses
import math

import pytest

from quickstudy.cli.train import parse_run
from quickstudy.evaluation.sweep.command import train_command
from quickstudy.evaluation.sweep.effects import effects_of
from quickstudy.evaluation.sweep.records import Sweep, Trial, Winner, best_first
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.evaluation.sweep.summary import difference_from_best, effect_sentences, notes, sweep_sentences
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.settings import flat_settings, plain_settings
from quickstudy.reports.sweep_page import write_sweep
from quickstudy.training.loop import TrainingConfig

OVER = {
    "learning_rate": SweptSetting(part="algorithm", low=1e-4, high=1e-2, log=True),
    "cell": SweptSetting(part="algorithm", values=("gru", "linear", None)),
}
RATES = (1e-4, 2e-4, 4e-4, 7e-4, 1e-3, 2e-3, 4e-3, 7e-3, 1e-2, 3e-4, 5e-4, 3e-3)


def made(results, **more):
    asked = {
        "algorithm": "rl2",
        "distribution": "bernoulli-bandit",
        "over": OVER,
        "settings": {
            "training": plain_settings(TrainingConfig(budget="30s", seeds=2)),
            "algorithm": {"hidden_size": 32},
            "distribution": {"arms": 5, "pulls": 100},
        },
        "sampler": "random",
        "sampler_seed": 0,
        "trials": len(results),
        "validation_tasks": 1000,
        "results": tuple(results),
    }
    return Sweep(**asked | more)


def trial(number, rate, cell, value, spread=0.1):
    settings = {"learning_rate": rate, "cell": cell}
    returns = (value - spread, value + spread)
    return Trial(number=number, settings=settings, state="finished", returns=returns, steps=1000, seconds=30.0)


@pytest.fixture(scope="module")
def known():
    """The return falls with the square of the distance from 1e-3 in decades; the cell changes nothing."""
    results = [
        trial(
            number,
            rate,
            ("gru", "linear", None)[number % 3],
            10 - 4 * (math.log10(rate) + 3) ** 2 + 0.05 * (-1) ** (number + 1),
        )
        for number, rate in enumerate(RATES, start=1)
    ]
    results.append(
        Trial(number=13, settings={"learning_rate": 0.01, "cell": "gru"}, state="failed", fault="update 1: <b>NaN</b>.")
    )
    sweep = made(results, command="quickstudy sweep rl2 bernoulli-bandit <x>")
    best = best_first(sweep.measured)[0]
    winner = Winner(
        trial=best.number, tasks={}, command=train_command(sweep, best, other_seeds=True),
        test_return=Estimate(value=9.5, low=9.2, high=9.8), test_tasks=500,
    )  # fmt: skip
    return dataclasses.replace(sweep, winners=(winner,))


def test_the_curve_is_found_and_the_cell_is_not(known):
    effects = effects_of(known)
    rate = effects.settings["learning_rate"]
    assert list(effects.settings) == ["learning_rate", "cell"]
    assert rate.matters
    assert not effects.settings["cell"].matters
    assert 7e-4 < rate.best < 1.4e-3
    assert rate.difference.low > 3
    assert effects.explained > 0.95
    # Seeds differ by 0.2, so a trial's mean has the variance 0.02 / 2.
    assert 0 < effects.share_of_seeds < 0.02


def test_sentences(known):
    said = " ".join(sweep_sentences(known, effects_of(known)))
    assert "Trial 5 is the best of 12: learning_rate 0.001, cell none." in said
    assert "On 500 fresh tasks of the test split, the agent of trial 5 has a return of 9.50 [9.20, 9.80]." in said
    assert "learning_rate matters: " in said
    assert "No significant effect was found of cell." in said
    assert "1 trial failed and is left out of the effects. Trial 13: update 1: <b>NaN</b>." in said
    assert "Train again with other seeds" in said


def test_differences_from_the_best_trial(known):
    best, other = known.results[4], known.results[0]
    assert difference_from_best(best, best) == "best"
    # Means differ by 4; Welch: t(2) = 4.303 times the root of 0.02 / 2 + 0.02 / 2.
    assert difference_from_best(other, best) == "−4.00 [−4.61, −3.39]"
    assert difference_from_best(known.results[12], best) == "–"


def test_the_page(known, tmp_path):
    page = write_sweep(known, folder=tmp_path).read_text(encoding="utf-8")
    assert "<b>NaN</b>" not in page
    assert "&lt;b&gt;NaN&lt;/b&gt;" in page
    assert "quickstudy sweep rl2 bernoulli-bandit &lt;x&gt;" in page
    assert page.count("<figure>") == 2
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "setting-cell.png", "setting-cell.svg", "setting-learning_rate.png", "setting-learning_rate.svg",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no trial of this sweep was measured yet"):
        write_sweep(made([]), folder=tmp_path)


def test_too_few_trials_say_so():
    effects = effects_of(made([trial(1, 1e-3, "gru", 5.0), trial(2, 1e-2, "linear", 6.0)]))
    assert effects.settings == {}
    (said,) = effect_sentences(effects)
    assert said.startswith("Nothing can be said about single settings: 2 trials were measured, and at least 4 are needed")


def test_a_value_with_which_every_trial_failed_is_named():
    failed = [
        Trial(number=number, settings={"learning_rate": rate, "cell": None}, state="failed", fault="no.")
        for number, rate in ((3, 1e-3), (4, 1e-4))
    ]
    sweep = made([trial(1, 1e-3, "gru", 5.0), trial(2, 1e-2, "linear", 6.0), *failed])
    assert "All 2 trials with cell none failed." in notes(sweep, effects_of(sweep))


def test_the_command_gives_the_settings_of_the_trial(known):
    (winner,) = known.winners
    words = winner.command.split()
    assert words[:4] == ["quickstudy", "train", "rl2", "bernoulli-bandit"]
    asked = parse_run("rl2", "bernoulli-bandit", words[4:])
    assert (asked.training.budget, asked.training.seeds, asked.training.seed) == ("30s", 2, 2)
    settings = flat_settings(asked.algorithm)
    assert (settings["learning_rate"], settings["cell"], settings["hidden_size"]) == (1e-3, None, 32)
    assert (asked.distribution.arms, asked.distribution.pulls) == (5, 100)
