"""MAML's estimators, on a task so small that every expectation is a sum over all that can happen."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.algorithms.maml import MAMLConfig, inner_objective, maml_agent
from quickstudy.errors import SpecError, UsageError
from quickstudy.numerics.linear_baseline import linear_baseline
from quickstudy.tasks.bernoulli_bandit import bernoulli_bandit

# Two decisions of two actions each; what the second pays depends on the first.
FIRST = jnp.array([0.3, 1.0])
SECOND = jnp.array([[2.0, -1.0], [0.5, 1.5]])
EPISODES = jnp.array(list(itertools.product(range(2), range(2))))
LOGITS = jnp.array([[0.4, -0.3], [-0.2, 0.7]])


def log_probabilities(logits, actions):
    """Of both decisions of an episode."""
    return jax.nn.log_softmax(logits)[jnp.arange(2), actions]


def probability(logits, actions):
    """Of an episode."""
    return jnp.exp(log_probabilities(logits, actions).sum())


def returns_to_go(actions):
    """What each decision was followed by."""
    second = SECOND[actions[0], actions[1]]
    return jnp.stack([FIRST[actions[0]] + second, second])


def expected_return(logits):
    """Exactly."""
    return sum(probability(logits, actions) * returns_to_go(actions)[0] for actions in EPISODES)


def objective(logits, actions, estimator):
    """J_in of one episode."""
    config = MAMLConfig(estimator=estimator)
    logs = log_probabilities(logits, actions)
    return inner_objective(logs, returns_to_go(actions), jnp.ones(2, bool), horizon=2, config=config)


def curvatures(estimator):
    """Probability and estimated Hessian `[4, 4]` of every episode."""
    hessian = jax.hessian(lambda flat, actions: objective(flat.reshape(2, 2), actions, estimator))
    return [(float(probability(LOGITS, a)), np.asarray(hessian(LOGITS.ravel(), a))) for a in EPISODES]


def exact_curvature():
    """Hessian of the expected return."""
    return np.asarray(jax.hessian(lambda flat: expected_return(flat.reshape(2, 2)))(LOGITS.ravel()))


def mean_and_variance(estimator):
    """Of the estimated Hessian; the variance is summed over its entries."""
    weighted = curvatures(estimator)
    mean = sum(p * h for p, h in weighted)
    return mean, sum(p * np.square(h - mean).sum() for p, h in weighted)


@pytest.mark.parametrize("estimator", ["maml", "e-maml", "lvc", "dice"])
def test_all_estimators_take_the_same_inner_step_which_is_unbiased(estimator):
    gradient = jax.grad(objective)
    for actions in EPISODES:
        np.testing.assert_allclose(gradient(LOGITS, actions, estimator), gradient(LOGITS, actions, "maml"), atol=1e-6)
    mean = sum(probability(LOGITS, actions) * gradient(LOGITS, actions, estimator) for actions in EPISODES)
    np.testing.assert_allclose(mean, jax.grad(expected_return)(LOGITS), atol=1e-6)


def test_curvature_of_dice_is_unbiased():
    np.testing.assert_allclose(mean_and_variance("dice")[0], exact_curvature(), atol=1e-6)


def test_curvature_of_plain_maml_is_biased():
    assert np.abs(mean_and_variance("maml")[0] - exact_curvature()).max() > 0.1


def test_curvature_of_lvc_varies_less_than_that_of_dice_and_is_closer_than_plain_maml():
    (lvc, varies), (_, dice_varies), (plain, _) = (mean_and_variance(e) for e in ("lvc", "dice", "maml"))
    assert varies < dice_varies
    assert np.abs(lvc - exact_curvature()).sum() < np.abs(plain - exact_curvature()).sum()


def test_steps_that_did_not_happen_count_for_nothing():
    for estimator in ("maml", "lvc", "dice"):
        config = MAMLConfig(estimator=estimator)

        def slope(padding, valid, config=config):
            logs = jnp.concatenate([jnp.array([-0.5]), padding])
            advantage = jnp.array([1.0, 7.0])
            return jax.grad(lambda x: inner_objective(x, advantage, valid, horizon=2, config=config))(logs)

        one = slope(jnp.array([-0.1]), jnp.array([True, False]))
        np.testing.assert_allclose(one, slope(jnp.array([-9.0]), jnp.array([True, False])))
        assert one[1] == 0.0 != slope(jnp.array([-0.1]), jnp.array([True, True]))[1]


def test_linear_baseline_finds_a_line():
    keys = jax.random.split(jax.random.key(0), 2)
    observation, valid = jax.random.normal(keys[0], (5, 20, 2)), jax.random.bernoulli(keys[1], 0.8, (5, 20))
    time = jnp.broadcast_to(jnp.arange(20.0) / 20.0, (5, 20))
    returns = 3.0 - 2.0 * observation[..., 0] + observation[..., 1] ** 2 + time**2
    fitted = linear_baseline(observation, jnp.where(valid, returns, 1e3), valid, ridge=1e-6)
    np.testing.assert_allclose(fitted, returns, atol=2e-3)


def test_rollouts_that_do_not_fit_are_named():
    spec = bernoulli_bandit(arms=2, pulls=10).spec
    with pytest.raises(SpecError, match="3 rollouts and 10 episodes"):
        maml_agent(spec, MAMLConfig(rollouts=3))
    with pytest.raises(SpecError, match="10 rollouts and 10 episodes"):
        maml_agent(spec, MAMLConfig(rollouts=10))
    with pytest.raises(UsageError, match="inner_rate must be above zero"):
        MAMLConfig(inner_rate=0.0)
