"""Every belief keeps one interface: draws have the mean and the deviation that it tells. Bayes' rule, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.bandits.arm_counts import ArmCounts
from quickstudy.baselines.mdps.transition_counts import TransitionCounts
from quickstudy.numerics.beliefs.belief import Belief, CategoricalBelief, DirichletBelief, JointBelief
from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.numerics.beliefs.gaussian import GaussianBelief

DRAWS = 20_000
LATENT = LatentBelief(mean=jnp.asarray([[0.5, -2.0]]), log_variance=jnp.asarray([[0.0, -1.0]]))
BELIEFS = {
    "Beta of three arms": DirichletBelief(concentration=jnp.asarray([[1.0, 1.0], [5.0, 2.0], [40.0, 1.0]])),
    "Dirichlet of 2 x 2 rows": DirichletBelief(concentration=jnp.arange(1.0, 13.0).reshape(2, 2, 3)),
    "categorical": CategoricalBelief(probability=jnp.asarray([0.0, 0.25, 0.65, 0.1])),
    "normal, independent": LATENT,
    "normal, correlated": GaussianBelief(mean=jnp.asarray([1.0, -1.0]), covariance=jnp.asarray([[2.0, -0.9], [-0.9, 0.5]])),
    "joint": JointBelief(parts={"chances": DirichletBelief(concentration=jnp.asarray([2.0, 1.0, 1.0])), "rewards": LATENT}),
}


@pytest.mark.parametrize("name", BELIEFS)
def test_draws_have_the_mean_and_the_deviation_that_are_told(name):
    belief = BELIEFS[name]
    assert isinstance(belief, Belief)
    drawn = jax.jit(jax.vmap(belief.sample))(jax.random.split(jax.random.key(0), DRAWS))
    assert jax.tree.structure(drawn) == jax.tree.structure(belief.mean) == jax.tree.structure(belief.deviation)
    for mean, deviation, draws in zip(*map(jax.tree.leaves, (belief.mean, belief.deviation, drawn)), strict=True):
        assert mean.shape == deviation.shape == draws.shape[1:]
        assert np.all(np.abs(draws.mean(0) - mean) <= 4 * deviation / np.sqrt(DRAWS) + 1e-6)
        np.testing.assert_allclose(draws.std(0), deviation, rtol=0.05, atol=1e-6)


def test_correlations_are_drawn_too():
    belief = BELIEFS["normal, correlated"]
    drawn = jax.vmap(belief.sample)(jax.random.split(jax.random.key(0), DRAWS))
    np.testing.assert_allclose(np.cov(np.asarray(drawn).T), belief.covariance, atol=0.06)


def test_parts_of_a_joint_belief_are_drawn_independently():
    drawn = jax.vmap(BELIEFS["joint"].sample)(jax.random.split(jax.random.key(0), DRAWS))
    correlation = np.corrcoef(np.asarray(drawn["chances"])[:, 0], np.asarray(drawn["rewards"])[:, 0, 0])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(DRAWS)


def test_beta_after_counts_by_hand():
    """Bayes' rule on a fine grid of chances: the uniform prior times p^3 (1 - p), normalised."""
    belief = DirichletBelief.from_counts(jnp.asarray([3, 1]))
    chance = (np.arange(100_000) + 0.5) / 100_000
    posterior = chance**3 * (1 - chance)
    posterior /= posterior.sum()
    mean = posterior @ chance
    np.testing.assert_allclose(belief.mean, [mean, 1 - mean], atol=1e-6)
    np.testing.assert_allclose(belief.deviation, 2 * [np.sqrt(posterior @ (chance - mean) ** 2)], atol=1e-6)
    np.testing.assert_allclose(belief.mean, [4 / 6, 2 / 6], rtol=1e-6)


def test_counts_of_arms_are_a_belief_about_chances():
    belief = ArmCounts(successes=jnp.asarray([0, 3]), failures=jnp.asarray([0, 1])).belief
    np.testing.assert_array_equal(belief.concentration, [[1, 1], [4, 2]])


def test_counts_of_transitions_are_a_belief_about_chances_and_rewards():
    transitions = jnp.asarray([[[2, 1], [0, 0]], [[0, 1], [0, 0]]])
    counts = TransitionCounts(transitions=transitions, reward_sums=jnp.asarray([[7.0, 0.0], [-1.0, 0.0]]))
    belief = counts.belief(1.0)
    np.testing.assert_allclose(belief.mean["transition"][0], [[3 / 5, 2 / 5], [1 / 2, 1 / 2]], rtol=1e-6)
    np.testing.assert_allclose(belief.mean["reward"], [[8 / 4, 1], [0, 1]], rtol=1e-6)
    # Precisions add up: 1 of the prior, and 1 for every reward.
    np.testing.assert_allclose(belief.deviation["reward"], [[1 / 2, 1], [1 / np.sqrt(2), 1]], rtol=1e-6)
