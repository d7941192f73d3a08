"""The belief about novelty against weighted draws from the prior, which make none of its approximations."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.baselines.models.daily_variants import DailyVariants, counted, nothing_counted, shares
from quickstudy.baselines.models.novelty_belief import Hypotheses, after_day, first_belief, summary

SETTINGS = DailyVariants(days=20, base_rate_alpha=200.0, base_rate_beta=1800.0, lift_deviation=0.3)
DRAWS = 200_000
# Equal parts, then changing ones, so that the delay matters. Variant 2 is first shown on day 2.
ACTIONS = [5, 4, 0, 0, 2, 2, 3, 0, 0, 2, 5, 5, 2, 3, 0, 0, 3, 2, 0, 0]
USERS = 300
BASE, LIFTS, NOVELTY, FADE, ARRIVES = -2.2, (0.5, -0.1), (0.3, 0.1), 5.0, 0.4


def simulated():
    """Users and newly known counts of each day, by a program of its own."""
    generator = np.random.default_rng(1)
    waiting, age, days = np.zeros(3), np.zeros(3), []
    for action in ACTIONS:
        users = USERS * np.asarray(shares(jnp.int32(action)))
        odds = BASE + np.asarray([0.0, *(np.asarray(LIFTS) + np.asarray(NOVELTY) * np.exp(-age[1:] / FADE))])
        waiting = waiting + generator.poisson(users / (1 + np.exp(-odds)))
        newly = generator.binomial(waiting.astype(int), ARRIVES)
        waiting = waiting - newly
        age = np.where((age > 0) | (users > 0), age + 1, age)
        days.append((users, newly))
    return days


def weighted_draws(days):
    """Lifts, base and weights of draws from the prior: exact but for the finite number of draws."""
    generator = np.random.default_rng(2)
    rate = generator.beta(200, 1800, DRAWS)
    base, week = np.log(rate / (1 - rate)), 0.1 * generator.normal(size=(2, DRAWS))
    lift = np.where(generator.random((2, DRAWS)) < 0.6, 0.0, 0.3 * generator.normal(size=(2, DRAWS)))
    novelty = 0.25 * np.abs(generator.normal(size=(2, DRAWS)))
    fade, arrives = generator.uniform(2, 10, DRAWS), 1 / (1 + 3 * generator.random(DRAWS))
    waiting, age, log_weight = np.zeros((3, DRAWS)), np.zeros(3), np.zeros(DRAWS)
    for day, (users, newly) in enumerate(days):
        control = base + week[0] * np.sin(2 * np.pi * day / 7) + week[1] * np.cos(2 * np.pi * day / 7)
        for variant in range(3):
            extra = 0.0 if variant == 0 else lift[variant - 1] + novelty[variant - 1] * np.exp(-age[variant] / fade)
            waiting[variant] += users[variant] / (1 + np.exp(-control - extra))
            if waiting[variant].max() > 0:
                mean = arrives * waiting[variant]
                log_weight += newly[variant] * np.log(mean) - mean
                waiting[variant] *= 1 - arrives
        age = np.where((age > 0) | (users > 0), age + 1, age)
    weight = np.exp(log_weight - log_weight.max())
    return lift, base, arrives, weight / weight.sum()


def test_the_belief_is_close_to_bayes_rule():
    days = simulated()
    known = Hypotheses(SETTINGS)
    belief, counts = first_belief(SETTINGS), nothing_counted()
    after = jax.jit(lambda belief, counts, users, newly: after_day(belief, counts, users, newly, known))
    for users, newly in days:
        users, newly = jnp.float32(users), jnp.float32(newly)
        belief, counts = after(belief, counts, users, newly), counted(counts, users, newly)
    numbers = np.asarray(summary(belief, counts, known, SETTINGS))
    lift, base, arrives, weight = weighted_draws(days)
    assert 1 / np.square(weight).sum() > 100  # draws that count
    pairs = np.stack([lift[0], lift[1], lift[1] - lift[0]]) / 0.3
    mean = pairs @ weight
    spread = np.sqrt(np.square(pairs - mean[:, None]) @ weight)
    np.testing.assert_allclose(numbers[6:9], mean, atol=0.15)
    np.testing.assert_allclose(numbers[9:12], spread, atol=0.15)
    np.testing.assert_allclose(numbers[12:14], (lift == 0) @ weight, atol=0.1)
    assert abs(numbers[14] - 3 - base @ weight) < 0.05
    assert abs(numbers[16] - arrives @ weight) < 0.1  # the grid is coarse
    assert abs(mean[0]) > 0.4  # far from 0, the mean before the first day


def test_before_the_first_day_the_belief_is_the_prior():
    settings = DailyVariants()
    numbers = np.asarray(summary(first_belief(settings), nothing_counted(), Hypotheses(settings), settings))
    # Two of five lifts have the variance 1, in squares of the deviation of lifts. Long-run means are 0.
    np.testing.assert_allclose(numbers[6:12], [0, 0, 0, *np.sqrt([0.4, 0.4, 0.8])], atol=1e-4)
    np.testing.assert_allclose(numbers[12:14], 0.6, atol=1e-5)
    # Over the quarter, novelty adds the mean 0.25 √(2 / π) (1 - e^(-90 / τ)) / (1 - e^(-1 / τ)) / 90, for τ of 4 and 8 days.
    fresh = np.mean([(1 - np.exp(-90 / fade)) / (1 - np.exp(-1 / fade)) / 90 for fade in (4.0, 8.0)])
    np.testing.assert_allclose(numbers[:2], 0.25 * np.sqrt(2 / np.pi) * fresh / 0.15, rtol=1e-4)
    np.testing.assert_allclose(numbers[2], 0, atol=1e-6)
