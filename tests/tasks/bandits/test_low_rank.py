"""Bandits of low rank, by hand; the linear agents against direct formulas, and what knowing the basis is worth."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close
from marks import slow_but
from quickstudy import tasks
from quickstudy.baselines.bandits.linear_evidence import LinearEvidence
from quickstudy.baselines.bandits.linear_thompson import linear_thompson_agent
from quickstudy.baselines.bandits.linear_ucb import linear_ucb_agent
from quickstudy.baselines.bandits.low_rank_posterior import low_rank_greedy_agent, low_rank_thompson_agent
from quickstudy.baselines.models.low_rank import fixed_basis
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.low_rank import SPLITS, LowRankTask, low_rank_bandit

KEY = jax.random.key(0)
MAKERS = [linear_ucb_agent, linear_thompson_agent, low_rank_greedy_agent, low_rank_thompson_agent]
# 300 tasks of test: what a lifetime of 100 pulls is short of the ceiling, and its standard error.
MEASURED = {
    "random": (120.7, 3.6),
    "LinUCB": (53.2, 1.3),
    "linear Thompson sampling": (67.4, 1.4),
    "low-rank posterior (greedy)": (2.63, 0.49),
    "low-rank posterior (Thompson)": (3.56, 0.49),
}


def task_of(matrix, *, noise=0.0):
    return LowRankTask(coordinates=jnp.zeros(2), matrix=jnp.float32(matrix), noise=jnp.float32(noise))


def recorded(contexts, arms, rewards, *, valid=None):
    """Experience of these pulls `[T]`."""
    contexts, no = jnp.float32(contexts), jnp.zeros(len(arms), bool)
    return Transition(
        observation=contexts,
        decision=Decision(action=jnp.asarray(arms, jnp.int32), extras={}),
        outcome=Outcome(observation=contexts, reward=jnp.float32(rewards), terminated=no, truncated=~no),
        episode=jnp.arange(len(arms)),
        valid=~no if valid is None else jnp.asarray(valid),
    )


def test_a_pull_by_hand():
    distribution = low_rank_bandit(arms=2, size=4)
    task, context = task_of([[1, 0, 0, 0], [0, 2, 0, -1]]), jnp.float32([0.5, 1.0, 3.0, 4.0])
    for arm, paid in ((0, 0.25), (1, -1.0)):
        state, outcome = distribution.step(task, context, jnp.int32(arm), KEY)
        assert float(outcome.reward) == pytest.approx(paid)
        np.testing.assert_array_equal(outcome.observation, context)
        np.testing.assert_array_equal(state, context)
    noisy = jax.vmap(lambda key: distribution.step(task_of(task.matrix, noise=0.5), context, jnp.int32(0), key)[1].reward)
    rewards = np.asarray(noisy(jax.random.split(KEY, 4000)))
    assert rewards.mean() == pytest.approx(0.25, abs=4 * 0.5 / 4000**0.5)
    assert rewards.std() == pytest.approx(0.5, rel=4 / 8000**0.5)


def test_contexts_are_normal_and_say_nothing_of_the_task():
    distribution = low_rank_bandit()
    reset = lambda task: jax.vmap(lambda key: distribution.reset(task, key)[1])(jax.random.split(KEY, 4000))  # noqa: E731
    contexts = reset(distribution.sample("train", KEY))
    assert np.asarray(contexts).std() == pytest.approx(1.0, rel=4 / 64_000**0.5)
    np.testing.assert_array_equal(contexts, reset(distribution.sample("test", jax.random.key(1))))


def test_splits_say_which_basis_and_how_noisy_and_share_no_task():
    distribution = low_rank_bandit()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=10_000) for split in SPLITS}
    for split, task in drawn.items():
        other = split == "ood:other-basis"
        basis = fixed_basis(2, arms=8, size=8, number=int(other))
        np.testing.assert_allclose(task.matrix, np.tensordot(task.coordinates, basis, axes=1), atol=1e-5)
        assert np.asarray(task.coordinates).std() == pytest.approx(1.0, rel=4 / 40_000**0.5)
        assert np.all(task.noise == np.float32(1.5 if split == "ood:noisy" else 0.5))
    coordinates = {split: set(np.asarray(task.coordinates).ravel().tolist()) for split, task in drawn.items()}
    assert len(set().union(*coordinates.values())) == sum(map(len, coordinates.values()))
    # The basis is the same wherever it is made, and of the scale that makes weights have variance 1.
    np.testing.assert_array_equal(fixed_basis(2, arms=8, size=8), fixed_basis(2, arms=8, size=8))
    assert fixed_basis(2, arms=100, size=100).std() == pytest.approx(0.5**0.5, rel=4 / 40_000**0.5)


def test_the_ceiling_of_two_opposite_arms_is_known():
    # Arms θ and -θ pay |θ · c| / √m at best, on average |θ| √(2/π) / √m; up to 0.3 %.
    matrix = np.random.default_rng(0).standard_normal((1, 8))
    ceiling = low_rank_bandit(arms=2, pulls=10).ceiling(task_of(np.concatenate([matrix, -matrix])))
    assert float(ceiling) == pytest.approx(10 * np.linalg.norm(matrix) * math.sqrt(2 / math.pi / 8), rel=3e-3)


def test_the_ceiling_is_that_of_many_contexts():
    distribution = low_rank_bandit(pulls=1)
    matrix = np.asarray(distribution.sample("train", KEY).matrix)
    contexts = np.random.default_rng(0).standard_normal((200_000, 8))
    best = (np.concatenate([contexts, -contexts]) @ matrix.T).max(1) / 8**0.5
    assert float(distribution.ceiling(task_of(matrix))) == pytest.approx(best.mean(), rel=5e-3)
    assert float(distribution.floor(task_of(matrix))) == 0.0


@pytest.mark.parametrize("make", slow_but([low_rank_greedy_agent], [low_rank_greedy_agent, low_rank_thompson_agent]))
def test_the_belief_is_that_of_the_batch_formula(make):
    distribution = low_rank_bandit(pulls=30)
    agent, generator = make(distribution.spec), np.random.default_rng(0)
    contexts, arms, rewards = generator.standard_normal((30, 8)), generator.integers(0, 8, 30), generator.standard_normal(30)
    memory = agent.adapt((), agent.begin((), KEY), recorded(contexts, arms, rewards), KEY)
    belief = agent.act((), memory, jnp.float32(contexts[0]), KEY).extras["belief"]
    basis = fixed_basis(2, arms=8, size=8).astype(np.float64)
    features = np.einsum("jtm,tm->tj", basis[:, arms], contexts) / 8**0.5
    covariance = np.linalg.inv(np.eye(2) + features.T @ features / 0.25)
    np.testing.assert_allclose(belief.covariance, covariance, atol=1e-6)
    np.testing.assert_allclose(belief.mean, covariance @ features.T @ rewards / 0.25, atol=1e-5)


def test_confidence_bounds_by_hand():
    spec = low_rank_bandit(arms=2, size=4).spec
    # φ = c / 2 = (1, 0, 0, 0): after one pull of arm 0 that paid 3, A = 2, b = 3, so θ φ = 1.5 and √(φᵀ A⁻¹ φ) = √(1/2).
    context = jnp.float32([2.0, 0.0, 0.0, 0.0])
    for width, chosen in ((4.0, 0), (6.0, 1)):  # arm 1: 0 + α · 1; equal at α = 1.5 / (1 - √(1/2)) = 5.1
        agent = linear_ucb_agent(spec, width=width, ridge=1.0)
        memory = agent.adapt((), agent.begin((), KEY), recorded(context[None], [0], [3.0]), KEY)
        assert int(agent.act((), memory, context, KEY).action) == chosen
    evidence = LinearEvidence(precision=jnp.float32([[[2.0]], [[8.0]]]), weighted=jnp.float32([[3.0], [4.0]]))
    np.testing.assert_allclose(evidence.mean, [[1.5], [0.5]])
    np.testing.assert_allclose(evidence.deviation(jnp.float32([[1.0], [2.0]])), [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_draws_have_the_moments_of_the_posterior():
    precision = np.float32([[2.0, 0.8], [0.8, 1.0]])
    evidence = LinearEvidence(precision=jnp.asarray(precision)[None], weighted=jnp.float32([[1.0, -1.0]]))
    drawn = np.asarray(jax.vmap(lambda key: evidence.draw(0.5, key)[0])(jax.random.split(KEY, 20_000)))
    covariance = 0.25 * np.linalg.inv(precision)
    np.testing.assert_allclose(drawn.mean(0), np.linalg.solve(precision, [1.0, -1.0]), atol=4 * covariance.max() ** 0.5 / 141)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=4 * 2**0.5 * covariance.max() / 141)


@pytest.mark.parametrize("make", slow_but([linear_ucb_agent, low_rank_greedy_agent], MAKERS))
def test_pulls_that_are_not_valid_teach_nothing(make):
    agent = make(low_rank_bandit(pulls=2).spec)
    memory = agent.begin((), KEY)
    contexts = np.float32([[1.0] * 8, [np.nan] * 8])
    seen = agent.adapt((), memory, recorded(contexts, [3, 4], [1.0, np.nan], valid=[True, False]), KEY)
    only = agent.adapt((), memory, recorded(contexts[:1], [3], [1.0]), KEY)
    assert_close(seen, only, tolerance=1e-6)  # sums over two steps and over one may round differently


@pytest.mark.slow
def test_agents_earn_what_was_measured_and_the_basis_is_worth_most():
    distribution = low_rank_bandit()
    agents = {name: make() for name, make in distribution.baselines.items()}
    drawn = distribution.sample_tasks("test", jax.random.key(3), tasks=100)

    def one(task, key):
        return {
            name: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward.sum() for name, agent in agents.items()
        }

    returned = jax.jit(jax.vmap(one))(drawn, jax.random.split(KEY, 100))
    ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
    short = {name: ceiling - np.asarray(returns) for name, returns in returned.items()}
    for name, (known, known_error) in MEASURED.items():
        error = short[name].std(ddof=1) / 10
        print(f"{name:30} {short[name].mean():7.2f} ± {error:.2f}   known {known}")
        assert abs(short[name].mean() - known) < 4 * math.hypot(error, known_error), name
    # Task by task, with common random numbers. Greedy and Thompson sampling are within chance of one another.
    order = ["low-rank posterior (Thompson)", "LinUCB", "linear Thompson sampling", "random"]
    for better, worse in itertools.pairwise(order):
        ahead = short[worse] - short[better]
        assert ahead.mean() > 4 * ahead.std(ddof=1) / 10, f"{worse} against {better}"


@pytest.mark.parametrize(
    ("settings", "said"), [({"arms": 1}, "arms must be 2"), ({"rank": 0}, "rank must be 1"), ({"noise": 0.0}, "noise")]
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        low_rank_bandit(**settings)


@pytest.mark.parametrize("make", MAKERS)
def test_linear_agents_refuse_what_has_no_contexts(make):
    with pytest.raises(SpecError, match="needs contexts"):
        make(tasks.make("bernoulli-bandit").spec)
