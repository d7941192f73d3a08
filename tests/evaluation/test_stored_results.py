"""Results of strangers: a file whose parts do not fit each other is refused by name, before anything is drawn."""

import copy
import json
from pathlib import Path

import pytest

import hostile
from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed
from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.errors import QuickstudyError, UsageError

SPEED = min((Path(__file__).parents[2] / "results" / "adaptation-speed").glob("*/*.json"), key=lambda path: path.stat().st_size)


def estimate(value=1.0):
    return {"value": value, "low": 0.5, "high": 1.5}


def curve():
    return {"at": [1, 2, 3], "value": [0.1, 0.2, 0.3], "low": [0.0, 0.1, 0.2], "high": [0.2, 0.3, None]}


def result(*, trained):
    return {
        "trained": trained, "seeds": 2, "lifetime_return": estimate(), "interquartile_mean": estimate(),
        "normalised_score": None, "regret": None, "area": estimate(), "asymptote": estimate(), "steps_to": {},
        "reward_by_step": curve(), "cumulative_return": curve(), "return_by_episode": curve(), "cumulative_regret": curve(),
        "memory_bytes": 10, "decision_microseconds": {"median": 1.0, "percentile_99": 2.0},
    }  # fmt: skip


@pytest.fixture
def good():
    """An evaluation as plain data."""
    ids = {"kind": "Discrete", "n": 2, "start": 0}
    return {
        "format": 1, "distribution": {"name": "bandit", "config": {"arms": 2}},
        "spec": {"observation_space": ids, "action_space": ids, "horizon": 1, "episodes": 3},
        "split": "test", "label": "test tasks", "tasks": 4, "seed": 0, "task_hash": "ab", "reference": "UCB1",
        "floor": estimate(), "ceiling": estimate(), "results": {"rl2": result(trained=True), "UCB1": result(trained=False)},
        "comparisons": [
            {"first": "rl2", "second": "UCB1", "difference": estimate(), "probability_of_improvement": estimate()}
        ],
        "definitions": {"regret": "what was lost"},
    }  # fmt: skip


def test_a_sound_evaluation_is_read(good):
    assert json.loads(json.dumps(Evaluation.from_json(good).to_json()))["results"].keys() == {"rl2", "UCB1"}


FAULTS = {
    "no contenders": (("results",), {}, "1 to 256 contenders"),
    "a reference that is not there": (("reference",), "ucb", "'ucb' is compared"),
    "a comparison of others": (("comparisons", 0, "first"), "sac", "'sac' is compared"),
    "an empty curve": (("results", "rl2", "reward_by_step"), {n: [] for n in curve()}, "1 or more; came [0, 0, 0, 0]"),
    "columns of other lengths": (("results", "rl2", "cumulative_return", "low"), [0.0], "came [3, 3, 1, 3]"),
    "a curve without numbers": (("results", "UCB1", "return_by_episode", "value"), [None] * 3, "holds no number"),
    "other times": (("results", "rl2", "decision_microseconds"), {"mean": 1.0}, "lacks median, percentile_99"),
    "no seeds": (("results", "rl2", "seeds"), 0, "seeds must be 1 or more"),
    "an empty split": (("split",), "", "split must not be empty"),
    "an empty label": (("label",), "", "label must not be empty"),
    "no tasks": (("tasks",), 0, "tasks must be 1 or more"),
    "another spec": (("spec",), {}, "spec: the spec lacks observation_space"),
    "text as a length": (("spec", "horizon"), "1", "horizon must be a whole number"),
    "a distribution without a name": (("distribution",), {"config": {}}, "a name and a config"),
    "numbers without end": (("floor", "value"), 1e300, "within ±1e+100"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_parts_that_do_not_fit_are_named(fault, good):
    at, value, said = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        Evaluation.from_json(hostile.put(good, at, value))
    assert said in str(caught.value)
    assert str(caught.value).endswith("Evaluate again.")


def test_times_of_decisions_may_be_missing(good):
    good["results"]["rl2"]["decision_microseconds"] = {}
    assert Evaluation.from_json(good).results["rl2"].decision_microseconds == {}


def test_a_ceiling_needs_a_regret(good):
    for name in good["results"]:
        good["results"][name]["cumulative_regret"] = None
    with pytest.raises(UsageError, match="no contender has a regret"):
        Evaluation.from_json(good)


def refusal(kind, data):
    """The line that refuses results; None where they are read."""
    try:
        kind.from_json(data)
    except QuickstudyError as error:
        return str(error)
    return None


def test_results_that_are_changed_at_any_place_are_refused_in_one_line_or_read(good):
    speed = json.loads(SPEED.read_text(encoding="utf-8"))
    tried = refused = 0
    for kind, data, every in ((Evaluation, good, 2), (AdaptationSpeed, speed, 1 + len(list(hostile.places(speed))) // 30)):
        kind.from_json(copy.deepcopy(data))
        for at in list(hostile.places(data))[::every]:
            for value in hostile.VALUES.values():
                line = refusal(kind, hostile.put(data, at, value))
                tried, refused = tried + 1, refused + (line is not None)
                assert line is None or line.isprintable()
    assert tried > 1000
    assert refused > 0.5 * tried


def test_a_speed_without_thresholds_is_refused():
    data = json.loads(SPEED.read_text(encoding="utf-8"))
    for at, value, said in (
        (("thresholds",), [], "1 to 256 thresholds"),
        (("agent", "steps"), 0, "agent must have steps above zero"),
        (("baseline", "curve", "at"), [], "columns of one length"),
        (("label",), "", "label must not be empty"),
    ):
        with pytest.raises(UsageError, match=said):
            AdaptationSpeed.from_json(hostile.put(data, at, value))
