"""Daily variants by hand: rates, late conversions, floor and ceiling by trying everything, splits, and what the experts do."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import baselines, tasks
from quickstudy.baselines.decisions.daily_rules import ab_test_agent, best_persistent_agent, z_scores
from quickstudy.baselines.decisions.novelty_bayes import expected_positive, novelty_bayes_agent
from quickstudy.baselines.models.daily_variants import (
    ACTIONS,
    ALL_TO,
    MOST_TO,
    Counts,
    DailyVariants,
    counts_of,
    observed,
    shares,
)
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.daily_variants import (
    SPLITS,
    Quarter,
    daily_variants,
    informed_gain,
    persistent_gains,
    random_gain,
    rates,
)

KEY = jax.random.key(0)
FEW = DailyVariants(days=3, users_per_day=90.0)
LOG2, LOG3 = math.log(2.0), math.log(3.0)


def hidden(**others):
    """Odds of 1 to 9 for the control; the first new variant has twice these odds, and on its first day six times."""
    known = {"base_rate": 0.1, "week": [0.0, 0.0], "lift": [LOG2, 0.0], "novelty": [LOG3, 0.0], "fade": 1.0}
    known |= {"arrives": 1.0, "flip": 1e6, "offset": 0.0} | others
    return Quarter(**{name: jnp.float32(value) for name, value in known.items()})


def gained(distribution, task, actions):
    state, _ = distribution.reset(task, KEY)
    outcomes = []
    for place, action in enumerate(actions):
        state, outcome = distribution.step(task, state, jnp.int32(action), jax.random.key(place))
        outcomes.append(outcome)
    return state, outcomes


def test_allocations_by_hand():
    every = np.asarray([shares(jnp.int32(action)) for action in range(ACTIONS)])
    expected = [[1 / 3] * 3, [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(every, expected, atol=1e-7)


def test_rates_by_hand():
    zero = jnp.zeros(3)
    np.testing.assert_allclose(rates(hidden(), jnp.float32(0), zero), [0.1, 0.4, 0.1], rtol=1e-5)  # odds 6 / 9
    odds = 2 / 9 * 3 ** math.exp(-2.0)  # after two days
    np.testing.assert_allclose(rates(hidden(), jnp.float32(5), zero + 2), [0.1, odds / (1 + odds), 0.1], rtol=1e-5)
    # From the flip on, twice the odds become half the odds.
    turned = rates(hidden(flip=4.0), jnp.float32(4), zero + 1e3)
    np.testing.assert_allclose(turned, [0.1, 1 / 19, 0.1], rtol=1e-5)
    # On day 7/4 the sine is 1.
    weekly = rates(hidden(week=[LOG3, 0.0]), jnp.float32(7 / 4), zero + 1e3)
    np.testing.assert_allclose(weekly, [1 / 4, 2 / 5, 1 / 4], rtol=1e-5)


def test_age_begins_when_a_variant_is_first_shown():
    distribution = daily_variants(days=3, users_per_day=90.0)
    state, outcomes = gained(distribution, hidden(), [ALL_TO, ALL_TO, ALL_TO + 1])
    np.testing.assert_array_equal(state.counts.age, [3, 1, -1])
    np.testing.assert_allclose(state.counts.users, [180, 90, 0])
    # Only on the last day, when it is new: 90 users with rates 0.4 and 0.1. The gain is paid after the last day.
    assert [float(outcome.reward) for outcome in outcomes] == [0.0, 0.0, pytest.approx(27.0, rel=1e-5)]
    assert not outcomes[-1].terminated  # the end is a time limit


def test_training_takes_off_what_the_best_persistent_variant_gains():
    distribution = daily_variants(**dataclasses.asdict(FEW))
    task = distribution.sample("train", KEY)
    assert float(task.offset) == pytest.approx(float(persistent_gains(task, FEW).max()))
    assert float(distribution.sample("test", KEY).offset) == 0.0
    away = distribution.ceiling(dataclasses.replace(task, offset=jnp.float32(0.0))) - distribution.ceiling(task)
    assert float(away) == pytest.approx(float(task.offset), rel=1e-4, abs=1e-3)
    _, outcomes = gained(distribution, hidden(offset=7.0), [ALL_TO, ALL_TO, ALL_TO + 1])
    assert [float(outcome.reward) for outcome in outcomes] == [0.0, 0.0, pytest.approx(20.0, rel=1e-5)]


def test_conversions_arrive_late():
    distribution = daily_variants(days=3, users_per_day=90.0)
    task = hidden(arrives=0.25)
    state, _ = gained(distribution, task, [ALL_TO, ALL_TO, ALL_TO])
    # 9 conversions a day; three quarters of all that are not known yet are left: 9 (3/4 + 9/16 + 27/64).
    np.testing.assert_allclose(state.waiting, [9 * (3 / 4 + 9 / 16 + 27 / 64), 0, 0], rtol=1e-5)
    first, _ = distribution.reset(task, KEY)
    step = lambda key: distribution.step(task, first, jnp.int32(ALL_TO), key)[0].counts.newly  # noqa: E731
    newly = np.asarray(jax.jit(jax.vmap(step))(jax.random.split(KEY, 4000)))
    assert newly[:, 0].mean() == pytest.approx(9 / 4, abs=4 * 1.5 / 4000**0.5)
    assert newly[:, 0].var() == pytest.approx(9 / 4, rel=0.1)
    assert (newly[:, 1:] == 0).all()


@pytest.mark.parametrize("task", [hidden(), hidden(lift=[-LOG2, -0.1], novelty=[LOG3, 0.3], fade=2.0, week=[0.2, 0.1])])
def test_floor_and_ceiling_by_trying_everything(task):
    distribution = daily_variants(**dataclasses.asdict(FEW))
    every = jnp.asarray(list(itertools.product(range(ACTIONS), repeat=3)), jnp.int32)
    states, _ = jax.vmap(lambda _: distribution.reset(task, KEY))(jnp.arange(len(every)))
    step = jax.jit(jax.vmap(distribution.step, (None, 0, 0, None)))
    for day in range(3):
        states, outcomes = step(task, states, every[:, day], KEY)
    gains = np.asarray(outcomes.reward)
    assert float(informed_gain(task, FEW)) == pytest.approx(gains.max(), rel=1e-5)
    assert float(random_gain(task, FEW)) == pytest.approx(gains.mean(), rel=1e-4, abs=1e-4)
    same = gains[(np.asarray(every) == np.asarray(every)[:, :1]).all(1)]
    np.testing.assert_allclose(persistent_gains(task, FEW), same[ALL_TO:], rtol=1e-5, atol=1e-4)


def test_an_observation_gives_the_counts_back():
    counts = Counts(
        day=jnp.float32(41),
        users=jnp.float32([13_666.667, 13_000, 14_000]),
        known=jnp.float32([701, 812, 3]),
        newly=jnp.float32([17, 0, 2]),
        age=jnp.float32([41, 3, -1]),
    )
    settings = DailyVariants()
    seen = observed(counts, jnp.zeros(18), settings)
    back = counts_of(seen, settings.spec, users_per_day=settings.users_per_day)
    for field in dataclasses.fields(Counts):
        np.testing.assert_allclose(getattr(back, field.name), getattr(counts, field.name), rtol=1e-5)
    np.testing.assert_allclose(seen[1:3], [math.sin(2 * math.pi * 41 / 7), math.cos(2 * math.pi * 41 / 7)], atol=1e-4)


def counts_at(day, users, known):
    zeros = jnp.zeros(3)
    return Counts(day=jnp.float32(day), users=jnp.float32(users), known=jnp.float32(known), newly=zeros, age=zeros + day)


def after_showing(agent, action):
    """The memory after a day on which an allocation was shown."""
    seen = jnp.zeros((1, *agent.spec.observation_space.shape))
    no = jnp.zeros(1, bool)
    day = Transition(
        observation=seen,
        decision=Decision(action=jnp.int32([action]), extras={}),
        outcome=Outcome(observation=seen, reward=jnp.zeros(1), terminated=no, truncated=no),
        episode=jnp.zeros(1, jnp.int32),
        valid=~no,
    )
    return agent.adapt((), agent.begin((), KEY), day, KEY)


def test_the_a_b_test_decides_once_and_by_z():
    # 100 and 150 of 1000: pooled 300 / 3000 would be 0.1; here (100 + 150 + 90) / 3000.
    pooled = 340.5 / 3001
    z = z_scores(counts_at(28, [1000] * 3, [100, 150, 90]))
    np.testing.assert_allclose(z, np.float64([0, 0.05, -0.01]) / math.sqrt(pooled * (1 - pooled) * 2 / 1000), rtol=1e-4)
    settings = DailyVariants()
    agent = ab_test_agent(settings.spec, settings=settings)

    def chosen(day, known, memory=0):
        seen = observed(counts_at(day, [9000] * 3, known), jnp.zeros(18), settings)
        return int(agent.act((), jnp.int32(memory), seen, KEY).action)

    assert chosen(27, [300, 900, 300]) == 0
    assert chosen(28, [900, 1100, 900]) == ALL_TO + 1  # z = 4.9
    assert chosen(28, [900, 960, 990]) == ALL_TO  # z = 2.1, and two comparisons need 2.24
    assert chosen(28, [900, 960, 1000]) == ALL_TO + 2  # z = 2.3
    assert chosen(60, [900, 960, 1500], memory=int(after_showing(agent, ALL_TO))) == ALL_TO


def test_novelty_bayes_explores_while_it_doubts():
    assert float(expected_positive(jnp.float32([0.0]), jnp.float32([2.0]))[0]) == pytest.approx(2 / math.sqrt(2 * math.pi))
    settings = DailyVariants()
    agent = novelty_bayes_agent(settings.spec, most_above=0.1)

    def chosen(means, spreads, left):
        summary = jnp.zeros(18).at[:3].set(jnp.float32(means)).at[3:6].set(jnp.float32(spreads)).at[-1].set(left)
        return int(agent.act((), (), observed(counts_at(1, [1.0] * 3, [0.0] * 3), summary, settings), KEY).action)

    # Differences 1 - 0, 2 - 0, 2 - 1. A standard deviation of 2 at equal means is a doubt of 0.8.
    assert chosen([0.1, 0.0, -0.1], [0.1, 0.1, 2.0], left=1.0) == MOST_TO + 1
    assert chosen([0.1, 0.0, -0.1], [0.1, 0.1, 2.0], left=0.1) == ALL_TO + 1
    assert chosen([-1.0, -2.0, -1.0], [0.1, 0.1, 3.0], left=1.0) == ALL_TO  # the doubt is not about the control
    assert chosen([1.0, 3.0, 2.0], [0.1] * 3, left=1.0) == ALL_TO + 2


def test_the_best_persistent_variant_reaches_its_gain():
    distribution = tasks.make("daily-variants", days=4, shows_gains=True)
    agent = distribution.baselines["best persistent"]()
    drawn = distribution.sample_tasks("test", KEY, tasks=20)
    one = lambda task: run_lifetime(agent, distribution, (), task, KEY)[0].outcome.reward.sum()  # noqa: E731
    returns = jax.jit(jax.vmap(one))(drawn)
    known = jax.vmap(lambda task: persistent_gains(task, DailyVariants(days=4)).max())(drawn)
    np.testing.assert_allclose(returns, known, rtol=1e-4, atol=1e-3)
    assert "best persistent" not in daily_variants().baselines
    with pytest.raises(SpecError, match="shows_gains=True"):
        best_persistent_agent(daily_variants().spec)


def test_splits_are_what_they_say():
    distribution = daily_variants()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=4000) for split in SPLITS}
    test = drawn["test"]
    assert float(test.base_rate.mean()) == pytest.approx(0.05, abs=0.003)
    assert float((test.lift == 0).mean()) == pytest.approx(0.6, abs=0.02)
    assert float(test.lift[test.lift != 0].std()) == pytest.approx(0.15, abs=0.01)
    assert float(test.novelty.mean()) == pytest.approx(0.25 * (2 / math.pi) ** 0.5, abs=0.01)
    assert float(drawn["ood:strong-novelty"].novelty.mean()) == pytest.approx(3 * float(test.novelty.mean()), rel=0.05)
    assert float((1 / test.arrives - 1).max()) <= 3.0
    np.testing.assert_allclose(1 / drawn["ood:long-delays"].arrives - 1, 10.0, rtol=1e-5)
    flip = drawn["ood:trend-flip"]
    assert float(flip.lift.min()) == 0.0
    assert 20 <= float(flip.flip.min()) < float(flip.flip.max()) <= 45
    assert float(test.flip.min()) > 90
    bases = [set(np.asarray(task.base_rate).tolist()) for task in drawn.values()]
    assert len(set().union(*bases)) == sum(map(len, bases))


def test_settings_and_tasks_out_of_range_are_refused():
    assert tasks.make("daily-variants", days=30).config == dataclasses.asdict(DailyVariants(days=30))
    with pytest.raises(UsageError, match="null_share"):
        DailyVariants(null_share=1.5)
    with pytest.raises(SpecError, match="fade_low must not be above"):
        DailyVariants(fade_low=5.0, fade_high=4.0)
    with pytest.raises(SpecError, match="needs the spaces of daily-variants"):
        baselines.make("novelty-bayes", tasks.make("bernoulli-bandit").spec)
