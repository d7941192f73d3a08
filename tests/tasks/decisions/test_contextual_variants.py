"""Contextual variants by hand: clicks, the ceiling, the splits, and the experts against direct formulas."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.decisions.variant_logistic import logistic_thompson_agent
from quickstudy.baselines.decisions.variant_regression import (
    site_greedy_agent,
    site_thompson_agent,
    variant_greedy_agent,
    variant_ucb_agent,
)
from quickstudy.baselines.models.contextual_variants import ContextualVariants, regressors
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.tasks.decisions.contextual_variants import SPLITS, Site, contextual_variants, contextual_variants_of

KEY = jax.random.key(0)
MAKERS = [variant_ucb_agent, variant_greedy_agent, site_thompson_agent, site_greedy_agent, logistic_thompson_agent]
# Two variants and one feature; an observation is [c, sin, cos, clock, allowed, allowed].
SMALL = ContextualVariants(arms=2, features=1, steps=4, base=0.0, shared=1.0, own=0.5, active=1.0, intercept=0.5, season=0.1)
SEEN = np.float32([[1.0, 0.0, 1.0, 0.0, 1, 1], [-0.5, 0.3, 0.9, 0.2, 1, 1], [2.0, 0.6, 0.8, 0.4, 1, 1]])
SHOWN, CLICKED = [0, 1, 1], [1.0, 0.0, 1.0]


def site(weights, *, comes=(0, 0), goes=(5, 5), dies=(4, 4)):
    return Site(weights=jnp.float32(weights), comes=jnp.int32(comes), goes=jnp.int32(goes), dies=jnp.int32(dies))


def responses(*, valid=(True, True, True), clicked=CLICKED):
    no = jnp.zeros(3, bool)
    return Transition(
        observation=jnp.asarray(SEEN),
        decision=Decision(action=jnp.int32(SHOWN), extras={}),
        outcome=Outcome(observation=jnp.asarray(SEEN), reward=jnp.float32(clicked), terminated=no, truncated=no),
        episode=jnp.zeros(3, jnp.int32),
        valid=jnp.asarray(valid),
    )


def scores_after(make, **settings):
    agent = make(SMALL.spec, prior=SMALL, **settings)
    memory = agent.adapt((), agent.begin((), KEY), responses(), KEY)
    return np.asarray(agent.act((), memory, jnp.asarray(SEEN[1]), KEY).extras["scores"])


def x_of(observation):
    return np.float64([1.0, observation[0], observation[1], observation[2]])


def test_regressors_are_one_the_scaled_features_and_the_season():
    x = regressors(jnp.float32([3.0, -1.0, 2.0, 0.0, 0.6, 0.8, 0.5, 1, 1]), 4)
    np.testing.assert_allclose(x, [1, 1.5, -0.5, 1, 0, 0.6, 0.8])


def test_a_step_shows_the_next_user_and_a_dead_variant_gets_no_clicks():
    tasks_of = contextual_variants_of(dataclasses.replace(SMALL, period=4.0))
    task = site([[20, 0, 0, 0], [-20, 0, 0, 0]], dies=(2, 4), comes=(0, 1))
    state, observation = tasks_of.reset(task, KEY)
    np.testing.assert_allclose(observation[1:], [0, 1, 0, 1, 0], atol=1e-6)
    clicks = []
    for number in range(4):
        state, outcome = tasks_of.step(task, state, jnp.int32(0), jax.random.key(number + 4))
        clicks.append(float(outcome.reward))
    assert clicks == [1, 1, 0, 0]
    np.testing.assert_allclose(outcome.observation[1:], [0, 1, 1, 1, 1], atol=1e-5)
    assert outcome.observation[0] != observation[0]


def test_floor_and_ceiling_by_hand():
    tasks_of = contextual_variants_of(SMALL)
    odds = np.log([3.0, 1.0])  # chances 3/4 and 1/2
    # Step 0: the first variant only. Steps 1 and 2: both. Step 3: the first is dead, 3/400.
    task = site([[odds[0], 0, 0, 0], [odds[1], 0, 0, 0]], comes=(0, 1), dies=(3, 4))
    assert float(tasks_of.ceiling(task)) == pytest.approx(3 * 0.75 + 0.5, rel=1e-5)
    assert float(tasks_of.floor(task)) == pytest.approx(0.75 + 2 * 0.625 + (0.5 + 0.0075) / 2, rel=1e-5)
    # One weight of 1 on the feature: by symmetry σ(c) and σ(-c) have the mean 1/2, and the larger one E σ(|c|).
    grid = np.linspace(-8, 8, 4001)
    larger = (np.exp(-(grid**2) / 2) / (1 + np.exp(-np.abs(grid)))).sum() / np.exp(-(grid**2) / 2).sum()
    assert float(tasks_of.ceiling(site([[0, 1, 0, 0], [0, -1, 0, 0]]))) == pytest.approx(4 * larger, rel=2e-3)


def test_splits_are_what_they_say():
    distribution = contextual_variants()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=2_000) for split in SPLITS}
    of_features = {split: np.asarray(task.weights[:, :, 1:9]) for split, task in drawn.items()}
    for split, correlation in (("test", 1 / (1 + 2**2)), ("ood:own-weights", 0.0)):
        one, other = of_features[split][:, 0].ravel(), of_features[split][:, 1].ravel()
        matter = one != 0
        assert abs(np.corrcoef(one[matter], other[matter])[0, 1] - correlation) < 0.05, split
        # A weight that matters has the variance 1 + 2²; one half of them do.
        assert abs(one[np.abs(one) > 1e-3].std() - 5**0.5) < 0.1, split
        assert abs((np.abs(one) > 1e-3).mean() - 0.5) < 0.02, split
    assert (np.abs(of_features["ood:one-feature"]) > 1e-3)[:, :, 1:].sum() == 0
    died = {split: (np.asarray(task.dies) < 100) for split, task in drawn.items()}
    assert not any(dead[:, 0].any() for dead in died.values())
    assert abs(died["test"][:, 1:].mean() - 0.2) < 0.02
    assert abs(died["ood:dying-arms"][:, 1:].mean() - 0.8) < 0.02
    season = {split: np.asarray(task.weights[:, :, -2:]).std() for split, task in drawn.items()}
    assert season["ood:strong-season"] == pytest.approx(5 * season["test"], rel=1e-3)
    came, went = np.asarray(drawn["test"].comes), np.asarray(drawn["test"].goes)
    assert (came[:, :2] == 0).all()
    assert (went[:, :2] > 100).all()
    assert abs((came[:, 2:] > 0).mean() - 0.5) < 0.03
    assert (came <= went).all()


def test_linear_scores_by_the_formula():
    for settings, make in (({"width": 0.7}, variant_ucb_agent), ({}, variant_greedy_agent)):
        expected = []
        for arm in range(2):
            rows = np.stack([x_of(SEEN[t]) for t in range(3) if SHOWN[t] == arm])
            clicks = np.float64([CLICKED[t] for t in range(3) if SHOWN[t] == arm])
            matrix, x = rows.T @ rows + np.eye(4), x_of(SEEN[1])
            bound = settings.get("width", 0.0) * np.sqrt(x @ np.linalg.solve(matrix, x))
            expected.append(x @ np.linalg.solve(matrix, rows.T @ clicks) + bound)
        np.testing.assert_allclose(scores_after(make, **settings), expected, atol=1e-5)


def posterior_of_site():
    """Mean and covariance of all weights, `[shared weight of the feature, weights of 0, weights of 1]`, by one regression."""
    place = lambda arm, x: np.concatenate([[x[1]], x * (arm == 0), x * (arm == 1)])  # noqa: E731
    rows = np.stack([place(arm, x_of(seen)) for arm, seen in zip(SHOWN, SEEN, strict=True)])
    prior = np.diag(1 / np.float64([1.0, *[0.5, 0.5, 0.1, 0.1] * 2]) ** 2)
    covariance = np.linalg.inv(prior + 0.25 * rows.T @ rows)  # slope² / variance is 1/4 where clicks have chance 1/2
    mean = covariance @ rows.T @ (np.float64(CLICKED) - 0.5)
    asked = np.stack([place(arm, x_of(SEEN[1])) for arm in range(2)])
    return asked @ mean, asked @ covariance @ asked.T


def test_the_prior_of_a_site_lets_variants_learn_from_each_other():
    mean, covariance = posterior_of_site()
    np.testing.assert_allclose(scores_after(site_greedy_agent), mean, atol=1e-5)
    agent = site_thompson_agent(SMALL.spec, prior=SMALL)
    memory = agent.adapt((), agent.begin((), KEY), responses(), KEY)
    act = lambda key: agent.act((), memory, jnp.asarray(SEEN[1]), key).extras["scores"]  # noqa: E731
    drawn = np.asarray(jax.vmap(act)(jax.random.split(KEY, 20_000)))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * covariance.max() ** 0.5 / 141)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=4 * 2**0.5 * covariance.max() / 141)


def test_a_logistic_step_is_newtons():
    agent = logistic_thompson_agent(SMALL.spec, prior=SMALL)
    memory = agent.adapt((), agent.begin((), KEY), responses(), KEY)
    precision = [np.diag(1 / np.float64([0.25, 1.25, 0.01, 0.01])) for _ in range(2)]
    mean = [np.zeros(4), np.zeros(4)]
    for arm, seen, clicked in zip(SHOWN, SEEN, CLICKED, strict=True):
        x = x_of(seen)
        chance = 1 / (1 + np.exp(-mean[arm] @ x))
        precision[arm] = precision[arm] + chance * (1 - chance) * np.outer(x, x)
        mean[arm] = mean[arm] + np.linalg.solve(precision[arm], x) * (clicked - chance)
    np.testing.assert_allclose(memory.means, mean, atol=1e-5)
    np.testing.assert_allclose(memory.covariances, np.linalg.inv(np.stack(precision)), atol=1e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_what_did_not_happen_teaches_nothing(make):
    agent = make(SMALL.spec, prior=SMALL)
    begun = agent.begin((), KEY)
    two = (True, True, False)
    after = agent.adapt((), begun, responses(valid=two, clicked=[1.0, 0.0, np.nan]), KEY)
    only = agent.adapt((), begun, jax.tree.map(lambda leaf: leaf[:2], responses()), KEY)
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(only), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_experts_refuse_other_tasks(make):
    with pytest.raises(SpecError, match="which variants are allowed"):
        make(tasks.make("bernoulli-bandit").spec)
    with pytest.raises(SpecError, match="Give the prior"):
        make(contextual_variants(arms=3).spec, prior=SMALL)


def test_the_settings_are_the_fields_of_the_prior():
    assert dataclasses.asdict(ContextualVariants()) == tasks.make("contextual-variants").config
