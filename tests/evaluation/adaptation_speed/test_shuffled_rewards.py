"""Shuffled rewards: what an agent adapts on was earned by others, what it is paid is its own."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation.adaptation_speed.shuffled_rewards import shuffled_contender, with_shuffled_rewards
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import draw_tasks, returns_on
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit


def diary(spec, *, cadence):
    """An agent that ends its episodes at their second step and notes every reward that it is given, by slot."""

    def act(params, memory, observation, key):
        del params, memory, key
        return Decision(action=observation, extras={})

    def adapt(params, memory, experience, key):
        del params, key
        start, noted = memory
        rewards = jax.lax.dynamic_update_slice(noted, experience.outcome.reward, (start,))
        return start + cadence, rewards

    return Agent(
        spec=spec,
        init=lambda key: jnp.zeros(3),
        begin=lambda params, key: (jnp.int32(0), jnp.full(spec.lifetime_steps, -1.0)),
        act=act,
        adapt=adapt,
        cadence=cadence,
    )


@pytest.fixture(scope="module")
def counting_tasks():
    """An observation counts steps; action 1 ends the episode; every step pays 7."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(4),
        action_space=gymnasium.spaces.Discrete(4),
        horizon=4,
        episodes=2,
    )

    def step(task, state, action, key):
        del task, key
        no = jnp.asarray(False)
        return state + 1, Outcome(observation=state + 1, reward=jnp.float32(7), terminated=action == 1, truncated=no)

    return TaskDistribution(
        spec=spec,
        sample=lambda split, key: jax.random.uniform(key),
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {},
    )


@pytest.mark.parametrize("cadence", [1, 2, 4, 8])
def test_a_lifetime_adapts_on_the_rewards_of_one_other_slot_by_slot(counting_tasks, cadence):
    rewards = jnp.arange(24.0).reshape(3, 8)
    agent = with_shuffled_rewards(diary(counting_tasks.spec, cadence=cadence), rewards)
    params = agent.init(jax.random.key(0))

    def one(key):
        lifetime, memory = run_lifetime(agent, counting_tasks, params, jnp.float32(0), key)
        return lifetime.outcome.reward, memory.agent[1]

    paid, noted = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 40))
    valid = np.array([1, 1, 0, 0] * 2)
    assert (np.asarray(paid) == 7 * valid).all()
    possible = {tuple(row) for row in np.asarray(rewards) * valid}
    assert {tuple(row) for row in np.asarray(noted)} == possible


def test_rewards_of_another_length_are_refused(counting_tasks):
    with pytest.raises(SpecError, match=r"\[lifetimes, 8\]"):
        with_shuffled_rewards(diary(counting_tasks.spec, cadence=1), jnp.zeros((3, 7)))


def test_every_seed_adapts_on_what_it_earned_itself(counting_tasks):
    agent = diary(counting_tasks.spec, cadence=2)
    one = Contender(agent=agent, params=jnp.zeros((2, 3)), trained=True)
    shuffled = shuffled_contender(one, counting_tasks, split="test", lifetimes=5)
    assert (shuffled.seeds, shuffled.trained) == (2, True)
    assert shuffled.params.rewards.shape == (2, 5, 8)
    assert (np.asarray(shuffled.params.rewards) == 7 * np.array([1, 1, 0, 0] * 2)).all()


@pytest.mark.slow
def test_thompson_sampling_falls_to_random_and_random_stays_what_it_is():
    bandit, tasks = bernoulli_bandit(arms=5, pulls=60), 500
    task_list, keys = draw_tasks(bandit, split="test", tasks=tasks, seed=0)
    floor = np.asarray(jax.vmap(bandit.floor)(task_list))
    above = {}
    for name in ("Thompson sampling", "random"):
        one = contender(bandit.baselines[name]())
        shuffled = shuffled_contender(one, bandit, split="test", lifetimes=100)
        above[name], above[name, "shuffled"] = (returns_on(who, bandit, task_list, keys)[0] - floor for who in (one, shuffled))
    # Knowing the task earns some 20 above the floor; 500 lifetimes at random have a standard error of 0.25.
    assert above["Thompson sampling"].mean() > 9
    assert abs(above["Thompson sampling", "shuffled"].mean()) < 1
    assert (above["random"] == above["random", "shuffled"]).all()
