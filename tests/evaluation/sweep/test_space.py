"""What is varied: texts of values and ranges, and every way in which they can be wrong."""

import math
from typing import Annotated, Literal

import pytest

from quickstudy.evaluation.sweep.space import SweptSetting, read_over
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.setting_values import POSITIVE

KINDS = {
    "training": {"budget": str, "seed": int},
    "algorithm": {
        "learning_rate": Annotated[float, POSITIVE],
        "cell": Literal["gru", "linear"] | None,
        "hidden_sizes": tuple[int, ...],
        "learned_start": bool,
        "teacher": str | None,
    },
    "distribution": {"arms": int, "pair": tuple[int, float]},
}


def one(text):
    (found,) = read_over([text], KINDS).values()
    return found


@pytest.mark.parametrize(
    ("text", "part", "values"),
    [
        ("cell=gru,linear", "algorithm", ("gru", "linear")),
        ("--cell=gru,none", "algorithm", ("gru", None)),
        ("hidden-sizes=[64,64],[128]", "algorithm", ([64, 64], [128])),
        ("learned_start=true,False", "algorithm", (True, False)),
        ("teacher=none,ucb1,my.py:agent", "algorithm", (None, "ucb1", "my.py:agent")),
        ("budget=10s,1e5 steps", "training", ("10s", "1e5 steps")),
        ("arms=2,5,5,10", "distribution", (2, 5, 10)),
        ("learning_rate=1e-4,1e-3", "algorithm", (1e-4, 1e-3)),
        ("learning_rate=1e-4:1e-2:log:3", "algorithm", (1e-4, 1e-3, 1e-2)),
        ("arms=2:10:3", "distribution", (2, 6, 10)),
        ("pair=[1,2.5],[3,4]", "distribution", ([1, 2.5], [3, 4.0])),
    ],
)
def test_values(text, part, values):
    found = one(text)
    assert (found.part, found.values, found.is_range) == (part, values, False)


def test_ranges():
    assert one("learning_rate=1e-4:1e-2:log") == SweptSetting(part="algorithm", low=1e-4, high=1e-2, log=True)
    assert one("arms=2:10") == SweptSetting(part="distribution", low=2, high=10, whole=True)
    rate = one("learning_rate=1e-4:1e-2:log")
    assert [rate.at(place) for place in (0.0, 0.5)] == pytest.approx([1e-4, 1e-3])
    assert rate.place(1e-3) == pytest.approx(0.5)
    # Nine whole numbers, each with a ninth of the range.
    drawn = [one("arms=2:10").at((place + 0.5) / 900) for place in range(900)]
    assert [drawn.count(number) for number in range(2, 11)] == [100] * 9
    assert all(type(number) is int for number in drawn)
    assert math.isclose(one("learning_rate=1:3").at(0.25), 1.5)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "a sweep needs a setting to vary: give --over once or more"),
        (["cell"], "names no values. Write values as NAME=VALUE,VALUE"),
        (["=1,2"], "names no values"),
        (["lr=1,2"], "unknown setting to vary, 'lr'. Did you mean 'learning_rate'?"),
        (["cell=gru"], "cell has one value, 'gru', so there is nothing to vary. Set it with --cell."),
        (["cell=gru,grru"], "unknown cell 'grru'. Did you mean 'gru'? Known: gru, linear."),
        (["learning_rate=-1,1"], "learning_rate must be above zero; came -1."),
        (["learning_rate=NaN,1"], "learning_rate must be finite and above zero; came nan."),
        (["learning_rate=a,1"], "learning_rate must be a number; came 'a'."),
        (["arms=2.5,3"], "arms must be a whole number; came 2.5."),
        (["learning_rate=1e-2:1e-4"], "the low end of a range must be a number below its high end; came '1e-2:1e-4'."),
        (["learning_rate=1:2:3:4"], "is no range. Write values as"),
        (["learning_rate=1:2:lg"], "is no range. Write values as"),
        (["learning_rate=1:2:log:1"], "the points of a range must be 2 to 1,000; came 1."),
        (["learning_rate=0:1:log"], "learning_rate must be above zero; came 0."),
        (["seed=-5:5:log"], "a range with :log must begin above zero; came -5."),
        (["cell=gru,linear", "cell=linear,gru"], "--over names cell twice"),
        (["arms=" + "9" * 5000 + ",3"], "arms must be"),
        (["seed=" + ",".join(map(str, range(1001)))], "seed has 1,001 values; at most 1,000 are allowed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(texts, says):
    with pytest.raises(UsageError) as refused:
        read_over(texts, KINDS)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, UnknownNameError) == says.startswith("unknown")
