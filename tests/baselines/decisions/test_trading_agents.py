"""Trading rules by hand on made-up observations, and filters of regimes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import baselines, tasks
from quickstudy.baselines.decisions.regime_filter import estimated_filter_agent, informed_filter_agent, privileged_regimes
from quickstudy.baselines.models.market_view import OBSERVATION, market_spec, view_of
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Transition

KEY = jax.random.key(0)
SPEC = market_spec(levels=5, bars=6)


def seen(*, returns=(), slow=0.01, fast=0.01, trend=0.0, position=0.0, cost=0.0005, truth=()):
    """An observation; returns oldest first."""
    numbers = np.zeros(OBSERVATION)
    if len(returns):
        numbers[: len(returns)] = np.asarray(returns)[::-1] / slow
    numbers[20:26] = [np.log(slow / 0.01), np.log(fast / slow), 0.0, trend, position, 1000 * cost]
    if len(truth):
        numbers[26:] = truth
    return jnp.asarray(numbers, jnp.float32)


def position(name, **settings):
    agent = baselines.make(name, SPEC)
    return -1 + int(agent.act((), (), seen(**settings), KEY).action) / 2


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("cash", {"trend": 3.0, "position": 1.0}, 0.0),
        ("buy-and-hold", {"trend": -3.0}, 1.0),
        ("volatility-target", {"fast": 0.016, "position": 1.0}, 0.5),  # 0.008 / 0.016
        ("volatility-target", {"fast": 0.004, "position": 0.5}, 1.0),  # at most 1
        ("volatility-target", {"fast": 0.0095, "position": 1.0}, 1.0),  # 0.84 lies within the band around 1
        ("momentum", {"trend": 0.9}, 1.0),
        ("momentum", {"trend": -0.9, "position": 1.0}, -1.0),
        ("momentum", {"trend": 0.5, "position": 1.0}, 1.0),
        ("momentum", {"trend": 0.5, "position": -1.0}, 0.0),
        ("momentum", {"trend": 0.5}, 0.0),
        ("half-kelly", {"trend": 0.12, "slow": 0.01}, 0.5),  # 0.5 · 0.12 · 0.1125 / 0.01 = 0.675
        ("half-kelly", {"trend": -1.0, "slow": 0.01}, -1.0),
        ("half-kelly", {"trend": 0.02, "slow": 0.01, "position": 0.0}, 0.0),  # 0.11 lies within the band
    ],
)
def test_rules_by_hand(name, settings, expected):
    assert position(name, **settings) == expected


@pytest.mark.parametrize("make", [estimated_filter_agent, informed_filter_agent])
def test_filters_hold_what_calm_and_wild_returns_call_for(make):
    agent = make(SPEC)
    memory = agent.begin((), KEY)
    truth = (0.13, -0.11, 0.0, 0.7, 1.6, 0.0, 0.5, 0.5, 0.5)
    calm = seen(returns=[0.004, -0.003, 0.006, 0.002, -0.001] * 4, truth=truth)
    wild = seen(returns=[0.03, -0.04, 0.02, -0.03, 0.01] * 4, truth=truth)
    act = jax.jit(agent.act)
    assert int(act((), memory, calm, KEY).action) == 4
    assert int(act((), memory, wild, KEY).action) < 2
    assert float(act((), memory, calm, KEY).extras["regimes"][0]) > 0.7
    # A change is dear: with a cost above what it can bring, the position stays.
    dear = seen(returns=[0.03, -0.04, 0.02, -0.03, 0.01] * 4, position=1.0, cost=0.2, truth=truth)
    assert int(act((), memory, dear, KEY).action) == 4


def test_a_filter_goes_on_from_its_memory():
    agent = estimated_filter_agent(SPEC)
    first = seen(returns=[0.004, -0.003, 0.006, 0.002, -0.001] * 4)
    second = seen(returns=[*([0.004, -0.003, 0.006, 0.002, -0.001] * 4)[1:], -0.05])
    step = Transition.of_one_step(first, Decision(action=jnp.int32(2), extras={}), reward=0.0, successor=second)
    memory = jax.jit(agent.adapt)((), agent.begin((), KEY), step, KEY)
    assert bool(memory.begun)
    assert float(memory.belief[1]) > 0.9
    # 120 bars of what is typical, then 21, and each fades by 0.995.
    expected = 120 * 0.995**21 + (1 - 0.995**21) / 0.005
    assert float(memory.sums.weight.sum()) == pytest.approx(expected, rel=1e-4)


def test_truth_is_read_in_its_units():
    regimes = privileged_regimes(view_of(seen(truth=(0.2, -0.1, 0.0, 1.0, 2.0, 0.0, 0.25, 0.5, 0.5))))
    np.testing.assert_allclose(regimes.drift, [0.002, -0.001, 0.0], atol=1e-7)
    np.testing.assert_allclose(regimes.change[0], [0.96, 0.04, 0.0], atol=1e-6)
    typical = privileged_regimes(view_of(seen()))
    assert float(typical.drift[0]) == pytest.approx(0.0016)


@pytest.mark.parametrize("name", ["cash", "momentum", "hmm-filter", "informed-hmm-filter"])
def test_traders_refuse_other_tasks(name):
    with pytest.raises(SpecError, match="spaces of the tasks `trading`"):
        baselines.make(name, tasks.make("pendulum").spec)
