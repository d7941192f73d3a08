"""The whole line on agents that get better at a known step: from lifetimes to numbers, tables, files and the picture."""

import dataclasses
import io
import json
import xml.etree.ElementTree

import gymnasium
import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

import quickstudy as qs
from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.numerics.statistics import CensoredEstimate
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.reports.adaptation_speed_chart import speed_picture
from quickstudy.reports.adaptation_speed_table import sentences


def paying_ones(*, episodes, horizon=1, floor=True):
    """Action 1 pays 1, action 0 nothing; the task is only a number."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )

    def step(task, state, action, key):
        del task, key
        no = jnp.asarray(False)
        return state, Outcome(observation=jnp.int32(0), reward=action.astype(jnp.float32), terminated=no, truncated=no)

    return TaskDistribution(
        name="paying-ones",
        spec=spec,
        sample=lambda split, key: jax.random.uniform(key) + float(split == "test"),
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {"number": task},
        floor=(lambda task: jnp.float32(0.5 * spec.lifetime_steps)) if floor else None,
    )


def late(tasks, slots):
    """Gets better after so many slots, whatever it was paid."""
    return Agent(
        spec=tasks.spec,
        init=lambda key: {"slots": jnp.int32(slots)},
        begin=lambda params, key: jnp.int32(0),
        act=lambda params, memory, observation, key: Decision(action=(memory >= params["slots"]).astype(jnp.int32), extras={}),
        adapt=lambda params, memory, experience, key: memory + 1,
    )


@pytest.fixture(scope="module")
def short():
    return paying_ones(episodes=10)


@pytest.fixture(scope="module")
def baseline():
    return contender(late(paying_ones(episodes=100), 30))


@pytest.fixture(scope="module")
def found(short, baseline):
    agent = Contender(agent=late(short, 3), params={"slots": jnp.array([3, 3])}, trained=True)
    return qs.adaptation_speed(
        agent, baseline, short, split="test", tasks=6, lifetimes=2, names=("late", "later"), meta_training_steps=270
    )


def drawn(measured):
    stream = io.StringIO()
    Console(file=stream, width=120).print(qs.speed_table(measured))
    return " ".join(stream.getvalue().split())


def test_the_speed_up_is_the_ratio_of_the_known_steps(found):
    for threshold in found.thresholds:
        for crossing in (threshold.on_each_task, threshold.on_mean_curve):
            assert crossing.agent == CensoredEstimate(at_least=4, at_most=4, low=4, high=4)
            assert crossing.baseline.value == 31
            assert crossing.speed_up.value == 31 / 4
        assert threshold.tasks_to_pay_back.value == 10
        assert threshold.level.value == pytest.approx(0.5 + 0.5 * threshold.fraction)
    assert (found.agent.steps, found.baseline.steps, found.window) == (10, 100, 1)
    assert (found.agent.area.value, found.baseline.area.value) == (pytest.approx(0.7), 0)
    assert (found.agent.asymptote.value, found.baseline.asymptote.value) == (1, 1)
    assert found.break_even.value is None
    assert found.floor_known


def test_shuffled_rewards_expose_an_agent_that_does_not_use_them(found):
    assert found.shuffled.area == found.agent.area
    assert (found.gain_from_reward.value, found.gain_from_reward.high) == (0, 0)
    assert "no significant gain" in " ".join(sentences(found))


@pytest.mark.slow
def test_a_floor_that_nobody_knows_is_measured(baseline):
    # Both floors stand in the levels; the steps are the same.
    tasks = paying_ones(episodes=10, floor=False)
    measured = qs.adaptation_speed(
        contender(late(tasks, 3)), baseline, tasks, split="test", tasks=50, lifetimes=4, shuffled=False
    )
    assert not measured.floor_known
    assert measured.floor.value == pytest.approx(0.5, abs=0.06)
    assert measured.thresholds[0].on_each_task.speed_up.value == 31 / 4
    assert (measured.shuffled, measured.gain_from_reward) == (None, None)


def test_episodes_of_several_steps_count_every_step():
    tasks, longer = paying_ones(episodes=4, horizon=5), paying_ones(episodes=20, horizon=5)
    one, other = contender(late(tasks, 5)), contender(late(longer, 50))
    measured = qs.adaptation_speed(one, other, tasks, split="test", tasks=2, lifetimes=1, shuffled=False)
    # The second episode of five steps is the first that pays everything; of the baseline's the eleventh.
    assert measured.thresholds[-1].on_each_task.agent.value == 10
    assert measured.thresholds[-1].on_each_task.baseline.value == 55
    assert measured.agent.curve.at == (5, 10, 15, 20)


def test_an_agent_that_is_too_late_is_censored_in_every_output(short, baseline):
    measured = qs.adaptation_speed(contender(late(short, 99)), baseline, short, split="test", tasks=3, lifetimes=1)
    assert measured.thresholds[-1].on_each_task.agent.at_most is None
    assert "> 10" in drawn(measured)
    assert "< 3.1 [0, 3.1]" in drawn(measured)
    picture = speed_picture(measured)
    assert "90 %: &lt; 3.1×" in picture.svg
    assert "break-even" in picture.svg
    assert measured.break_even.value == 31


def test_what_is_saved_is_what_is_loaded(found, tmp_path):
    path = found.save(tmp_path)
    assert path.name == "speed-late-against-later-test.json"
    assert AdaptationSpeed.load(path).to_json() == json.loads(path.read_text()) == found.to_json()
    assert AdaptationSpeed.load(path).thresholds[0].on_each_task == found.thresholds[0].on_each_task


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 9}'])
def test_a_file_that_holds_no_adaptation_speed_says_so(tmp_path, content):
    path = tmp_path / "speed.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="adaptation speed"):
        AdaptationSpeed.load(path)


def test_the_table_tells_the_tasks_and_the_verdict(found):
    told = drawn(found)
    for part in (found.task_hash[:12], "late (2 seeds)", "7.8 [7.8, 7.8]", "held-out tasks", "late has 2 training seeds"):
        assert part in told
    assert "later does not overtake late within its 100 steps" in told
    assert "pay back after 10 [10, 10] new tasks" in told


def test_training_tasks_are_labelled(short, baseline):
    one = contender(late(short, 3))
    measured = qs.adaptation_speed(one, baseline, short, split="train", tasks=2, lifetimes=1, shuffled=False)
    assert "TRAINING" in drawn(measured)
    assert "TRAINING" in speed_picture(measured).caption
    assert "TRAINING" in json.dumps(measured.to_json())


def test_the_picture_shows_both_curves_the_thresholds_and_the_speed_up(found, tmp_path):
    path = qs.write_speed_picture(found, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"speed-late-against-later-test.{kind}" for kind in ("png", "svg")
    ]
    svg = path.read_text()
    told = " ".join(xml.etree.ElementTree.fromstring(svg).itertext())
    for part in ("late", "later", "shuffled rewards", "90 %: 7.8×", "random actions", "log scale", "steps on the new task"):
        assert part in told
    # Neither was overtaken.
    assert "break-even" not in told
    assert "7.8" in speed_picture(found).alternative


def test_progress_tells_everyone_who_lives(short, baseline):
    seen = []
    one = contender(late(short, 3))
    qs.adaptation_speed(
        one, baseline, short, split="test", tasks=2, lifetimes=2, progress=lambda name, done: seen.append((name, done))
    )
    names = ("agent", "baseline", "agent, shuffled rewards")
    assert seen == [(name, done) for name in names for done in (0.5, 1.0)]


@pytest.mark.slow
def test_many_agents_against_many_baselines_are_what_each_pair_is(short, baseline):
    agents = {"late": contender(late(short, 3)), "soon": contender(late(paying_ones(episodes=20), 1))}
    rivals = {"later": baseline, "last": contender(late(paying_ones(episodes=50), 20))}
    lived = []
    many = qs.adaptation_speeds(
        agents, rivals, short, split="test", tasks=3, lifetimes=1, meta_training_steps={"soon": 60},
        progress=lambda name, done: lived.append(name),
    )  # fmt: skip
    pairs = [(ours, theirs) for ours in agents for theirs in rivals]
    assert [(one.agent.name, one.baseline.name) for one in many] == pairs
    assert len(lived) == len(set(lived)) == 6
    for one, (ours, theirs) in zip(many, pairs, strict=True):
        assert one.agent.episodes == agents[ours].agent.spec.episodes
        if ours == "late":
            alone = qs.adaptation_speed(
                agents[ours], rivals[theirs], short, split="test", tasks=3, lifetimes=1, names=(ours, theirs)
            )
            assert alone.to_json() == one.to_json()
    assert many[2].thresholds[0].on_each_task.speed_up.value == 31 / 2
    assert [one.meta_training_steps for one in many] == [None, None, 60, 60]


def test_what_cannot_be_measured_says_why(short, baseline):
    one = contender(late(short, 3))
    with pytest.raises(UsageError, match="1 or more; came 0 and 1"):
        qs.adaptation_speed(one, baseline, short, split="test", tasks=0, lifetimes=1)
    with pytest.raises(UsageError, match=r"in \(0, 1\]; came 2"):
        qs.adaptation_speed(one, baseline, short, split="test", thresholds=(2,))
    with pytest.raises(UsageError, match="at least one threshold"):
        qs.adaptation_speed(one, baseline, short, split="test", thresholds=())
    with pytest.raises(UsageError, match="two different names"):
        qs.adaptation_speed(one, baseline, short, split="test", names=("a", "a"))
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        qs.adaptation_speed(one, baseline, short, split="tests")
    other = contender(late(dataclasses.replace(short, spec=dataclasses.replace(short.spec, horizon=2)), 3))
    with pytest.raises(SpecError, match="made for other tasks"):
        qs.adaptation_speed(one, other, short, split="test")
    with pytest.raises(SpecError, match="made for other tasks"):
        qs.adaptation_speed(baseline, one, short, split="test")
