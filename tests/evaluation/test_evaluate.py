"""Common random numbers, masks, thresholds and summaries, on a distribution small enough to work out by hand."""

import dataclasses
import io
import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from quickstudy.baselines.random import random_agent
from quickstudy.evaluation import summary
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout import runner
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit


def arm_agent(spec, arm):
    """Always the same arm; which one is its only parameter."""

    def act(params, memory, observation, key):
        del memory, observation, key
        return Decision(action=params["arm"], extras={})

    return Agent(
        spec=spec,
        init=lambda key: {"arm": jnp.int32(arm)},
        begin=lambda params, key: (),
        act=act,
        adapt=lambda params, memory, experience, key: memory,
        exchangeable=True,
    )


def paying_steps(*, horizon=3, episodes=2):
    """Action 1 ends the episode and pays 1, action 0 pays 0.25 and goes on; the task is only a number."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(2),
        horizon=horizon,
        episodes=episodes,
    )

    def step(task, state, action, key):
        del task, key
        ends = action == 1
        reward = jnp.where(ends, 1.0, 0.25)
        return state, Outcome(observation=jnp.int32(0), reward=reward, terminated=ends, truncated=jnp.asarray(False))

    return TaskDistribution(
        name="paying-steps",
        spec=spec,
        sample=lambda split, key: jax.random.uniform(key) + float(split == "test"),
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {"number": task},
    )


@pytest.fixture(scope="module")
def bandit():
    return bernoulli_bandit(arms=3, pulls=12)


@pytest.fixture(scope="module")
def random_one(bandit):
    """One agent for many tests: programs are compiled once for each agent."""
    return contender(random_agent(bandit.spec))


@pytest.fixture(scope="module")
def arm_zero_twice(bandit):
    """Two seeds that both pull arm 0."""
    params = {"arm": jnp.zeros(2, jnp.int32)}
    return Contender(agent=arm_agent(bandit.spec, 0), params=params, trained=True)


@pytest.fixture(scope="module")
def contest(bandit, random_one):
    """Three contenders: the random one twice, and one that was 'trained' to pull arms 0 and 1 with its two seeds."""
    trained = Contender(agent=arm_agent(bandit.spec, 0), params={"arm": jnp.arange(2)}, trained=True)
    contenders = {
        "random": random_one,
        "random again": contender(random_agent(bandit.spec)),
        "first arms": trained,
    }
    return evaluate(contenders, bandit, split="test", tasks=50, reference="random", command="the command")


def drawn(console_width, table):
    stream = io.StringIO()
    Console(file=stream, width=console_width).print(table)
    return stream.getvalue()


def test_two_copies_of_one_agent_differ_by_exactly_nothing(contest):
    found = contest.compare("random", "random again")
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)
    assert found.probability_of_improvement.value == 0.5
    assert found.outcome == "tie"
    first, second = contest.results["random"], contest.results["random again"]
    assert first.lifetime_return == second.lifetime_return
    assert first.reward_by_step == second.reward_by_step


def test_agents_that_pull_the_same_arms_get_the_same_rewards_whatever_they_are(bandit, arm_zero_twice):
    contenders = {"once": contender(arm_agent(bandit.spec, 0)), "twice": arm_zero_twice}
    found = evaluate(contenders, bandit, split="test", tasks=10).compare("twice", "once")
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found.probability_of_improvement.value == 0.5


def test_results_agree_with_lifetimes_run_by_hand(bandit):
    tasks, seed, agent = 20, 3, arm_agent(bandit.spec, 2)
    found = evaluate({"arm 2": contender(agent)}, bandit, split="test", tasks=tasks, seed=seed)
    key_tasks, key_lives = jax.random.split(jax.random.key(seed))
    stack = bandit.sample_tasks("test", jax.random.fold_in(key_tasks, 1), tasks=tasks)
    keys = jax.random.split(key_lives, tasks)
    lifetimes, _ = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, bandit, {"arm": jnp.int32(2)}, task, key)))(
        stack, keys
    )
    rewards = np.asarray(lifetimes.outcome.reward)
    result = found.results["arm 2"]
    assert result.lifetime_return.value == pytest.approx(rewards.sum(1).mean())
    assert result.reward_by_step.value == pytest.approx(rewards.mean(0))
    assert result.cumulative_return.value == pytest.approx(np.cumsum(rewards, 1).mean(0), rel=1e-5)
    ceiling = 12 * np.asarray(stack.probability).max(1).mean()
    assert result.regret.value == pytest.approx(ceiling - rewards.sum(1).mean(), rel=1e-5)
    assert result.cumulative_regret.value[-1] == pytest.approx(result.regret.value, rel=1e-4)
    assert found.ceiling.value == pytest.approx(ceiling, rel=1e-5)


@pytest.mark.slow
def test_blocks_change_nothing(bandit, random_one, monkeypatch):
    contenders = {"random": random_one}
    whole = evaluate(contenders, bandit, split="test", tasks=10)
    monkeypatch.setattr(runner, "_BLOCK_BYTES", 4 * 64 * 12)
    assert (
        evaluate(contenders, bandit, split="test", tasks=10).results["random"].reward_by_step
        == whole.results["random"].reward_by_step
    )


def test_an_evaluation_is_deterministic_and_its_hash_changes_with_the_tasks(bandit, random_one):
    contenders = {"random": random_one}

    def run(**choice):
        return evaluate(contenders, bandit, **({"split": "test", "tasks": 10} | choice))

    found = run()
    assert run().results["random"].lifetime_return == found.results["random"].lifetime_return
    hashes = {run(**choice).task_hash for choice in ({}, {"seed": 1}, {"split": "train"}, {"tasks": 11})}
    assert len(hashes) == 4
    assert run().task_hash == found.task_hash


def test_slots_after_the_end_of_an_episode_do_not_count():
    tasks = paying_steps()
    found = evaluate(
        {"ends at once": contender(arm_agent(tasks.spec, 1)), "goes on": contender(arm_agent(tasks.spec, 0))},
        tasks,
        split="test",
        tasks=4,
    )
    ends, goes_on = found.results["ends at once"], found.results["goes on"]
    assert ends.lifetime_return.value == 2.0
    assert ends.reward_by_step.value == (1.0, None, None, 1.0, None, None)
    assert ends.cumulative_return.value == (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)
    assert ends.return_by_episode.value == (1.0, 1.0)
    assert ends.area.value == 1.0
    assert goes_on.return_by_episode.value == (0.75, 0.75)
    assert goes_on.reward_by_step.value == (0.25,) * 6
    assert ends.normalised_score is None
    assert ends.regret is None
    assert not ends.steps_to


def test_every_pair_with_a_trained_contender_is_compared_and_reads_the_same_from_both_sides(contest):
    forth, back = contest.compare("first arms", "random"), contest.compare("random", "first arms")
    assert forth.difference.value == -back.difference.value
    assert forth.difference.low == -back.difference.high
    assert contest.results["first arms"].seeds == 2
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        contest.compare("randm", "first arms")


def test_an_evaluation_survives_json_and_the_disk(contest, tmp_path):
    data = json.loads(json.dumps(contest.to_json(), allow_nan=False))
    assert Evaluation.from_json(data).to_json() == data
    ood = dataclasses.replace(contest, split="ood:close-arms")
    path = ood.save(tmp_path / "run")
    assert path.name == "evaluation-ood-close-arms.json"
    assert Evaluation.load(path).to_json() == ood.to_json()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert data["command"] == "the command"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 9}'])
def test_a_file_that_holds_no_evaluation_says_so(tmp_path, content):
    path = tmp_path / "evaluation-test.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="evaluat"):
        Evaluation.load(path)


def test_training_tasks_are_labelled_wherever_they_are_shown(bandit, random_one):
    found = evaluate({"random": random_one}, bandit, split="train", tasks=10)
    assert not found.held_out
    assert "TRAINING" in found.to_json()["label"]
    assert "TRAINING" in drawn(100, summary.table(found))
    assert "TRAINING" in summary.headline(found)
    assert "TRAINING" in summary.summary_sentences(found)[0]


def test_a_table_names_the_split_the_tasks_and_their_hash(contest):
    text = drawn(100, summary.table(contest))
    assert "split test" in text
    assert contest.task_hash[:12] in text
    assert "50 tasks" in text
    assert "first arms (2 seeds)" in text
    wide = drawn(160, summary.table(contest, width=160))
    assert "IQM" in wide


def test_a_summary_names_wins_ties_and_losses():
    tasks = paying_steps()
    trained = Contender(agent=arm_agent(tasks.spec, 1), params={"arm": jnp.ones(1, jnp.int32)}, trained=True)
    contenders = {
        "[b]worse": contender(arm_agent(tasks.spec, 0)),
        "equal": contender(arm_agent(tasks.spec, 1)),
        "trained": trained,
    }
    found = evaluate(contenders, tasks, split="test", tasks=5)
    assert found.reference == "trained"
    assert (
        summary.headline(found)
        == "On 5 tasks never seen in training, trained is better than [b]worse and not significantly different from equal."
    )
    assert "Another training run may do better or worse" in summary.summary_sentences(found)[-1]
    assert summary.outcomes(found, "[b]worse") == {"win": [], "tie": [], "loss": ["trained"]}
    assert "[b]worse" in drawn(100, summary.table(found))


def test_memory_and_time_per_decision_are_part_of_the_result(contest):
    result = contest.results["random"]
    assert result.memory_bytes == 0
    assert 0 < result.decision_microseconds["median"] <= result.decision_microseconds["percentile_99"]


def test_progress_counts_every_seed(bandit, random_one, arm_zero_twice):
    seen = []
    contenders = {"random": random_one, "twice": arm_zero_twice}
    evaluate(contenders, bandit, split="test", tasks=10, progress=lambda name, done: seen.append((name, done)))
    assert [name for name, _ in seen] == ["random", "twice", "twice"]
    assert seen[-1][1] == 1.0


def test_what_cannot_be_evaluated_says_why(bandit, random_one):
    contenders = {"random": random_one}
    with pytest.raises(UsageError, match="at least one contender"):
        evaluate({}, bandit, split="test")
    with pytest.raises(UsageError, match="1 or more; came 0"):
        evaluate(contenders, bandit, split="test", tasks=0)
    with pytest.raises(UsageError, match=r"in \(0, 1\]; came 2"):
        evaluate(contenders, bandit, split="test", thresholds=(2,))
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        evaluate(contenders, bandit, split="tests", tasks=5)
    with pytest.raises(UnknownNameError, match="unknown contender"):
        evaluate(contenders, bandit, split="test", tasks=5, reference="nobody")
    with pytest.raises(SpecError, match="made for other tasks"):
        evaluate(contenders, bernoulli_bandit(arms=4, pulls=12), split="test", tasks=5)
