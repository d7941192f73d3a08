"""The rules of the classical bandit agents, against numbers worked by hand."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy.baselines.bandits.arm_counts import ArmCounts
from quickstudy.baselines.bandits.bayes_optimal import bayes_optimal_agent
from quickstudy.baselines.bandits.epsilon_greedy import epsilon_greedy_agent
from quickstudy.baselines.bandits.gittins import gittins_agent
from quickstudy.baselines.bandits.greedy import greedy_agent
from quickstudy.baselines.bandits.thompson import thompson_agent
from quickstudy.baselines.bandits.ucb1 import ucb1_agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Spec, Transition
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit

MAKERS = [greedy_agent, epsilon_greedy_agent, ucb1_agent, thompson_agent, gittins_agent, bayes_optimal_agent]


def spec(*, arms=3, pulls=10, start=0):
    actions = gymnasium.spaces.Discrete(arms, start=start)
    return Spec(observation_space=gymnasium.spaces.Discrete(1), action_space=actions, horizon=1, episodes=pulls)


def counts(successes, failures):
    return ArmCounts(successes=jnp.asarray(successes, jnp.int32), failures=jnp.asarray(failures, jnp.int32))


def experience(*, action, reward, valid=True):
    no = jnp.asarray([False])
    return Transition(
        observation=jnp.zeros(1, jnp.int32),
        decision=Decision(action=jnp.asarray([action], jnp.int32), extras={}),
        outcome=Outcome(observation=jnp.zeros(1, jnp.int32), reward=jnp.asarray([reward]), terminated=no, truncated=~no),
        episode=jnp.zeros(1, jnp.int32),
        valid=jnp.asarray([valid]),
    )


def decide(agent, memory, key=0):
    key_init, key_act = jax.random.split(jax.random.key(key))
    return agent.act(agent.init(key_init), memory, jnp.int32(0), key_act)


def decide_often(agent, memory, *, times=20_000):
    params = agent.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), times)
    return jax.jit(jax.vmap(lambda key: agent.act(params, memory, jnp.int32(0), key)))(keys)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("start", slow_but([4], [0, 4]))
def test_counts_follow_valid_pulls_alone(make, start):
    agent = make(spec(start=start))
    key = jax.random.key(0)
    memory = agent.begin(agent.init(key), key)
    recorded = [(0, 1.0, True), (2, 0.0, True), (0, 0.0, True), (1, 1.0, False), (0, 1.0, True)]
    for action, reward, valid in recorded:
        memory = agent.adapt((), memory, experience(action=start + action, reward=reward, valid=valid), key)
    assert memory.successes.tolist() == [2, 0, 0]
    assert memory.failures.tolist() == [1, 0, 1]
    assert agent.spec.action_space.contains(np.int64(decide(agent, memory).action))


@pytest.mark.parametrize("make", [greedy_agent, ucb1_agent, gittins_agent])
def test_ties_go_to_the_first_arm(make):
    assert decide(make(spec()), counts([0, 0, 0], [0, 0, 0])).action == 0
    assert decide(make(spec()), counts([0, 1, 1], [1, 0, 0])).action == 1


def test_greedy_starts_from_one_success_in_two_pulls():
    # 2/3, 3/5 and 4/6: a single success is worth as much as three in four.
    assert decide(greedy_agent(spec()), counts([1, 2, 3], [0, 1, 1])).action == 0
    # 1/2 beats 2/5: an untouched arm beats one success in three.
    assert decide(greedy_agent(spec()), counts([1, 1, 0], [2, 2, 0])).action == 2


def test_ucb1_trades_mean_for_uncertainty_as_c_grows():
    # t = 9. Means .6, .6, .5 and effective pulls 5, 5, 2... the third arm's bonus sqrt(2 ln 9 / n) is the largest.
    memory = counts([2, 4, 0], [1, 1, 0])
    # c = .1: .600 + .0938, .7143 + .0792, .5 + .1482; c = 1: 1.537, 1.507, 1.982.
    assert decide(ucb1_agent(spec(), exploration=0.1), memory).action == 1
    assert decide(ucb1_agent(spec(), exploration=1.0), memory).action == 2
    # c = .5: .600 + .469 = 1.069, .7143 + .396 = 1.110, .5 + .741 = 1.241.
    assert decide(ucb1_agent(spec(), exploration=0.5), memory).action == 2


def test_epsilon_greedy_says_the_probability_of_what_it_does():
    decisions = decide_often(epsilon_greedy_agent(spec(), epsilon=0.3), counts([0, 5, 0], [0, 0, 0]))
    share = np.bincount(decisions.action, minlength=3) / decisions.action.size
    np.testing.assert_allclose(share, [0.1, 0.8, 0.1], atol=0.012)
    said = np.exp(decisions.extras["log_probability"])
    np.testing.assert_allclose(said, np.where(decisions.action == 1, 0.8, 0.1), rtol=1e-5)


@pytest.mark.slow
def test_thompson_sampling_pulls_an_arm_as_often_as_it_is_believed_best():
    # P(Beta(2, 1) > Beta(1, 1)) = E[θ] = 2/3.
    decisions = decide_often(thompson_agent(spec(arms=2)), counts([1, 0], [0, 0]))
    assert float((decisions.action == 0).mean()) == pytest.approx(2 / 3, abs=0.011)
    # P(Beta(1, 3) > Beta(2, 1)) = ∫ 2x (1 - x)^3 dx = 1/10.
    decisions = decide_often(thompson_agent(spec(arms=2)), counts([0, 1], [2, 0]))
    assert float((decisions.action == 0).mean()) == pytest.approx(1 / 10, abs=0.008)


@pytest.mark.parametrize("make", MAKERS)
def test_continuous_actions_are_refused(make):
    box = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    with pytest.raises(SpecError, match="Discrete actions"):
        make(Spec(observation_space=box, action_space=box, horizon=1, episodes=10))


@pytest.mark.parametrize(
    ("make", "setting"),
    [(ucb1_agent, {"exploration": -0.1}), (epsilon_greedy_agent, {"epsilon": 1.5}), (gittins_agent, {"discount": 1.0})],
)
def test_settings_out_of_range_are_refused(make, setting):
    with pytest.raises(SpecError, match=next(iter(setting))):
        make(spec(), **setting)


def test_a_distribution_lists_its_opponents_where_they_reach():
    names = ["random", "greedy", "ε-greedy", "UCB1", "Thompson sampling", "Gittins index", "Bayes optimum (exact)"]
    assert list(bernoulli_bandit(arms=50, pulls=10).baselines) == names
    assert list(bernoulli_bandit(arms=2, pulls=100).baselines) == names
    assert list(bernoulli_bandit(arms=5, pulls=100).baselines) == names[:-1]
    assert list(bernoulli_bandit(arms=5, pulls=5000).baselines) == names[:-2]
