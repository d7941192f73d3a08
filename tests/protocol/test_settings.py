"""Settings by flat names, of configurations that are composed of records."""

import dataclasses

import pytest

from quickstudy.algorithms import ALGORITHMS
from quickstudy.algorithms.rl2 import RL2Config
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.registry import config_class, resolve
from quickstudy.protocol.settings import flat_settings, with_settings


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_setting_can_be_named_without_its_record(name):
    config = config_class(resolve("algorithm", name, ALGORITHMS))()
    flat = flat_settings(config)
    assert with_settings(config, flat, of=name) == config
    assert not any(dataclasses.is_dataclass(value) for value in flat.values())


def test_a_setting_reaches_the_record_that_holds_it():
    config = with_settings(RL2Config(), {"hidden_size": 8, "lifetimes": 12, "image_channels": [1, 2, 3]}, of="rl2")
    assert (config.network.hidden_size, config.ppo.lifetimes, config.network.image_channels) == (8, 12, (1, 2, 3))
    assert config.ppo.epochs == RL2Config().ppo.epochs


def test_wrong_settings_are_named():
    with pytest.raises(UnknownNameError, match="hidden_size"):
        with_settings(RL2Config(), {"hiden_size": 8}, of="rl2")
    with pytest.raises(UsageError, match="hidden_size must be above zero; came 0"):
        with_settings(RL2Config(), {"hidden_size": 0}, of="rl2")


def test_two_settings_of_one_name_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Part:
        rate: float = 0.1

    @dataclasses.dataclass(frozen=True)
    class Whole:
        part: Part = Part()
        rate: float = 0.2

    with pytest.raises(UsageError, match="two settings of the name 'rate'"):
        flat_settings(Whole())
