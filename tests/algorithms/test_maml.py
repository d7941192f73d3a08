"""MAML's estimators, on a task so small that every expectation is a sum over all that can happen."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy.algorithms.inner_steps import InnerStepConfig, at_inner_step
from quickstudy.algorithms.maml import MAMLConfig, credit_of_one, maml, meta_learned, outer_credit, policies_along
from quickstudy.numerics.inner_objective import inner_objective
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.protocol.settings import with_settings
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit
from quickstudy.tasks.navigation.point_navigation import point_navigation

# Two decisions of two actions each; what the second pays depends on the first.
FIRST = jnp.array([0.3, 1.0])
SECOND = jnp.array([[2.0, -1.0], [0.5, 1.5]])
EPISODES = jnp.array(list(itertools.product(range(2), range(2))))
LOGITS = jnp.array([[0.4, -0.3], [-0.2, 0.7]])


def made(kind, **settings):
    """A configuration with these settings by their flat names."""
    return with_settings(kind(), settings, of=kind.__name__)


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
    logs = log_probabilities(logits, actions)
    behaviour = jax.lax.stop_gradient(logs)
    return inner_objective(logs, behaviour, returns_to_go(actions), jnp.ones(2, bool), horizon=2, estimator=estimator)


def curvatures(estimator):
    """Probability and estimated Hessian `[4, 4]` of every episode."""
    hessian = jax.jit(jax.hessian(lambda flat, actions: objective(flat.reshape(2, 2), actions, estimator)))
    return [(float(probability(LOGITS, a)), np.asarray(hessian(LOGITS.ravel(), a))) for a in EPISODES]


def exact_curvature():
    """Hessian of the expected return."""
    return np.asarray(jax.jit(jax.hessian(lambda flat: expected_return(flat.reshape(2, 2))))(LOGITS.ravel()))


def mean_and_variance(estimator):
    """Of the estimated Hessian; the variance is summed over its entries."""
    weighted = curvatures(estimator)
    mean = sum(p * h for p, h in weighted)
    return mean, sum(p * np.square(h - mean).sum() for p, h in weighted)


@pytest.mark.parametrize("estimator", ["maml", "e-maml", "lvc", "dice"])
def test_all_estimators_take_the_same_inner_step_which_is_unbiased(estimator):
    gradient = jax.jit(jax.grad(objective), static_argnums=2)
    for actions in EPISODES:
        np.testing.assert_allclose(gradient(LOGITS, actions, estimator), gradient(LOGITS, actions, "maml"), atol=1e-6)
    mean = sum(probability(LOGITS, actions) * gradient(LOGITS, actions, estimator) for actions in EPISODES)
    np.testing.assert_allclose(mean, jax.jit(jax.grad(expected_return))(LOGITS), atol=1e-6)


def test_curvature_of_dice_is_unbiased():
    np.testing.assert_allclose(mean_and_variance("dice")[0], exact_curvature(), atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "deviation", "error"), [("maml", 0.852, 0.340), ("lvc", 0.757, 0.182), ("dice", 0.943, 0)]
)
def test_curvature_is_as_the_table_of_the_documentation_says(estimator, deviation, error):
    mean, variance = mean_and_variance(estimator)
    assert variance**0.5 == pytest.approx(deviation, abs=5e-4)
    assert np.abs(mean - exact_curvature()).max() == pytest.approx(error, abs=5e-4)
    assert np.abs(exact_curvature()).max() == pytest.approx(0.182, abs=5e-4)


def test_curvature_of_lvc_varies_less_than_that_of_dice_and_is_closer_than_plain_maml():
    (lvc, varies), (_, dice_varies), (plain, _) = (mean_and_variance(e) for e in ("lvc", "dice", "maml"))
    assert varies < dice_varies
    assert np.abs(lvc - exact_curvature()).sum() < np.abs(plain - exact_curvature()).sum()


# Two pulls, an inner step, two pulls; what an arm pays is certain, so that sixteen lives are all that can happen.
BANDIT = bernoulli_bandit(arms=2, pulls=4).spec
PAYS = np.array([0.2, 1.0])
LIVES = jnp.array(list(itertools.product(range(2), repeat=4)))


def two_pulls_each_way(estimator, **settings):
    """A small agent, its parameters, and the sixteen lives `[4, 16]` as it remembers them."""
    config = made(
        MAMLConfig,
        hidden_sizes=(3,),
        rollouts=2,
        estimator=estimator,
        inner_rate=2.0,
        baseline="none",
        discount=1.0,
        **settings,
    )
    agent = maml(BANDIT, config).agent
    params = jax.jit(agent.init)(jax.random.key(1))
    # A start that prefers the worse arm, so that it matters what the first pulls are.
    params = eqx.tree_at(lambda p: p.start.head.bias, params, jnp.array([1.5, 0.0]))
    actions = LIVES.T
    no, yes = jnp.zeros((4, 16), bool), jnp.ones((4, 16), bool)
    seen = jnp.zeros((4, 16), jnp.int32)
    outcome = Outcome(observation=seen, reward=jnp.asarray(PAYS)[actions], terminated=no, truncated=yes)
    episode = jnp.broadcast_to(jnp.arange(4)[:, None], (4, 16))

    def lives(behaviour):
        decision = Decision(action=actions, extras={"log_probability": behaviour})
        return Transition(observation=seen, decision=decision, outcome=outcome, episode=episode, valid=yes)

    # Inner steps of lvc weigh by what the behaviour was: the first two pulls' is known before the last two's.
    guess = lives(jnp.full((4, 16), jnp.log(0.5)))
    log_probability = jax.jit(lambda lives: policies_along(agent, params, lives).log_probability(actions))
    known = log_probability(lives(log_probability(guess)))
    return config, agent, params, lives(known)


def outer_gradient(estimator):
    """The expected outer gradient, with the true probability of every life, and the exact one, flat."""
    config, agent, params, lives = two_pulls_each_way(estimator)
    log_probability = lambda params: policies_along(agent, params, lives).log_probability(lives.decision.action)  # noqa: E731
    chances = jnp.exp(jax.jit(log_probability)(params).sum(0))
    np.testing.assert_allclose(chances.sum(), 1.0, atol=1e-6)
    credit = jax.vmap(
        lambda one: sum(credit_of_one(one, BANDIT, config.inner, config.gradient, credits="every")).ravel(), 1, 1
    )(lives)

    def surrogate(params):
        ratio = jnp.exp(log_probability(params) - lives.decision.extras["log_probability"])
        return ((ratio * credit).sum(0) * chances).sum()

    def expected(params):
        return (jnp.exp(log_probability(params).sum(0)) * lives.outcome.reward[2:].sum(0)).sum()

    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    return flat(jax.jit(jax.grad(surrogate))(params).start), flat(jax.jit(jax.grad(expected))(params).start)


def test_outer_gradient_of_e_maml_is_unbiased():
    estimated, exact = outer_gradient("e-maml")
    np.testing.assert_allclose(estimated, exact, atol=1e-5)
    assert np.abs(exact).max() > 0.05


@pytest.mark.slow
def test_outer_gradient_of_plain_maml_forgets_that_the_first_pulls_lead_to_the_last():
    estimated, exact = outer_gradient("maml")
    assert np.abs(estimated - exact).max() > 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("estimator", slow_but(["lvc"], ["maml", "lvc"]))
def test_second_order_gradient_agrees_with_finite_differences(estimator):
    with jax.enable_x64(True):
        config, agent, params, lives = two_pulls_each_way(estimator)
        credit = outer_credit_on_one_device(lives, config)

        @jax.jit
        def gained(start):
            policy = policies_along(agent, dataclasses.replace(params, start=start), lives)
            return (policy.log_probability(lives.decision.action) * credit).sum()

        slope = jax.jit(jax.grad(gained))(params.start)
        keys = iter(jax.random.split(jax.random.key(2), 20))
        way = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape, leaf.dtype), slope)
        there = lambda length: gained(jax.tree.map(lambda w, d: w + length * d, params.start, way))  # noqa: E731
        differences = (there(1e-5) - there(-1e-5)) / 2e-5
        along = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True))
        assert slope.head.weight.dtype == jnp.float64
        np.testing.assert_allclose(along, differences, rtol=1e-4)


@pytest.mark.slow
def test_first_order_differs_from_second_order():
    slopes = []
    for first_order in (False, True):
        config, agent, params, lives = two_pulls_each_way("lvc", first_order=first_order)
        credit = outer_credit_on_one_device(lives, config)
        loss = lambda p, a=agent, v=lives, c=credit: (policies_along(a, p, v).log_probability(v.decision.action) * c).sum()  # noqa: E731
        slopes.append(jax.jit(jax.grad(loss))(params).start.head.weight)
    assert np.abs(slopes[0] - slopes[1]).max() > 1e-3 * np.abs(slopes[0]).max()


def outer_credit_on_one_device(lives, config):
    """`outer_credit` averages over a named axis of devices."""
    one = lambda lives: outer_credit(lives, BANDIT, config.inner, config.gradient)  # noqa: E731
    return jax.jit(jax.vmap(one, axis_name=LIFETIMES_AXIS))(jax.tree.map(lambda leaf: leaf[None], lives))[0]


@pytest.mark.parametrize(("credits", "own"), [("every", (0, 1, 1)), ("last", (0, 0, 1))])
@pytest.mark.parametrize("estimator", ["lvc", "e-maml"])
def test_credit_is_for_what_follows_an_inner_step(credits, own, estimator):
    # Three parts of two pulls that pay 1, 2 and 1.
    rewards = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    spec = bernoulli_bandit(arms=2, pulls=6).spec
    no = jnp.zeros(6, bool)
    lifetime = Transition(
        observation=jnp.zeros(6, jnp.int32),
        decision=Decision(action=jnp.zeros(6, jnp.int32), extras={}),
        outcome=Outcome(observation=jnp.zeros(6, jnp.int32), reward=rewards, terminated=no, truncated=~no),
        episode=jnp.arange(6),
        valid=~no,
    )
    config = made(MAMLConfig, rollouts=2, credits=credits, estimator=estimator, baseline="none")
    led_to, advantage = credit_of_one(lifetime, spec, config.inner, config.gradient, credits=credits)
    np.testing.assert_allclose(advantage, rewards.reshape(3, 2) * jnp.array(own, jnp.float32)[:, None])
    later = {"every": (3, 1, 0), "last": (1, 1, 0)}[credits] if estimator == "e-maml" else (0, 0, 0)
    np.testing.assert_allclose(led_to, jnp.broadcast_to(jnp.array(later, jnp.float32)[:, None], (3, 2)))


def test_each_inner_step_has_its_own_rate_and_a_longer_life_goes_on_with_the_last():
    rates = {"weight": jnp.array([[1.0], [2.0]])}
    assert [float(at_inner_step(rates, jnp.int32(taken))["weight"][0]) for taken in (0, 1, 5)] == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(("estimator", "start_moves"), [("lvc", 0.0), ("e-maml", 1.0)])
@pytest.mark.parametrize("learned", [False, True])
def test_only_what_is_meta_learned_moves(estimator, start_moves, learned):
    spec = point_navigation(horizon=4, episodes=4).spec
    config = made(MAMLConfig, hidden_sizes=(3,), rollouts=2, estimator=estimator, learned_rates=learned)
    ones = jax.tree.map(jnp.ones_like, maml(spec, config).agent.init(jax.random.key(0)))
    moved = meta_learned(ones, estimator, rates=learned)
    np.testing.assert_array_equal(moved.start.deviation, [start_moves] * 2)
    np.testing.assert_array_equal(moved.deviation, [[0.0, 0.0], [1.0, 1.0]])
    assert {float(leaf.min()) for leaf in jax.tree.leaves(moved.rates) if leaf.size} == {float(learned)}
    np.testing.assert_array_equal(moved.start.head.weight, ones.start.head.weight)


def test_steps_that_did_not_happen_count_for_nothing():
    for estimator in ("maml", "lvc", "dice"):

        def slope(padding, valid, estimator=estimator):
            logs = jnp.concatenate([jnp.array([-0.5]), padding])
            advantage = jnp.array([1.0, 7.0])
            return jax.grad(lambda x: inner_objective(x, logs, advantage, valid, horizon=2, estimator=estimator))(logs)

        one = slope(jnp.array([-0.1]), jnp.array([True, False]))
        np.testing.assert_allclose(one, slope(jnp.array([-9.0]), jnp.array([True, False])))
        assert one[1] == 0.0 != slope(jnp.array([-0.1]), jnp.array([True, True]))[1]


def test_rollouts_that_do_not_fit_are_named():
    spec = bernoulli_bandit(arms=2, pulls=10).spec
    with pytest.raises(SpecError, match="3 rollouts and 10 episodes"):
        maml(spec, made(MAMLConfig, rollouts=3))
    with pytest.raises(SpecError, match="10 rollouts and 10 episodes"):
        maml(spec, made(MAMLConfig, rollouts=10))
    with pytest.raises(SpecError, match="rollouts must be 2 or more"):
        maml(spec, made(MAMLConfig, rollouts=1))
    with pytest.raises(UsageError, match="inner_rate must be above zero"):
        InnerStepConfig(inner_rate=0.0)
