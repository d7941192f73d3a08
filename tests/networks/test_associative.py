"""The associative core: exact counts where observations are numbers, kernels elsewhere, long lifetimes in blocks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.core_inputs import CONTINUOUS, SPEC, random_inputs
from quickstudy.networks.associative import Associative, AssociativeConfig
from quickstudy.protocol.errors import UsageError


def test_at_birth_a_read_holds_the_counts_of_the_present_observation():
    core = Associative(SPEC, AssociativeConfig(beside=0), seen=3, rewards=1, key=jax.random.key(0))
    inputs = random_inputs(40)
    state = core.take_in(core.initial(SPEC), inputs, jnp.arange(40) != 5)
    for place in range(3):
        seen = jax.nn.one_hot(place, 3)
        about = core.read(state, seen)[: 2 * core.each].reshape(2, -1)
        for action in range(2):
            here = (inputs.observation[:, place] * inputs.action[:, action]) > 0
            here = np.asarray(here) & (np.arange(40) != 5)
            total = np.asarray(inputs.reward)[here].sum()
            np.testing.assert_allclose(about[action, 1], total / (1 + here.sum()), atol=1e-4)
            np.testing.assert_allclose(about[action, 3], 1 / (1 + here.sum()), atol=1e-4)


def test_keys_of_continuous_observations_match_where_they_are_near():
    core = Associative(CONTINUOUS, AssociativeConfig(addresses=512, beside=0), seen=3, rewards=1, key=jax.random.key(0))
    here = jax.random.normal(jax.random.key(1), (3,))
    match = lambda there: (core._addresses(here) * core._addresses(there)).sum()  # noqa: E731
    assert match(here) == pytest.approx(1, abs=0.1)
    assert match(here) > match(here + 0.5) > match(here + 3.0) - 0.1
    assert abs(match(here + 30.0)) < 0.2


def test_settings_out_of_range_are_refused():
    for wrong in ({"heads": 0}, {"stored": -1}, {"addresses": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            dataclasses.replace(AssociativeConfig(), **wrong)
