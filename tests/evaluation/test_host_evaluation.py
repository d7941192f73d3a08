"""Evaluation and adaptation speed on tasks that live outside: what was measured is judged by the episode, nothing left out."""

import dataclasses
import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import quickstudy as qs
from marks import slow_but
from quickstudy.baselines.ppo import PPOConfig, ppo_agent
from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import draw_tasks, evaluate
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.summary import summary_sentences
from quickstudy.networks.policy import PolicyConfig
from quickstudy.protocol.errors import CollectingError, NonFiniteError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from rollout.collecting.environments import FAULTS, batch, sample_task, slides
from rollout.collecting.from_jax import as_host

INLINE = CollectingConfig(collectors="inline", parallel_environments=4)


class Signals(gymnasium.Env):
    """The first episode of a lifetime ends after three steps and hits twice; the second lasts for four and never hits."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, task):
        self.pay, self.episode = float(task), -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.episode = 0, self.episode + 1
        return 0, {}

    def step(self, action):
        self.steps += 1
        hit = self.episode == 0 and self.steps in (1, 3)
        info = {"hit": hit, "length": 1.0, "late": 10.0 * self.episode + self.steps}
        return 1, self.pay, self.episode == 0 and self.steps == 3, False, info


def signals():
    return qs.from_gymnasium(
        Signals,
        lambda split, generator: generator.choice([1.0, 2.0, 3.0]),
        episodes=2,
        horizon=4,
        measures={"hit": "any", "length": "sum", "late": "last"},
        floor=lambda task: 0.0 * task,
        ceiling=lambda task: 7.0 * task,
    )


@pytest.fixture(scope="module")
def evaluation():
    distribution = signals()
    agent = contender(random_agent(distribution.spec))
    return evaluate({"random": agent, "again": agent}, distribution, split="test", tasks=40, collecting=INLINE)


def test_an_episode_is_judged_once_by_each_measure(evaluation):
    judged = evaluation.results["random"].measures_by_episode
    assert judged["hit"].value == (1.0, 0.0)
    assert judged["length"].value == (3.0, 4.0)
    assert judged["late"].value == (3.0, 14.0)
    assert judged["late"].at == (1, 2)
    assert judged["late"].low == judged["late"].high == judged["late"].value


def test_floor_and_ceiling_are_of_the_tasks_that_were_lived(evaluation):
    score = evaluation.results["random"]
    assert score.lifetime_return.value == pytest.approx(evaluation.ceiling.value, rel=1e-6)
    assert score.normalised_score.value == pytest.approx(1.0)
    assert score.return_by_episode.value[0] / score.return_by_episode.value[1] == pytest.approx(3 / 4)


def test_it_is_stored_and_read_again(evaluation, tmp_path):
    path = evaluation.save(tmp_path)
    again = Evaluation.load(path)
    assert again.to_json() == evaluation.to_json()
    assert again.results["random"].measures_by_episode == evaluation.results["random"].measures_by_episode
    # What was stored before there were measures is read all the same.
    stored = json.loads(path.read_text())
    for result in stored["results"].values():
        del result["measures_by_episode"]
    (tmp_path / "older.json").write_text(json.dumps(stored))
    assert not Evaluation.load(tmp_path / "older.json").results["random"].measures_by_episode


def test_a_measurement_leaves_nothing_out(capsys):
    def sample(split, generator):
        drawn = generator.uniform() < 0.3
        return sample_task(split, generator) | {"fault": FAULTS.index("step" if drawn else "none")}

    broken = dataclasses.replace(slides(), sample=sample)
    with pytest.raises(CollectingError, match="of 8 lifetimes were lost"):
        evaluate({"random": contender(random_agent(broken.spec))}, broken, split="test", tasks=8, collecting=INLINE)
    assert 'raise RuntimeError("the motor is stuck")' in capsys.readouterr().err


@pytest.mark.slow
def test_a_distribution_is_measured_the_same_stepped_from_outside():
    """On the same tasks with the same luck, by other drivers."""
    inside = qs.tasks.make("cart-pole", horizon=8, episodes=2)
    outside = as_host(inside)
    agent = contender(random_agent(inside.spec))
    whole = evaluate({"random": agent}, inside, split="test", tasks=16)
    with_same_tasks = Steered(outside, inside)
    found = evaluate({"random": agent}, with_same_tasks, split="test", tasks=16, collecting=INLINE)
    assert found.task_hash == whole.task_hash
    ours, theirs = found.results["random"], whole.results["random"]
    np.testing.assert_allclose(ours.cumulative_return.value, theirs.cumulative_return.value, rtol=1e-5)
    assert ours.lifetime_return.value == pytest.approx(theirs.lifetime_return.value, rel=1e-5)
    assert not ours.measures_by_episode


def Steered(outside, inside):  # noqa: N802
    """The distribution, but with the tasks that the compiled one draws."""

    class Drawn(type(outside)):
        def sample_tasks(self, split, key, *, tasks):
            return jax.tree.map(np.asarray, inside.sample_tasks(split, key, tasks=tasks))

    return Drawn(**{field.name: getattr(outside, field.name) for field in dataclasses.fields(outside)})


@pytest.mark.slow
def test_adaptation_speed_is_measured_over_lifetimes_of_any_length():
    """Learning from scratch is given more episodes than the distribution's lifetimes have."""
    distribution = slides()
    longer = dataclasses.replace(distribution.spec, episodes=6)
    ppo = contender(ppo_agent(longer, PPOConfig(network=PolicyConfig(hidden_sizes=(8,)), rollouts=2, epochs=1, minibatches=1)))
    agent, params, *_ = batch(distribution)
    trained = Contender(agent=agent, params=jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params), trained=True)
    found = qs.adaptation_speed(trained, ppo, distribution, split="test", tasks=4, lifetimes=2, collecting=INLINE)
    assert (found.agent.episodes, found.baseline.episodes) == (3, 6)
    assert not found.floor_known
    assert found.floor.value < 0
    assert found.shuffled is not None
    assert found.agent.seeds == 2
    # Nothing is left to chance: the curve is the mean over the same lifetimes, lived here once more.
    with open_pool(distribution, INLINE) as pool:
        tasks, keys = draw_tasks(distribution, split="test", tasks=4, seed=0)
        luck = [jax.vmap(jax.random.fold_in, (0, None))(keys, lifetime) for lifetime in range(2)]
        lived = [pool.run(agent, params, tasks, keys).reward.sum(0).mean() for keys in luck]
    assert 3 * found.agent.area.value == pytest.approx(np.mean(lived), rel=1e-5)


