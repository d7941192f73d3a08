"""Prices by hand: demand, regret, what is observed, and what the rules do."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.decisions.pricing_posterior import price_bonus_agent, price_programme_agent
from quickstudy.baselines.decisions.pricing_rules import controlled_variance_agent, fixed_price_agent, independent_ucb_agent
from quickstudy.baselines.models.pricing import Market, Sales, log_weights, observed, profit_moments, sales_of
from quickstudy.protocol.errors import SpecError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.pricing import SPLITS, Pricing, Product, pricing, shape_of_demand

KEY = jax.random.key(0)
GRID = {"periods": 2, "prices": 3, "lowest_price": 2.0, "highest_price": 8.0}  # prices 2, 4, 8; reference 4; cost 1


def product_of(level=20.0, elasticity=2.0, **others):
    known = {"form": 0.0, "memory": 0.0, "season": 0.0, "phase": 0.0, "jumps": [1.0, 1.0], "stock": 1e9}
    known |= {"level": level, "elasticity": elasticity} | others
    return Product(**{name: jnp.float32(value) for name, value in known.items()})


def played(distribution, product, prices):
    state, _ = distribution.reset(product, KEY)
    outcomes = []
    for place, price in enumerate(prices):
        state, outcome = distribution.step(product, state, jnp.int32(price), jax.random.key(place))
        outcomes.append(outcome)
    return state, outcomes


def test_regret_by_hand():
    # Mean units 80, 20, 5 and margins 1, 3, 7: profits 80, 60, 35.
    distribution = pricing(**GRID)
    for prices, lost in (([0, 0], 0), ([1, 0], 20 / 160), ([2, 1], 65 / 160)):
        state, outcomes = played(distribution, product_of(), prices)
        assert float(outcomes[0].reward) == 0.0
        assert float(outcomes[1].reward) == pytest.approx(-100 * lost, abs=1e-3)
        assert not outcomes[1].terminated  # the end is a time limit, which is not the task's to say
        np.testing.assert_array_equal(state.seen.periods, np.bincount(prices, minlength=3))
    floor = distribution.floor(product_of())
    assert float(floor) == pytest.approx(-100 * (1 - (80 + 60 + 35) / 3 / 80), rel=1e-5)
    assert float(distribution.ceiling(product_of())) == 0.0


def test_no_part_of_a_unit_is_sold():
    # 80 units are wanted at the lowest price, and never fewer than 12.
    state, _ = played(pricing(**GRID), product_of(stock=12.7), [0, 0])
    np.testing.assert_array_equal(state.seen.units, [24, 0, 0])


def test_stock_memory_and_jumps_by_hand():
    distribution = pricing(**GRID)
    # Of 80 units at the lowest price 12 are in stock: profits 12, 36, 35.
    _, outcomes = played(distribution, product_of(stock=12.0), [0, 1])
    assert float(outcomes[1].reward) == pytest.approx(-100 * 24 / 72, rel=1e-4)
    # Buyers are used to the reference price: at half of it, they buy 2^0.5 times as much, which is not lost but won.
    _, outcomes = played(distribution, product_of(memory=0.5), [0, 0])
    used_to = math.log(0.5) / 2
    won = 80 * (math.sqrt(2) - 1) + 80 * (math.exp(-0.5 * (math.log(0.5) - used_to)) - 1)
    assert float(outcomes[1].reward) == pytest.approx(100 * won / 160, rel=1e-4)
    # A period with twice the demand counts twice.
    _, outcomes = played(distribution, product_of(jumps=[2.0, 1.0]), [1, 0])
    assert float(outcomes[1].reward) == pytest.approx(-100 * 40 / 240, rel=1e-4)


def test_forms_of_demand_have_the_same_slope_at_the_reference_price():
    steps = jnp.float32([-1e-2, 0.0, 1e-2])
    for form in (0.0, 1.0, 2.0):
        low, middle, high = np.asarray(shape_of_demand(product_of(elasticity=1.7, form=form), steps))
        assert middle == pytest.approx(1.0)
        assert (math.log(high) - math.log(low)) / 2e-2 == pytest.approx(-1.7, rel=2e-2)


def test_the_belief_is_bayes_rule_and_the_observation_gives_the_sales_back():
    market = Market()
    sales = Sales(
        period=jnp.float32(3),
        periods=jnp.zeros(12).at[jnp.asarray([2, 7])].set(jnp.float32([2, 1])),
        units=jnp.zeros(12).at[jnp.asarray([2, 7])].set(jnp.float32([90, 11])),
    )
    level, elasticity = market.hypotheses.T
    means = np.exp(level[:, None] - elasticity[:, None] * market.logs[[2, 7]])
    known = -2 * means[:, 0] + 90 * np.log(means[:, 0]) - means[:, 1] + 11 * np.log(means[:, 1])
    known = np.exp(known - known.max())
    weights = np.asarray(jax.nn.softmax(log_weights(sales, market)))
    np.testing.assert_allclose(weights, known / known.sum(), atol=2e-4)
    mean, deviation = profit_moments(jnp.float32(known / known.sum()), market)
    np.testing.assert_allclose(mean, (known / known.sum()) @ market.profits, rtol=1e-4)
    second = (known / known.sum()) @ market.profits**2
    np.testing.assert_allclose(deviation, np.sqrt(second - np.asarray(mean, np.float64) ** 2), rtol=2e-2, atol=0.05)
    distribution = pricing()
    back = sales_of(observed(sales, market, periods=10), distribution.spec)
    for name in ("period", "periods", "units"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sales, name))


def chosen(agent, sales, periods=10):
    return int(agent.act((), agent.begin((), KEY), observed(sales, Market(), periods=periods), KEY).action)


def sales_at(prices, units):
    """One period at each of these prices."""
    periods, sold = jnp.zeros(12), jnp.zeros(12)
    for price, count in zip(prices, units, strict=True):
        periods, sold = periods.at[price].add(1.0), sold.at[price].add(float(count))
    return Sales(period=jnp.float32(len(prices)), periods=periods, units=sold)


def test_rules_do_what_they_say():
    spec, market = pricing().spec, Market()
    nothing = sales_at([], [])
    assert chosen(fixed_price_agent(spec), nothing) == int(market.profits.mean(0).argmax())
    assert chosen(independent_ucb_agent(spec), sales_at([0, 1], [50, 40])) == 2
    # Much was sold at the highest price and no more at the lowest: demand is inelastic, so high prices are best.
    inelastic = sales_at([0, 11] * 3, [60, 20] * 3)
    assert chosen(price_bonus_agent(spec), inelastic) >= 10
    elastic = sales_at([0, 11] * 3, [300, 1] * 3)
    assert chosen(price_bonus_agent(spec), elastic) <= 2
    assert chosen(price_programme_agent(spec), elastic) <= 2
    # After the same price again and again, controlled variance moves away from it.
    same = sales_at([1] * 6, [200] * 6)
    moved = chosen(controlled_variance_agent(spec, spread=0.5), same)
    assert abs(market.logs[moved] - market.logs[1]) >= 0.5 * 6**-0.25 - 1e-6


def test_splits_change_what_they_say_and_share_no_task():
    distribution = pricing()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=2000) for split in SPLITS}
    elasticity = np.asarray(drawn["test"].elasticity)
    assert 0.8 <= elasticity.min() < 0.81
    assert 3.99 < elasticity.max() <= 4.0
    assert float(drawn["ood:inelastic"].elasticity.max()) <= 0.8
    np.testing.assert_allclose(drawn["ood:censored-demand"].stock, 0.6 * drawn["ood:censored-demand"].level, rtol=1e-5)
    assert (drawn["ood:strategic-buyers"].memory > 1).all()
    np.testing.assert_array_equal((drawn["ood:promotion-shock"].jumps > 1.5).sum(1), 2)
    logs = np.log(np.asarray(drawn["train"].level))
    assert logs.mean() == pytest.approx((math.log(5) + math.log(80)) / 2, abs=0.1)
    values = {split: set(np.asarray(task.elasticity).tolist()) for split, task in drawn.items() if split != "ood:inelastic"}
    assert len(set().union(*values.values())) == sum(len(group) for group in values.values())


def test_settings_of_the_class_are_those_of_the_name():
    assert tasks.make("pricing", periods=30).config == dataclasses.asdict(Pricing(periods=30))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"periods": 1}, "periods must be 2"),
        ({"lowest_price": 0.5}, "cost, lowest_price, highest_price"),
        ({"level_high": 1.0}, "level_low, level_high"),
        ({"linear_share": 0.8, "logit_share": 0.4}, "together at most 1"),
        ({"season": 1.0}, "season must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        Pricing(**settings)


# Mean regret in % of the optimum over ten periods on `test`: from simulations by other code, with standard errors of about 0.2.
KNOWN = {"independent UCB": 29.1, "parametric Thompson": 8.0, "posterior with bonus": 5.0}


@pytest.mark.slow
def test_rules_lose_what_is_known_of_them():
    distribution, count = pricing(), 2000
    drawn = distribution.sample_tasks("test", jax.random.key(3), tasks=count)
    for name, known in KNOWN.items():
        agent = distribution.baselines[name]()
        one = lambda task, key, a=agent: run_lifetime(a, distribution, (), task, key)[0].outcome.reward.sum()  # noqa: E731
        lost = -np.asarray(jax.jit(jax.vmap(one))(drawn, jax.random.split(KEY, count)))
        error = math.hypot(lost.std() / count**0.5, 0.2)
        print(f"{name:22} {lost.mean():5.2f} ± {error:.2f}   known {known}")
        assert abs(lost.mean() - known) < 4 * error, name
