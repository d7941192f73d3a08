"""Ask and tell, the Gymnasium view of a lifetime, and `predict`: all of them give the lifetimes of the compiled driver."""

import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from laws.toy_environments import dials
from quickstudy.adapters import AskTell, LifetimeEnv, Predictor
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError

SUBJECTS = [pytest.param("trace_agent every 2 on corridor", marks=pytest.mark.slow), "rl2 gru 8 on corridor"]


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_predictor_in_an_environment_lives_the_same_lifetime(name):
    subject = subject_of(name)
    env, predictor = LifetimeEnv(subject.distribution), Predictor(subject.agent, subject.params)
    for number in range(2):
        task, key, lifetime, _ = subject.one(number)
        lifetime = jax.tree.map(np.asarray, lifetime)
        observation, info = env.reset(options={"task": task, "key": key})
        assert_close(info["task"], task)
        state, rewards, over = None, [], False
        while not over:
            given = {"key": jax.random.split(key)[0]} if state is None else {}
            action, state = predictor.predict(observation, state, **given)
            observation, reward, terminated, over, _ = env.step(action)
            rewards.append(reward)
            assert not terminated
        np.testing.assert_allclose(rewards, lifetime.outcome.reward[lifetime.valid], rtol=1e-5)
        with pytest.raises(UsageError, match="the lifetime is over"):
            env.step(action)


def test_several_environments_at_once_are_as_one_each():
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=4)
    agent = bandits.baselines["greedy"]()
    predictor = Predictor(agent, agent.init(jax.random.key(0)))
    first = {"observation": [0, 0], "action": [0, 0], "reward": [[0.0], [0.0]], "ended": [0, 0], "successor": [0, 0]}
    actions, state = predictor.predict(first)
    assert actions.shape == (2,)
    told = first | {"action": [2, 0], "reward": [[1.0], [0.0]], "ended": [2, 0]}
    again, later = predictor.predict(told, state, np.asarray([False, True]), deterministic=True)
    assert again[0] == 2  # it learned from the action that the observation names, in the lifetime that goes on
    assert later.lifetimes.tolist() == [0, 1]
    assert np.asarray(later.sessions.slot).tolist() == [1, 0]
    with pytest.raises(UsageError, match="2 environments and the observation of 1"):
        predictor.predict({name: np.asarray(part)[0] for name, part in first.items()}, state)
    with pytest.raises(UsageError, match="it lacks reward, ended, successor, action"):
        predictor.predict({"observation": 0})
    with pytest.raises(UsageError, match="a state must be that of the last call, or None at the start; came 'state'"):
        predictor.predict(told, "state")
    with pytest.raises(UsageError, match="episode_start must be 2 truth values"):
        predictor.predict(told, state, [True] * 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"action": 7}, "an action must be an element of"),
        ({"action": 1.5}, "an action must be an element of"),
        ({"reward": ["much"]}, "`reward` must be one number for each of 1 environments"),
        ({"reward": [1.0, 2.0]}, "`reward` must be one number for each of 1 environments"),
        ({"ended": 3}, "`ended` must be 0, 1 or 2"),
        ({"observation": 4}, "must be an element of"),
    ],
)
def test_a_predictor_refuses_what_is_no_observation_of_a_lifetime(changed, said):
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=4)
    agent = bandits.baselines["greedy"]()
    predictor, first = Predictor(agent, agent.init(jax.random.key(0))), LifetimeEnv(bandits).reset(seed=0)[0]
    with pytest.raises(SpecError, match=said):
        predictor.predict(first | changed)


def test_vector_environments_begin_lifetimes_with_a_first_observation():
    """Where the reset comes one step late, the last observation of a lifetime would be taken for the first of the next."""
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=4)
    agent = bandits.baselines["greedy"]()

    def slots(mode):
        environments = SyncVectorEnv([lambda: LifetimeEnv(bandits)] * 2, autoreset_mode=mode)
        predictor, state, starts = Predictor(agent, agent.init(jax.random.key(0))), None, np.ones(2, bool)
        observation, _ = environments.reset(seed=0)
        for _ in range(6):
            actions, state = predictor.predict(observation, state, starts)
            observation, _, _, starts, _ = environments.step(actions)
        return np.asarray(state.sessions.slot).tolist()

    assert slots(AutoresetMode.SAME_STEP) == [1, 1]
    with pytest.raises(UsageError, match=r"environment 0, but its observation is no first one: `ended` is 2.*SAME_STEP"):
        slots(AutoresetMode.NEXT_STEP)


