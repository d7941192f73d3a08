"""Values of settings: what each annotation allows, and the form in which values are stored."""

import enum
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

import quickstudy as qs
from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.registry import config_class
from quickstudy.protocol.setting_values import FRACTION, Count, Range, Seed, checked_value, plain_value
from quickstudy.protocol.settings import check_settings, flat_annotations, flat_settings, with_settings
from quickstudy.rollout.collecting.config import CollectingConfig


class Mode(enum.Enum):
    EASY = 1
    HARD = "1"


@pytest.mark.parametrize(
    ("kind", "came", "wanted"),
    [
        (int, np.int64(3), 3),
        (float, 3, 3.0),
        (float, np.float32(0.5), 0.5),
        (bool, np.bool_(True), True),
        (str | None, None, None),
        (int | str, "a", "a"),
        (Literal["a", 1], 1, 1),
        (Path, "a/b", Path("a/b")),
        (Mode, "HARD", Mode.HARD),
        (Mode, 1, Mode.EASY),
        (Mode, Mode.EASY, Mode.EASY),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[Path, Mode], ["x", "EASY"], (Path("x"), Mode.EASY)),
        (Seed, 2**32 - 1, 2**32 - 1),
        (Annotated[float, FRACTION], 1, 1.0),
        (Any, [1], [1]),
    ],
)
def test_values_come_in_the_type_of_their_annotation(kind, came, wanted):
    found = checked_value("it", kind, came)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("kind", "came", "message"),
    [
        (int, 1.0, "it must be a whole number; came 1."),
        (int, True, "it must be a whole number; came True."),
        (int, 2**31, "it must be 2147483647 or less; came 2147483648."),
        (int, -(10**30), "it must be -2147483647 or more; came -1000000000000000000000000000000."),
        (float, math.nan, "it must be finite; came nan."),
        (float, -math.inf, "it must be finite; came -inf."),
        (float, 1e39, "or less; came 1e+39."),
        (float, "1", "it must be a number; came '1'."),
        (bool, 1, "it must be true or false; came 1."),
        (str, None, "it must be text; came None."),
        (Seed, -1, "it must lie between 0 and 4294967295; came -1."),
        (Seed, 2**32, "it must lie between 0 and 4294967295; came 4294967296."),
        (Count, 0, "it must be 1 or more; came 0."),
        (Count, 2**31, "it must be 2147483647 or less; came 2147483648."),
        (Annotated[float, Range(above=0)], 0, "it must be above zero; came 0."),
        (Annotated[float, Range(above=0)], math.nan, "it must be finite and above zero; came nan."),
        (int | None, "x", "it must be a whole number; came 'x'."),
        (int | str, 1.5, "it must be a whole number or text; came 1.5."),
        (Mode, "easy", "it must be one of EASY, HARD; came 'easy'."),
        (Literal[1, 2], 3, "it must be one of 1, 2; came 3."),
        (Path, 3, "it must be a path; came 3."),
        (Path, "a\0b", "must be a path"),
        (tuple[int, ...], (1, "x"), "it[1] must be a whole number; came 'x'."),
        (tuple[int, int], (1,), "it must be a list of 2 values; came (1,)."),
        (tuple[int, ...], 5, "it must be a list; came 5."),
    ],
)
def test_other_values_are_refused_in_words(kind, came, message):
    with pytest.raises(UsageError) as refused:
        checked_value("it", kind, came)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300


def test_the_nearest_choice_is_suggested():
    with pytest.raises(UnknownNameError, match="Did you mean 'dense'"):
        checked_value("reward", Literal["dense", "sparse"], "dens")


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (int, 1, 1),
        (bool, True, True),
        (str | None, None, None),
        (Path, Path("a/b"), "a/b"),
        (Mode, Mode.HARD, "HARD"),
        (tuple[int, Path], (1, Path("b")), (1, "b")),
        (float, np.float32(2), 2.0),
        (Any, {"a": (1, Mode.EASY)}, {"a": (1, "EASY")}),
    ],
)
def test_what_is_stored_is_plain_and_comes_back(kind, value, stored):
    plain = plain_value("it", value)
    assert plain == stored
    assert type(plain) is type(stored)
    if kind is not Any:
        assert checked_value("it", kind, plain) == value


@pytest.mark.parametrize("value", [np.ones(3), print, {1: 2}, (1, print), len])
def test_what_has_no_plain_form_is_refused(value):
    with pytest.raises(UsageError, match="setting 'it' cannot be stored"):
        plain_value("it", value)


REAL_SETTINGS = [
    (name, setting)
    for name in algorithms.ALGORITHMS
    for setting, value in flat_settings(config_class(algorithms.factory_of(name))()).items()
    if isinstance(value, float | int) and not isinstance(value, bool)
]


@pytest.mark.parametrize(("name", "setting"), REAL_SETTINGS)
def test_no_number_of_an_algorithm_may_be_unbounded(name, setting):
    config = config_class(algorithms.factory_of(name))()
    for odd in (math.nan, math.inf, -math.inf, 1e300, 10**39, "1", ()):
        with pytest.raises(UsageError, match=setting):
            with_settings(config, {setting: odd}, of=name)
    assert setting in flat_annotations(config)


def test_python_and_flags_refuse_alike(capsys):
    spec = tasks.make("bernoulli-bandit").spec
    with pytest.raises(UsageError) as by_name:
        algorithms.make("rl2", spec, learning_rate=math.nan)
    with pytest.raises(UsageError) as by_record:
        qs.TrainingConfig(evaluation_seconds=math.nan)
    from quickstudy.cli import main

    assert main(["train", "rl2", "bernoulli-bandit", "--learning-rate", "nan"]) == 2
    assert main(["train", "rl2", "bernoulli-bandit", "--evaluation-seconds", "nan"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"quickstudy: {by_name.value}"
    assert second == f"quickstudy: {by_record.value}"


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"seed": 2**32 - 1, "seeds": 2},
        {"seeds": 0},
        {"seeds": 2**31},
        {"held_out_tasks": 0},
        {"checkpoint_seconds": math.nan},
        {"checkpoint_seconds": math.inf},
        {"budget": 5},
        {"budget": "1e400 steps"},
    ],
)
def test_training_is_refused_out_of_range(settings):
    with pytest.raises(UsageError):
        qs.TrainingConfig(**settings)


def test_every_seed_of_32_bits_is_its_own():
    assert qs.TrainingConfig(seed=2**32 - 1).seed == 2**32 - 1
    assert qs.TrainingConfig(seed=2**32 - 3, seeds=3).seeds == 3


@pytest.mark.parametrize("settings", [{"patience_seconds": math.nan}, {"workers": -1}, {"workers": 10**9}, {"collectors": 3}])
def test_collecting_is_refused_out_of_range(settings):
    with pytest.raises(UsageError):
        CollectingConfig(**settings)


def test_a_configuration_is_checked_with_its_parts():
    from quickstudy.algorithms.maml import InnerGradientConfig, MAMLConfig

    config = MAMLConfig(gradient=InnerGradientConfig(first_order="yes"))
    with pytest.raises(UsageError, match="first_order must be true or false; came 'yes'"):
        check_settings(config)
    with pytest.raises(UsageError, match="first_order"):
        algorithms.make("maml", tasks.make("point-navigation").spec, config)
