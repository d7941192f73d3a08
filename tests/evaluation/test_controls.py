"""The controls of an evaluation, on tasks small enough to work out by hand."""

import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import pytest

from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.adaptation import adaptation_sentences, headline_of_adaptation
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.controls import Controls
from quickstudy.evaluation.results import Control, Evaluation
from quickstudy.evaluation.splits import evaluate_splits
from quickstudy.evaluation.summary import headline, table
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution


def hidden_side(*, horizon, episodes):
    """The task is one of two actions, which pays 1 at every step; nothing is observed."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )

    def step(task, state, action, key):
        pays = (action == (task > 0.5).astype(jnp.int32)).astype(jnp.float32)
        return state, Outcome(observation=jnp.int32(0), reward=pays, terminated=False, truncated=False)

    return TaskDistribution(
        name="hidden-side",
        spec=spec,
        splits=("train", "test", "ood:same"),
        sample=lambda split, key: jax.random.uniform(key),
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {"side": task},
    )


def learner(spec):
    """Tries action 0 in its first episode, or at its first step where there is one; stays where it was paid, else changes."""

    def adapt(params, memory, experience, key):
        paid, action = experience.outcome.reward[0], experience.decision.action[0]
        last = experience.outcome.truncated[0] if spec.episodes > 1 and spec.horizon > 1 else jnp.asarray(True)
        return jnp.where(experience.valid[0] & last, jnp.where(paid > 0, action, 1 - action), memory)

    return Agent(
        spec=spec,
        init=lambda key: jnp.zeros(1),
        begin=lambda params, key: jnp.int32(0),
        act=lambda params, memory, observation, key: Decision(action=memory, extras={}),
        adapt=adapt,
    )


def measured(tasks, *, splits=("test",), agents=None, **asked):
    one = Contender(agent=learner(tasks.spec), params=jnp.zeros((2, 1)), trained=True)
    return list(evaluate_splits(agents or {"rl2": one}, tasks, splits=splits, tasks=60, **asked))


@pytest.fixture(scope="module")
def in_episodes():
    return measured(hidden_side(horizon=3, episodes=4), splits=("test", "ood:same"))


@pytest.fixture(scope="module")
def in_one_episode():
    return measured(hidden_side(horizon=8, episodes=1))[0]


def test_every_evaluation_has_the_controls(in_episodes):
    for found in in_episodes:
        assert list(found.results) == ["rl2", "random", "rl2 without memory", "rl2, shuffled rewards"]
        assert found.results["rl2 without memory"].control == Control(agent="rl2", change="no memory")
        assert [name for name, one in found.results.items() if one.trained] == ["rl2"]
        assert found.results["rl2 without memory"].seeds == 2
        again = Evaluation.from_json(found.to_json())
        assert again.to_json() == found.to_json()
        assert again.control_of("rl2", "shuffled rewards") == "rl2, shuffled rewards"


def test_the_gain_is_what_the_learner_gains(in_episodes):
    found = in_episodes[0]
    results = found.results
    # Half of the tasks pay action 1, on which the first episode earns 0 and every later one 3.
    other = 1 - results["rl2 without memory"].return_by_episode.value[0] / 3
    assert 0.2 < other < 0.8
    assert results["rl2"].gain.value == pytest.approx(3 * other, rel=1e-5)
    assert results["rl2"].gain.low > 0
    # Without memory it tries action 0 in every episode.
    assert results["rl2 without memory"].gain.value == 0
    assert found.compare("rl2", "rl2 without memory").difference.value == pytest.approx(9 * other, rel=1e-5)


def test_the_first_sentence_says_that_it_adapts(in_episodes):
    found = in_episodes[0]
    first, memory, shuffled = adaptation_sentences(found, "rl2")
    assert first.startswith("rl2 adapts: +")
    assert first.endswith("] from the first to the last episode.")
    assert memory.startswith("Its return minus that of the same agent without memory is +")
    assert "with shuffled rewards is +" in shuffled
    assert "without memory" not in headline(found)
    assert headline_of_adaptation(found, "random") is None


@pytest.mark.slow
def test_a_lifetime_of_one_episode_is_compared_with_the_agent_without_memory(in_one_episode):
    sentences = adaptation_sentences(in_one_episode, "rl2")
    assert sentences[0].startswith("rl2 adapts: +")
    assert sentences[0].endswith("] per lifetime, compared with the same agent without memory.")
    assert "From the first to the last step its reward of a step changes by +" in sentences[1]
    assert "need not be adaptation" in sentences[1]
    # At every step it tries action 0 again.
    without = in_one_episode.results["rl2 without memory"]
    assert without.lifetime_return.value == pytest.approx(8 * without.reward_by_step.value[0])


def test_an_agent_that_learns_nothing_does_not_adapt(in_episodes):
    found = in_episodes[0]
    still = dataclasses.replace(found.results["rl2 without memory"], trained=True, control=None)
    told = headline_of_adaptation(dataclasses.replace(found, results=found.results | {"rl2": still}), "rl2")
    assert told == "rl2 does not adapt significantly: 0.000 [0.000, 0.000] from the first to the last episode."
    lost = dataclasses.replace(still.gain, value=-1.0, low=-2.0, high=-0.5)
    worse = dataclasses.replace(found, results=found.results | {"rl2": dataclasses.replace(still, gain=lost)})
    assert headline_of_adaptation(worse, "rl2").startswith("rl2 gets worse: −1.00 [−2.00, −0.50]")


@pytest.mark.slow
def test_episodes_of_one_step_compare_tenths_of_the_steps():
    found = measured(hidden_side(horizon=1, episodes=20))[0]
    assert headline_of_adaptation(found, "rl2").endswith("from the first to the last 2 steps.")
    assert "from the first to the last 2 steps" in table(found).caption


def test_random_actions_under_another_name_are_not_measured_twice():
    tasks = hidden_side(horizon=1, episodes=2)
    equal = functools.partial(random_agent, tasks.spec)
    named = dataclasses.replace(tasks, baselines={"equal split": equal})
    assert list(Controls({"equal split": contender(equal())}, named).on("test")) == []
    assert list(Controls({}, named).on("test")) == ["random"]


def test_without_controls_only_what_is_given_is_measured():
    (found,) = measured(hidden_side(horizon=1, episodes=2), controls=False)
    assert list(found.results) == ["rl2"]
    assert len(adaptation_sentences(found, "rl2")) == 1


def test_a_stored_control_of_nobody_is_refused(in_episodes):
    data = in_episodes[0].to_json()
    data["results"]["rl2 without memory"]["control"]["agent"] = "nobody"
    with pytest.raises(UsageError, match="a control of 'nobody', which is not among its contenders"):
        Evaluation.from_json(data)
