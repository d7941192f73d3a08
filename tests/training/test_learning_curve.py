"""Whether a run was still learning when it ended, from curves with known shapes."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from quickstudy.training.learning_curve import advice, trend_at_end


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings as an algorithm has them."""

    cell: str = "gru"
    teacher: str | None = None


def curve(function, *, noise=0.0, evaluations=40):
    generator = np.random.default_rng(3)
    at = np.linspace(0, 1, evaluations)
    returns = function(at) + noise * generator.standard_normal((2, evaluations))
    return [(round(1000 * x), returns[:, i].tolist()) for i, x in enumerate(at)]


CURVES = {
    "a line": (lambda x: 10 * x, "rising"),
    "a plateau": (lambda x: 10 * np.minimum(1, 5 * x), "flat"),
    "a fall after a rise": (lambda x: 10 * np.where(x < 0.5, x, 1 - x), "falling"),
    "nothing learned": (lambda x: 0 * x, "flat"),
}


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("name", CURVES)
def test_the_trend_of_known_curves(name, noise):
    function, expected = CURVES[name]
    assert trend_at_end(curve(function, noise=noise)) == expected


def test_too_few_evaluations_tell_nothing():
    assert trend_at_end(curve(lambda x: x, evaluations=11)) is None
    assert trend_at_end([]) is None
    assert advice([], SimpleNamespace(config=Config())) is None


def test_noise_alone_is_rarely_a_trend():
    generator = np.random.default_rng(0)
    found = [trend_at_end([(i, [x]) for i, x in enumerate(generator.standard_normal(40))]) for _ in range(400)]
    assert found.count("flat") > 0.85 * len(found)


def test_what_to_try_is_what_the_algorithm_has():
    rising, flat = curve(lambda x: x), curve(lambda x: 0 * x)
    assert "--resume and a longer --budget" in advice(rising, SimpleNamespace(config=Config()))
    said = advice(flat, SimpleNamespace(config=Config()))
    assert "Try a baseline as its teacher (--teacher) or another memory than gru (--cell)." in said
    taught = advice(flat, SimpleNamespace(config=Config(teacher="UCB1")))
    assert "--teacher" not in taught
    assert advice(flat, SimpleNamespace(config=NothingToTry())).endswith("hardly help.")


@dataclasses.dataclass(frozen=True)
class NothingToTry:
    """An algorithm without any setting that could be tried."""

    lifetimes: int = 4
