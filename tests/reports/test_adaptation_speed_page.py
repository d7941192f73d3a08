"""The page of adaptation speeds."""

import dataclasses
from pathlib import Path

import pytest

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Crossing, Side, Threshold
from quickstudy.evaluation.results import Curve
from quickstudy.numerics.statistics import CensoredEstimate, Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.adaptation_speed_page import MEASURED, PAGE, load_speeds, render_speeds, write_speed_page

ROOT = Path(__file__).parents[2]


def side(name, episodes, end):
    return Side(
        name=name,
        trained=name != "ppo",
        seeds=5,
        episodes=episodes,
        steps=10.0 * episodes,
        curve=Curve(at=(10, 20), value=(-9.0, end), low=(-9.5, end), high=(-8.5, end)),
        area=Estimate(value=end, low=end, high=end),
        asymptote=Estimate(value=end, low=end - 0.5, high=end + 0.5),
        score_after={},
    )


def measured(split="test", *, low=8.0, high=12.0):
    known = lambda value: CensoredEstimate(at_least=value, at_most=value, low=value, high=value)  # noqa: E731
    crossing = Crossing(
        agent=known(30.0), baseline=known(300.0), speed_up=CensoredEstimate(at_least=10.0, at_most=10.0, low=low, high=high)
    )
    threshold = Threshold(
        fraction=0.75,
        level=Estimate(value=-2.0, low=-2.1, high=-1.9),
        on_each_task=crossing,
        on_mean_curve=crossing,
        agent_reached=1.0,
        baseline_reached=1.0,
        tasks_to_pay_back=None,
    )
    return AdaptationSpeed(
        distribution={"name": "point-navigation", "config": {"reward": "distance", "episodes": 4}},
        split=split,
        label="held-out tasks",
        tasks=50,
        lifetimes=2,
        seed=0,
        task_hash="0" * 64,
        horizon=100,
        window=1,
        floor=Estimate(value=-60.0, low=-61.0, high=-59.0),
        floor_known=True,
        ceiling=None,
        agent=side("rl2", 4, -1.5),
        baseline=side("ppo", 400, -1.0),
        shuffled=None,
        thresholds=(threshold,),
        break_even=CensoredEstimate(at_least=500.0, at_most=500.0, low=400.0, high=600.0),
        gain_from_reward=None,
        tasks_learned=1.0,
        meta_training_steps=1000,
    )


def test_the_page_is_what_would_be_drawn_now():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == render_speeds(load_speeds(ROOT)), "quickstudy bench page"


def written(folder, *measurements):
    """The page of a checkout whose one folder of tasks has these measurements."""
    place = folder / MEASURED / "short-walks"
    place.mkdir(parents=True)
    for one in measurements:
        one.save(place)
    return write_speed_page(folder).read_text()


def test_the_page_shows_speed_ups_with_their_signs_and_folds_the_rest(tmp_path):
    slow = measured("ood:turned", low=0.2, high=0.5)
    page = written(tmp_path, measured(), measured("ood:far-goals", low=0.5), slow)
    for part in (
        "## Short walks",
        "| **`rl2`** over `ppo` | 10 [8, 12] ▲ | 10 [0.5, 12] ≈ | 10 [0.2, 0.5] ▼ |",
        "| `rl2` over `ppo` | `test` | 30 | 300 | 500 |",
        "| `rl2` | `test` | −9.00 | −1.50 [−2.00, −1.00] | – |",
        "| `ppo` | `test` | −9.00 | −1.00 [−1.50, −0.50] | – |",
        "`rl2` was meta-trained for 1,000 steps",
    ):
        assert part in page, part
    assert page.count("| `rl2` | `test` |") == 1
    assert page.count("<details>") == page.count("</details>") == 2


def unknown(one):
    """The same measurement, but with a speed-up that censoring leaves unknown, and a baseline that never overtakes."""
    nothing = CensoredEstimate(at_least=0.0, at_most=None, low=0.0, high=None)
    crossing = dataclasses.replace(one.thresholds[0].on_each_task, speed_up=nothing)
    threshold = dataclasses.replace(one.thresholds[0], on_each_task=crossing)
    return dataclasses.replace(one, thresholds=(threshold,), break_even=dataclasses.replace(one.break_even, at_most=None))


def test_a_table_without_any_difference_is_one_sentence(tmp_path):
    page = written(tmp_path, measured(low=0.5), unknown(measured("ood:turned")))
    assert "No agent is significantly faster or slower than a baseline" in page
    assert "speed-up at" not in page
    assert "| > 4,000 |" in page


def test_an_unknown_speed_up_has_no_sign_and_no_interval(tmp_path):
    page = written(tmp_path, measured(), unknown(measured("ood:turned")))
    assert "| **`rl2`** over `ppo` | 10 [8, 12] ▲ | unknown |" in page


@pytest.mark.parametrize(("seeds", "told"), [(3, "rl2 has 3 training seeds"), (1, "rl2 was trained once"), (5, None)])
def test_few_seeds_are_named(tmp_path, seeds, told):
    one = measured()
    page = written(tmp_path, dataclasses.replace(one, agent=dataclasses.replace(one.agent, seeds=seeds)))
    assert told is None or told in page
    assert ("training seeds:" in page or "trained once" in page) == (told is not None)


def test_a_file_that_is_no_measurement_is_refused(tmp_path):
    place = tmp_path / MEASURED / "walks"
    place.mkdir(parents=True)
    (place / "speed.json").write_text("{}")
    with pytest.raises(UsageError, match="adaptation speed"):
        load_speeds(tmp_path)