def test_an_environment_refuses_what_it_does_not_know():
    with pytest.raises(UsageError, match=r"tasks must be a task distribution.*; came 'bernoulli-bandit'"):
        LifetimeEnv("bernoulli-bandit")
    env = LifetimeEnv(qs.tasks.make("bernoulli-bandit", arms=3, pulls=4))
    with pytest.raises(UnknownNameError, match="unknown option of reset 'tsk'"):
        env.reset(options={"tsk": 1})


@pytest.mark.filterwarnings("ignore:.*(probably too (low|high)|recommend using a symmetric):UserWarning")  # bounds of the task
@pytest.mark.parametrize("name", ["bernoulli-bandit", pytest.param("drifting-control", marks=pytest.mark.slow)])
def test_gymnasium_accepts_the_environment(name):
    env = LifetimeEnv(qs.tasks.make(name))
    check_env(env, skip_render_check=True)
    first, again = (env.reset(seed=3)[0] for _ in range(2))
    assert_close(first, again)
    assert env.observation_space.contains(first)


def test_tasks_outside_jax():
    distribution = dials()
    env = LifetimeEnv(distribution, split="test", seed=1)
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=0)
    over, steps = False, 0
    while not over:
        observation, _, _, over, info = env.step(env.action_space.sample())
        steps += 1
        assert env.observation_space.contains(observation)
    assert info["episode"] == distribution.spec.episodes - 1
    assert steps <= distribution.spec.lifetime_steps
    env.close()
    with pytest.raises(UsageError, match="no split 'elsewhere'"):
        LifetimeEnv(distribution, split="elsewhere")


@pytest.mark.slow
def test_ask_and_tell_is_an_actor():
    subject = subject_of("rl2 gru 8 on corridor")
    loop, actor = AskTell(subject.agent, subject.params, seed=5), qs.Actor(subject.agent, subject.params, seed=5)
    observation = subject.one()[2].observation
    other = {0: 1, 1: 0}
    for slot in range(3):
        asked, acted = loop.ask(observation[slot]), actor.act(observation[slot])
        assert asked == acted
        taken = other.get(asked, asked) if slot == 1 else asked
        loop.tell(taken, 0.5)
        actor.observe(reward=0.5, observation=observation[slot + 1], action=taken)


def test_ask_and_tell_refuses_what_makes_no_sense():
    agent = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10).baselines["greedy"]()
    loop = AskTell(agent, agent.init(jax.random.key(0)))
    with pytest.raises(UsageError, match="before ask"):
        loop.tell(0, 1.0)
    arm = loop.ask()
    with pytest.raises(UsageError, match="twice in a row"):
        loop.ask()
    with pytest.raises(SpecError, match="element of Discrete"):
        loop.tell(7, 1.0)
    with pytest.raises(SpecError, match="a reward must be"):
        loop.tell(arm, None)
    loop.tell(1 - arm, 1.0)  # the other arm paid, so greedy takes it
    assert loop.ask() == 1 - arm
    loop.tell(1 - arm, 0.0)
    loop.begin()
    assert loop.ask() == arm
    with pytest.raises(UsageError, match="needs a bundle"):
        AskTell("bundles/bandit-n10-k5")
    with pytest.raises(UsageError, match="without parameters"):
        AskTell(agent)
    mdp = qs.tasks.make("tabular-mdp", states=3, actions=2, horizon=3, episodes=4)
    planner = mdp.baselines["random"]()
    with pytest.raises(UsageError, match=r"observes Discrete\(3\)"):
        AskTell(planner, planner.init(jax.random.key(0))).ask()
