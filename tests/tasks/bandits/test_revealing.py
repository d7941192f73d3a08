"""The revealing arm by hand, its exact returns by enumeration, and the searches that reach them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.bandits.target_search import revealing_search_agent
from quickstudy.baselines.models.revealing_arm import RevealingArm
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.revealing import SPLITS, RevealingArmTask, revealing_arm

KEY = jax.random.key(0)


def tasks_of(targets, *, named=None):
    """One task for each target `[tasks]`."""
    targets = jnp.asarray(targets, jnp.int32)
    named = targets if named is None else jnp.asarray(named, jnp.int32)
    return RevealingArmTask(target=targets, named=named, number=jnp.zeros(targets.shape))


def payout(arm, target, *, arms):
    if arm == arms:
        return (target + 1) / arms
    return 5.0 if arm == target else 1.1


def best_return(arms, pulls, *, actions):
    """Expected return of the best policy over these actions: every history, with the set of targets that it leaves possible."""

    @functools.cache
    def value(possible, left):
        if left == 0:
            return 0.0
        worths = []
        for action in actions:
            outcomes = {}
            for target in possible:
                outcomes.setdefault(payout(action, target, arms=arms), []).append(target)
            weighted = (
                len(targets) / len(possible) * (paid + value(frozenset(targets), left - 1))
                for paid, targets in outcomes.items()
            )
            worths.append(sum(weighted))
        return max(worths)

    return value(frozenset(range(arms)), pulls)


def returns_of(agent, distribution, tasks):
    """Returns `[tasks]`."""
    run = jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward.sum())
    return np.asarray(jax.jit(run)(tasks, jax.random.split(KEY, len(tasks.target))))


def test_pulls_by_hand():
    distribution, task = revealing_arm(arms=4), tasks_of([2])
    task = jax.tree.map(lambda leaf: leaf[0], task)
    rewards = [float(distribution.step(task, jnp.int32(0), jnp.int32(arm), KEY)[1].reward) for arm in range(5)]
    assert rewards == pytest.approx([1.1, 1.1, 5.0, 1.1, 0.75])
    # Five pulls: the mean of the payouts, 9.05 / 5, and 5 a pull.
    assert float(distribution.floor(task)) == pytest.approx(9.05)
    assert float(distribution.ceiling(task)) == 25.0


def test_returns_of_the_published_setting_by_hand():
    problem = RevealingArm(arms=10, pulls=5)
    # The revealing arm pays 0.55 on average, and then the target pays 5 four times.
    assert problem.optimum() == pytest.approx(0.55 + 20)
    # The target is found at each of five tries with chance 1/10, and before that each try pays 1.1.
    found = sum(1.1 * failures + 5 * (5 - failures) for failures in range(5))
    assert problem.best_without_revealing() == pytest.approx(found / 10 + 5 * 1.1 / 2)
    # An agent that pulls the revealing arm and ignores its payout has four pulls for the same search.
    assert 0.55 + RevealingArm(arms=10, pulls=4).best_without_revealing() == pytest.approx(8.85)
    tasks = tasks_of(range(10))
    assert float(revealing_arm().floor(tasks).mean()) == pytest.approx(5 * (5 + 9 * 1.1 + 0.55) / 11)


@pytest.mark.parametrize("arms", [2, 3, 5])
@pytest.mark.parametrize("pulls", [1, 2, 3, 5])
def test_exact_returns_are_those_of_all_histories(arms, pulls):
    problem = RevealingArm(arms=arms, pulls=pulls)
    assert problem.optimum() == pytest.approx(best_return(arms, pulls, actions=range(arms + 1)))
    assert problem.best_without_revealing() == pytest.approx(best_return(arms, pulls, actions=range(arms)))


@pytest.mark.parametrize(("arms", "pulls"), [(10, 5), (3, 4), (2, 3), (10, 1)])
def test_the_searches_reach_the_exact_returns(arms, pulls):
    distribution, problem = revealing_arm(arms=arms, pulls=pulls), RevealingArm(arms=arms, pulls=pulls)
    exact = {
        "Bayes optimum (exact)": problem.optimum(),
        "search without revealing": problem.best_without_revealing(),
    }
    for name, known in exact.items():
        returned = returns_of(distribution.baselines[name](), distribution, tasks_of(range(arms)))
        assert returned.mean() == pytest.approx(known, rel=1e-6), name


def test_a_wrong_hint_is_given_up():
    distribution = revealing_arm(arms=4, pulls=6)
    # Arm 1 is named and pays 1.1. Then arms 0, 2 and 3 are tried, until the target pays.
    tasks = tasks_of([0, 2, 3], named=[1, 1, 1])
    returned = returns_of(revealing_search_agent(distribution.spec), distribution, tasks)
    np.testing.assert_allclose(returned, [0.5 + 1.1 + 4 * 5, 0.5 + 2 * 1.1 + 3 * 5, 0.5 + 3 * 1.1 + 2 * 5], rtol=1e-6)


def test_pulls_that_are_not_valid_teach_nothing():
    agent = revealing_search_agent(revealing_arm(arms=3).spec)
    no = jnp.zeros(3, bool)
    experience = Transition(
        observation=jnp.zeros(3, jnp.int32),
        decision=Decision(action=jnp.asarray([0, 1, 3]), extras={}),
        outcome=Outcome(
            observation=jnp.zeros(3, jnp.int32), reward=jnp.asarray([5.0, jnp.nan, 1.0]), terminated=no, truncated=~no
        ),
        episode=jnp.arange(3),
        valid=jnp.asarray([False, False, True]),
    )
    memory = agent.adapt((), agent.begin((), KEY), experience, KEY)
    assert memory.paid.tolist() == memory.failed.tolist() == [False, False, False]
    assert memory.named.tolist() == [False, False, True]


def test_splits_share_no_task_and_hints_are_wrong_in_one_of_them():
    distribution = revealing_arm()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=10_000) for split in SPLITS}
    for split, tasks in drawn.items():
        shares = np.bincount(tasks.target, minlength=10) / 10_000
        np.testing.assert_allclose(shares, 0.1, atol=4 * (0.09 / 10_000) ** 0.5)
        wrong = split == "ood:wrong-hint"
        np.testing.assert_array_equal(tasks.named, (np.asarray(tasks.target) + wrong) % 10)
    numbers = {split: set(np.asarray(tasks.number).tolist()) for split, tasks in drawn.items()}
    assert len(set().union(*numbers.values())) == sum(map(len, numbers.values()))


@pytest.mark.parametrize(("settings", "said"), [({"arms": 1}, "arms must be 2"), ({"pulls": 0}, "pulls must be 1")])
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        revealing_arm(**settings)
