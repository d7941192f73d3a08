"""Recommendation by hand: clicks, the ceiling, the splits, and what each expert shows next."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.decisions.item_regression import (
    fold_in_agent,
    item_bayes_ucb_agent,
    item_thompson_agent,
    item_ucb_agent,
)
from quickstudy.baselines.decisions.mixture_prior import careful_mixture_prior_agent, mixture_prior_agent
from quickstudy.baselines.decisions.popularity import popularity_agent
from quickstudy.baselines.models.recommendation import Recommendation, best_of_available, click_chance
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.recommendation import SPLITS, Visitor, recommendation, recommendation_of

KEY = jax.random.key(0)
MAKERS = [popularity_agent, item_ucb_agent, item_thompson_agent, item_bayes_ucb_agent, fold_in_agent, mixture_prior_agent]
# Three items in the plane, two clusters, and a small offset.
PLANE = Recommendation(
    items=3, size=2, clusters=2, steps=4, available=1.0, offset=0.1, vectors=(1, 0, 0, 1, 0.6, 0.6), centres=(1, 0, 0, 1)
)


def visitor(*tastes, changes=4, other=0.0, adversarial=0.0):
    return Visitor(
        tastes=jnp.float32([tastes[0], tastes[-1]]),
        clusters=jnp.int32([0, 1]),
        changes=jnp.int32(changes),
        other=jnp.float32(other),
        adversarial=jnp.float32(adversarial),
    )


def responses(items, clicks, *, valid=None, numbers=6):
    """Experience in which these items were shown."""
    steps = len(items)
    no = jnp.zeros(steps, bool)
    seen = jnp.ones((steps, numbers))
    return Transition(
        observation=seen,
        decision=Decision(action=jnp.int32(items), extras={}),
        outcome=Outcome(observation=seen, reward=jnp.float32(clicks), terminated=no, truncated=no),
        episode=jnp.zeros(steps, jnp.int32),
        valid=jnp.ones(steps, bool) if valid is None else jnp.asarray(valid),
    )


def shown_after(make, items, clicks, *, allowed=(1, 1, 1), prior=PLANE):
    agent = make(prior.spec, prior=prior)
    memory = agent.adapt((), agent.begin((), KEY), responses(items, clicks), KEY)
    return agent.act((), memory, jnp.float32([0, 0, 0, *allowed]), KEY)


def test_clicks_are_logistic_in_the_product():
    chances = click_chance(dataclasses.replace(PLANE, base=-1.0), jnp.float32([[1, 0], [0, 1]]), jnp.float32([0.5, 2.0]))
    np.testing.assert_allclose(chances, [0.5, 1 / (1 + np.exp(-3))], atol=1e-6)  # log-odds -1 + 2 · 0.5 and -1 + 2 · 2


def test_the_best_of_a_random_set_by_all_sets():
    # Both, the first, neither (so both): 0.9. The second alone: 0.5.
    assert float(best_of_available(jnp.float32([0.5, 0.9]), 0.5)) == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)
    assert float(best_of_available(jnp.float32([0.5, 0.9, 0.1]), 1.0)) == pytest.approx(0.9)


def test_a_step_shows_the_signed_vector_the_clock_and_what_is_allowed():
    shop = recommendation_of(PLANE)
    state, first = shop.reset(visitor((8, -8)), KEY)
    np.testing.assert_array_equal(first, [0, 0, 0, 1, 1, 1])
    for item, signed, clicked in ((0, (1, 0), 1.0), (1, (0, -1), 0.0)):  # log-odds of 16 and -16
        state, outcome = shop.step(visitor((8, -8)), state, jnp.int32(item), KEY)
        np.testing.assert_allclose(outcome.observation[:2], 2**0.5 * np.float32(signed), atol=1e-6)
        assert outcome.reward == clicked
    np.testing.assert_allclose(outcome.observation[2:], [0.5, 1, 1, 1])


def test_tastes_change_at_their_step_and_adversaries_answer_the_opposite():
    shop = recommendation_of(PLANE)
    for task, clicks in ((visitor((8, 0), (-8, 0), changes=2), [1, 1, 0, 0]), (visitor((8, 0), adversarial=1.0), [0] * 4)):
        state, _ = shop.reset(task, KEY)
        for clicked in clicks:
            state, outcome = shop.step(task, state, jnp.int32(0), KEY)
            assert outcome.reward == clicked


def test_an_item_that_was_shown_often_is_clicked_less():
    shop = recommendation_of(dataclasses.replace(PLANE, satiation=16.0))
    assert shop.floor is None
    state, _ = shop.reset(visitor((8, 8)), KEY)
    clicks = []
    for item in (0, 0, 0, 1):  # log-odds 16, then 0, then below -14; item 1 is new
        state, outcome = shop.step(visitor((8, 8)), state, jnp.int32(item), KEY)
        clicks.append(float(outcome.reward))
    assert clicks[0] == 1
    assert clicks[2] == 0
    assert clicks[3] == 1


def test_floor_and_ceiling_by_hand():
    shop, sure = recommendation_of(PLANE), 1 / (1 + np.exp(-2))
    # Taste (1, 0): log-odds 2, 0 and 1.2.
    chances = np.float64([sure, 0.5, 1 / (1 + np.exp(-1.2))])
    assert float(shop.ceiling(visitor((1, 0)))) == pytest.approx(4 * sure, rel=1e-5)
    assert float(shop.floor(visitor((1, 0)))) == pytest.approx(4 * chances.mean(), rel=1e-5)
    # Two people, (1, 0) and (0, 1): item 2 is the better one for a shop that does not know who is there.
    both = max((sure + 0.5) / 2, chances[2])
    assert float(shop.ceiling(visitor((1, 0), (0, 1), other=0.5))) == pytest.approx(4 * both, rel=1e-5)
    assert float(shop.ceiling(visitor((1, 0), adversarial=0.3))) == pytest.approx(4 * (0.4 * sure + 0.3), rel=1e-5)
    changed = visitor((1, 0), (0, 3), changes=1)
    assert float(shop.ceiling(changed)) == pytest.approx(sure + 3 / (1 + np.exp(-6)), rel=1e-5)


@pytest.mark.slow
def test_random_actions_earn_the_floor():
    shop = recommendation(items=20, steps=10)
    drawn = shop.sample_tasks("ood:two-people", KEY, tasks=400)
    play = lambda task, key: run_lifetime(shop.baselines["random"](), shop, (), task, key)[0].outcome.reward.sum()  # noqa: E731
    earned = np.asarray(jax.jit(jax.vmap(play))(drawn, jax.random.split(jax.random.key(1), 400)))
    floors = np.asarray(jax.vmap(shop.floor)(drawn))
    assert abs((earned - floors).mean()) < 4 * (earned - floors).std() / 20


def test_splits_are_what_they_say():
    shop, prior = recommendation(), Recommendation()
    centres = prior.cluster_centres
    drawn = {split: shop.sample_tasks(split, KEY, tasks=800) for split in SPLITS}
    nearest = {split: np.asarray(tasks.tastes[:, 0]) @ centres.T for split, tasks in drawn.items()}
    own = np.take_along_axis(nearest["test"], np.asarray(drawn["test"].clusters[:, :1]), 1)
    assert abs(own.mean() - 1) < 4 * 0.2 / 800**0.5  # the offset along a unit vector
    assert (np.asarray(drawn["test"].clusters) >= 0).all()
    assert (np.asarray(drawn["test"].clusters[:, 0]) != np.asarray(drawn["test"].clusters[:, 1])).all()
    assert abs((np.asarray(drawn["train"].clusters[:, 0]) < 0).mean() - 0.25) < 4 * 0.43 / 800**0.5
    assert nearest["ood:outside-clusters"].max(1).mean() < nearest["test"].max(1).mean() - 0.5
    assert abs(nearest["ood:inverted"].min(1).mean() + nearest["test"].max(1).mean()) < 0.05
    assert (np.asarray(drawn["ood:two-people"].other) == 0.5).all()
    assert (np.asarray(drawn["test"].changes) == 50).all()
    drifting = recommendation(drift_chance=1.0, drift_step=25).sample_tasks("test", KEY, tasks=2)
    assert (np.asarray(drifting.changes) == 25).all()
    steps = np.asarray(recommendation(drift_chance=1.0).sample_tasks("test", KEY, tasks=400).changes)
    assert steps.min() >= 1
    assert 20 < steps.mean() < 30


def test_what_the_experts_show_next():
    # LinUCB after a click on item 0: A = diag(2, 1), b = (1, 0). Bounds: 1/2 + √(1/2) = 1.21, 1, and 0.3 + 0.6 √(3/2) = 1.03.
    assert int(shown_after(item_ucb_agent, [0], [1.0]).action) == 0
    # Without the click: √(1/2) = 0.71, 1 and 0.73.
    assert int(shown_after(item_ucb_agent, [0], [0.0]).action) == 1
    # Items 0 and 1 are liked by one half of the visitors, item 2 by all: 2 · 0.6 against 2 · 1 or 0.
    assert int(shown_after(popularity_agent, [0, 0], [1.0, 1.0]).action) == 2
    for make in (mixture_prior_agent, fold_in_agent):
        assert int(shown_after(make, [0] * 6, [1.0] * 6).action) == 0, make
        assert int(shown_after(make, [0] * 6, [0.0] * 6).action) == 1, make
        assert int(shown_after(make, [0] * 6, [1.0] * 6, allowed=(0, 1, 1)).action) == 2, make


def test_bayes_ucb_by_hand():
    # s² = 0.51. After a click on item 0, slope 1/2 and variance 1/4: P = diag(1 + 1/s², 1/s²), η = (1, 0). So m_0 and C_00
    # are 0.3377, C_11 is 0.51. Raised by half a deviation: 0.3377 + 0.2906, 0.3571, and 0.6 (0.3377 + 0.4603).
    decision = shown_after(item_bayes_ucb_agent, [0], [1.0])
    np.testing.assert_allclose(decision.extras["scores"], [0.6283, 0.3571, 0.4788], atol=2e-4)
    assert int(decision.action) == 0
    # Without the click m_0 has the other sign.
    decision = shown_after(item_bayes_ucb_agent, [0], [0.0])
    np.testing.assert_allclose(decision.extras["scores"], [-0.0472, 0.3571, 0.0736], atol=2e-4)


def test_bayes_finds_the_cluster():
    belief = shown_after(mixture_prior_agent, [0, 0], [1.0, 1.0]).extras["belief"]
    # With slope 1/2 and variance 1/4, cluster k predicts y - 1/2 = c/2 with variance 1/4 + 0.01/4, and covariance 0.01/4.
    # c is 1 for the first cluster and 0 for the second; both responses are 1/2 above neutral.
    covariance = 0.25 * np.eye(2) + 0.0025
    logs = [-0.5 * gap @ np.linalg.solve(covariance, gap) for gap in (np.zeros(2), np.full(2, 0.5))]
    np.testing.assert_allclose(belief.probability, np.exp(logs) / np.exp(logs).sum(), atol=1e-5)


@pytest.mark.parametrize("clicks", [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
def test_the_p_value_of_a_visitor_is_one_over_the_bayes_factor(clicks):
    """Against marginal likelihoods of clicks as normal numbers, worked out with NumPy in float64."""
    items, prior = [0, 1, 2], PLANE
    vectors, centres = np.float64(prior.item_vectors)[items], np.float64(prior.cluster_centres)
    variance = prior.neutral * (1 - prior.neutral)

    def likelihood(mean, deviation):
        covariance = variance * np.eye(3) + (prior.slope * deviation) ** 2 * vectors @ vectors.T
        apart = np.float64(clicks) - prior.neutral - prior.slope * vectors @ mean
        return np.exp(-apart @ np.linalg.solve(covariance, apart) / 2) / np.sqrt(np.linalg.det(2 * np.pi * covariance))

    within = np.mean([likelihood(centre, prior.offset) for centre in centres])
    outside = likelihood(np.zeros(2), np.sqrt(prior.offset**2 + np.square(centres).mean()))
    decision = shown_after(careful_mixture_prior_agent, items, clicks)
    np.testing.assert_allclose(decision.extras["p_values"]["task"], min(1.0, within / outside), rtol=1e-4)
    assert "p_values" not in shown_after(mixture_prior_agent, items, clicks).extras


def test_thompson_sampling_draws_from_the_posterior():
    agent = item_thompson_agent(PLANE.spec, prior=PLANE)
    memory = agent.adapt((), agent.begin((), KEY), responses([0, 0, 2], [1.0, 1.0, 0.0]), KEY)
    act = lambda key: agent.act((), memory, jnp.ones(6), key).extras["scores"]  # noqa: E731
    drawn = np.asarray(jax.vmap(act)(jax.random.split(KEY, 20_000)))[:, :2]  # of items (1, 0) and (0, 1)
    rows, responded = np.float64([[1, 0], [1, 0], [0.6, 0.6]]), np.float64([0.5, 0.5, -0.5])
    covariance = 0.25 * np.linalg.inv(rows.T @ rows + np.eye(2))
    mean = covariance @ rows.T @ responded / 0.25
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * covariance.max() ** 0.5 / 141)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=4 * 2**0.5 * covariance.max() / 141)


@pytest.mark.parametrize("make", MAKERS)
def test_what_did_not_happen_teaches_nothing(make):
    agent = make(PLANE.spec, prior=PLANE)
    memory = agent.begin((), KEY)
    after = agent.adapt((), memory, responses([0, 1], [1.0, np.nan], valid=[True, False]), KEY)
    only = agent.adapt((), memory, responses([0], [1.0]), KEY)
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(only), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_experts_refuse_other_tasks(make):
    with pytest.raises(SpecError, match="which items are allowed"):
        make(tasks.make("bernoulli-bandit").spec)
    with pytest.raises(SpecError, match="Give the prior"):
        make(recommendation(items=5).spec, prior=PLANE)


def test_a_prior_of_other_sizes_is_refused():
    with pytest.raises(SpecError, match=r"centres must hold 2 rows of 2 numbers"):
        dataclasses.replace(PLANE, centres=(1.0, 0.0, 0.0))


def test_the_settings_are_the_fields_of_the_prior():
    fields = dataclasses.asdict(Recommendation())
    assert fields == tasks.make("recommendation").config
    assert tasks.make("recommendation", **dataclasses.asdict(PLANE)).spec == PLANE.spec