class Shaky(gymnasium.Env):
    """Pays one for every step; one step of a lifetime gives a reward that is none."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    wrong = float("nan")

    def __init__(self, task):
        self.bad, self.steps = int(task["bad"]), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2), self.wrong if self.steps == self.bad else 1, False, False, {}


def shaky(wrong, **settings):
    return qs.from_gymnasium(
        type("Shaky", (Shaky,), {"wrong": wrong}),
        lambda split, generator: {"bad": int(generator.integers(1, 11)), "mark": float(split == "test")},
        **({"episodes": 2, "horizon": 5} | settings),
    )


@pytest.mark.parametrize("wrong", slow_but([1e300], [float("nan"), float("-inf"), 1e30, 1e300]), ids=str)
def test_a_step_that_is_not_finite_is_masked_counted_and_said_and_voids_no_measurement(wrong, tmp_path):
    distribution = shaky(wrong)
    agent = qs.algorithms.make("rl2", distribution.spec, hidden_size=4).agent
    params = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 2))
    contenders = {
        "rl2": Contender(agent=agent, params=params, trained=True),
        "random": contender(random_agent(distribution.spec)),
    }
    measured = evaluate(contenders, distribution, split="test", tasks=6, collecting=INLINE)
    assert measured.results["rl2"].nonfinite_steps == 2 * 6
    assert measured.results["rl2"].lifetime_return.value == 9.0
    assert all(value is not None for value in measured.results["random"].cumulative_return.value)
    said = " ".join(summary_sentences(measured))
    assert "Rewards or observations of rl2 were not finite, or overflowed, on 12 of at most 120 steps." in said
    again = Evaluation.load(measured.save(tmp_path))
    assert again.results["random"].nonfinite_steps == 6
    page = qs.write_report(tmp_path, evaluations=[again]).read_text()
    assert "of rl2 were not finite, or overflowed, on 12 of at most 120 steps" in page


def test_where_most_steps_are_not_finite_nothing_is_measured():
    distribution = shaky(float("nan"), episodes=1, horizon=1)
    distribution = dataclasses.replace(distribution, sample=lambda split, generator: {"bad": 1})
    with pytest.raises(NonFiniteError, match="random: on 100% of the steps a reward or an observation was not finite"):
        evaluate({"random": contender(random_agent(distribution.spec))}, distribution, split="test", tasks=4, collecting=INLINE)


@pytest.mark.parametrize("reduction", ["last", "any", "sum"])
def test_a_measure_at_the_end_of_an_episode_alone_is_taken_where_it_is(reduction, capsys):
    class Door(Shaky):
        def step(self, action):
            observation, reward, *ends, _ = super().step(action)
            return observation, reward, *ends, {"success": np.bool_(self.steps == 10)} if self.steps % 5 == 0 else {}

    distribution = qs.from_gymnasium(
        Door, lambda split, generator: {"bad": 99}, episodes=2, horizon=5, measures={"success": reduction}
    )
    measured = evaluate(
        {"random": contender(random_agent(distribution.spec))}, distribution, split="test", tasks=3, collecting=INLINE
    )
    assert measured.results["random"].measures_by_episode["success"].value == (0.0, 1.0)
    assert not capsys.readouterr().err


def test_a_measure_that_never_comes_is_named_once(capsys):
    distribution = shaky(1.0, measures={"sucess": "last"})
    measured = evaluate(
        {"random": contender(random_agent(distribution.spec))}, distribution, split="test", tasks=3, collecting=INLINE
    )
    assert measured.results["random"].measures_by_episode["sucess"].value == (None, None)
    assert "no environment gave the measure 'sucess' in any step" in capsys.readouterr().err
