"""Trading tasks: rewards by hand, the lag, the references, and what experts earn."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.trading import SPLITS, describe, simulate, trading

KEY = jax.random.key(0)
SMALL = {"history": 25, "horizon": 8}
# Growth of 252 bars with a cost of 5 hundredths of a percent, on 2,000 markets of test, with standard errors.
MEASURED = {
    "buy and hold": (0.009, 0.006),
    "momentum": (0.082, 0.005),
    "half Kelly": (0.083, 0.005),
    "HMM filter (estimated)": (0.163, 0.005),
    "HMM filter (informed)": (0.209, 0.005),
}


def lifetimes(distribution, agent, drawn, params=()):
    """Lifetimes `[tasks, T]`."""
    keys = jax.random.split(jax.random.key(1), len(drawn.returns))
    play = lambda task, key: run_lifetime(agent, distribution, params, task, key)[0]  # noqa: E731
    return jax.jit(jax.vmap(play))(drawn, keys)


def test_a_decision_earns_from_the_next_return_and_pays_for_what_it_changes():
    distribution = trading(**SMALL)
    task = jax.tree.map(lambda leaf: leaf[0], distribution.sample_tasks("train", KEY, tasks=1))
    returns = np.asarray(task.returns, np.float64)
    state, _ = distribution.reset(task, KEY)
    step, cost = jax.jit(distribution.step), float(task.market.cost)
    state, first = step(task, state, jnp.int32(4), KEY)
    assert float(first.reward) == pytest.approx(np.log(1 + returns[25] - cost), abs=1e-6)
    state, second = step(task, state, jnp.int32(1), KEY)
    assert float(second.reward) == pytest.approx(np.log(1 - 0.5 * returns[26] - 1.5 * cost), abs=1e-6)
    assert float(step(task, state, jnp.int32(2), KEY)[1].reward) == pytest.approx(np.log(1 - 0.5 * cost), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["momentum", "HMM filter (estimated)", "rl2"])
def test_who_shuffles_the_future_changes_no_action(name):
    """All returns after a bar are put in another order: decisions up to this bar stay the same, to the last bit."""
    distribution = trading(history=25, horizon=40)
    drawn = distribution.sample_tasks("train", KEY, tasks=30)
    if name == "rl2":
        algorithm = algorithms.make("rl2", distribution.spec, cell="gru", hidden_size=8)
        agent, params = algorithm.agent, algorithm.agent.init(KEY)
    else:
        agent, params = distribution.baselines[name](), ()
    past = 25 + 20
    order = np.random.default_rng(0).permutation(20)
    shuffled = dataclasses.replace(drawn, returns=drawn.returns.at[:, past:].set(drawn.returns[:, past:][:, order]))
    once, again = (np.asarray(lifetimes(distribution, agent, tape, params).decision.action) for tape in (drawn, shuffled))
    np.testing.assert_array_equal(once[:, :21], again[:, :21])
    assert len(np.unique(once)) > 1
    assert not np.array_equal(once, again)


def test_the_ceiling_is_the_best_of_all_plans_and_the_floor_the_mean():
    distribution = trading(history=5, horizon=3, cost_low=0.001)
    task = jax.tree.map(lambda leaf: leaf[0], distribution.sample_tasks("train", KEY, tasks=1))
    mean, variance = (np.asarray(leaf, np.float64)[5:] for leaf in (task.expected, task.variance))
    cost, worths = float(task.market.cost), []
    for plan in itertools.product(np.linspace(-1, 1, 5), repeat=3):
        plan = np.array(plan)
        paid = cost * np.abs(np.diff(np.concatenate([[0.0], plan])))
        worths.append((plan * mean - plan**2 * (variance + mean**2) / 2 - paid).sum())
    assert float(distribution.ceiling(task)) == pytest.approx(max(worths), abs=1e-6)
    assert float(distribution.floor(task)) == pytest.approx(np.mean(worths), abs=1e-6)


def test_returns_have_the_drift_the_volatility_and_the_momentum_of_their_market():
    distribution = trading(three_regimes=0.0, jumps=0.0, history=1, horizon=1)
    market = jax.tree.map(lambda leaf: leaf[0], distribution.sample_tasks("train", KEY, tasks=1).market)
    market = dataclasses.replace(
        market,
        drift=jnp.float32([0.01, -0.02, 0.0]),
        volatility=jnp.float32([0.01, 0.03, 0.0]),
        holding=jnp.full(3, 25.0),
        momentum=jnp.float32(0.3),
        acts=jnp.float32(1.0),
    )
    run = jax.jit(lambda key: simulate(market, key, bars=60_000, jumps=0.0))
    returns, expected, variance = (np.asarray(leaf, np.float64) for leaf in run(KEY))
    deviation = np.sqrt(variance)
    assert set(np.round(deviation, 4).tolist()) == {0.01, 0.03}
    surprise = returns - expected
    assert (surprise / deviation).std() == pytest.approx(1.0, rel=0.02)
    calm = np.isclose(deviation, 0.01)
    assert np.diff(calm).mean() == pytest.approx(1 / 25, rel=0.1)
    own = np.where(calm, 0.01, -0.02)
    before = (returns - own)[:-1]
    np.testing.assert_allclose((expected - own)[1:], 0.3 * before, atol=1e-6)


@pytest.mark.slow
def test_splits_share_no_market_and_shift_what_they_say():
    distribution = trading(history=1, horizon=1)
    market = {split: distribution.sample_tasks(split, KEY, tasks=1500).market for split in SPLITS}
    marks = [set(np.asarray(one.momentum).tolist()) for one in market.values()]
    assert len(set().union(*marks)) == sum(map(len, marks))
    usual = market["test"]
    assert 0.45 < (np.asarray(usual.volatility)[:, 2] > 0).mean() < 0.55
    assert np.asarray(usual.holding).min() >= 20 - 1e-3
    np.testing.assert_allclose(market["ood:expensive"].cost, 4 * usual.cost, rtol=1e-5)
    np.testing.assert_allclose(market["ood:hasty"].holding, usual.holding / 4, rtol=1e-5)
    np.testing.assert_allclose(market["ood:inverted"].drift, -usual.drift)
    assert not np.any(market["ood:no-drift"].drift)
    assert not np.any(market["ood:no-drift"].acts)
    one = jax.tree.map(lambda leaf: leaf[0], distribution.sample_tasks("test", KEY, tasks=1))
    assert float(describe(one)["drift (a bar), wild"]) == float(one.market.drift[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"levels": 6}, "levels"),
        ({"cost_low": 0.01, "cost_high": 0.001}, "cost_low must not be above cost_high; came 0.01 and 0.001"),
        ({"holding_low": 1.0}, "holding_low"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        tasks.make("trading", **settings)


@pytest.mark.slow
def test_experts_earn_what_was_measured():
    """Golden; the numbers of the page."""
    distribution = trading(cost_low=0.0005, cost_high=0.0005, shows_truth=True)
    drawn = distribution.sample_tasks("test", jax.random.key(7), tasks=300)
    for name, (expected, error) in MEASURED.items():
        grown = np.asarray(lifetimes(distribution, distribution.baselines[name](), drawn).outcome.reward).sum(1) * 252 / 250
        assert abs(grown.mean() - expected) < 4 * np.hypot(error, grown.std() / 300**0.5), name
