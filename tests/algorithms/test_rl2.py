"""RL²'s choices that depend on the tasks."""

import pytest

from quickstudy import tasks
from quickstudy.algorithms.on_lifetimes import entropy_bonus
from quickstudy.algorithms.rl2 import RL2Config


@pytest.mark.parametrize(("name", "suits"), [("bernoulli-bandit", 0.05), ("point-navigation", 0.003)])
def test_the_entropy_bonus_suits_the_actions_unless_it_is_given(name, suits):
    spec = tasks.make(name).spec
    assert entropy_bonus(spec, RL2Config()) == suits
    for given in (0.0, 0.2):
        assert entropy_bonus(spec, RL2Config(entropy_bonus=given)) == given
