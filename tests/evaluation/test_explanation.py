"""An explanation: numbers by hand, the same decision as the recorded one, and leaving a step out as `unroll` does it."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import quickstudy as qs
from docs.pages import ROOT
from laws.subject import subject_of
from quickstudy import baselines, cli
from quickstudy.algorithms.drawing import without_draws
from quickstudy.evaluation.contenders import contender
from quickstudy.evaluation.explanation import LATENT, explain, in_words, slots_of
from quickstudy.evaluation.explanation_words import explanation_lines
from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Outcome
from quickstudy.reports.explanation_chart import explanation_picture
from quickstudy.rollout.logged_slots import LoggedSlots
from serving.soft_agent import soft_agent


def pulls(actions, rewards):
    """A lifetime of a bandit with these pulls, and one slot for the decision after them."""
    slots = len(actions) + 1
    no = np.zeros(slots, bool)
    return LoggedSlots(
        observation=np.zeros(slots, np.int32),
        action=np.asarray([*actions, 0], np.int32),
        outcome=Outcome(
            observation=np.zeros(slots, np.int32), reward=np.asarray([*rewards, 0], np.float32), terminated=no, truncated=no
        ),
        slot=np.arange(slots, dtype=np.int32),
        valid=np.ones(slots, bool),
    )


@pytest.fixture(scope="module")
def greedy():
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=10)
    agent = bandits.baselines["greedy"]()
    others = {"the same": contender(agent)}
    history = pulls([0, 1], [1.0, 0.0])
    return explain("greedy", agent, (), history, slot=2, key=jax.random.key(0), others=others)


def test_a_value_and_a_regret_are_told_apart(greedy):
    both = {name: dataclasses.replace(greedy, value=None, regret=None) for name in ("value", "regret")}
    says = {name: "\n".join(explanation_lines(dataclasses.replace(one, **{name: 4.5}))) for name, one in both.items()}
    assert "value estimate for the rest of the lifetime is 4.5" in says["value"]
    assert "expects to earn 4.5 less" not in says["value"]
    assert "expects to earn 4.5 less in the rest of the lifetime than an agent that knows the task" in says["regret"]
    assert "value estimate" not in says["regret"]


def test_by_hand(greedy):
    # With a uniform prior: 1 success of 1 gives 2/3, 0 of 1 gives 1/3, an arm that was never pulled 1/2.
    np.testing.assert_allclose(greedy.numbers, [2 / 3, 1 / 3, 1 / 2], rtol=1e-5)
    assert (greedy.kind, greedy.action, greedy.best) == ("score", "0", [0, 2])
    changes = {one.slot: one for one in greedy.influences}
    np.testing.assert_allclose(changes[0].numbers, [1 / 2, 1 / 3, 1 / 2], rtol=1e-5)
    np.testing.assert_allclose(changes[1].numbers, [2 / 3, 1 / 2, 1 / 2], rtol=1e-5)
    assert changes[0].change == pytest.approx(1 / 6, rel=1e-4)
    assert greedy.others == {"the same": "0"}


def test_in_words(greedy):
    said = explanation_lines(greedy, task="task 4 of test")
    assert said[:4] == [
        "Decision of greedy at step 3 of 10 on task 4 of test.",
        "It observed 0. It chose action 0.",
        "The best action is 0: score 0.667; belief about the task 0.667 ± 0.24.",
        "The second best action is 2: score 0.5; belief about the task 0.5 ± 0.29.",
    ]
    assert "  step 1 (action 0, reward 1): score of action 0 0.5 in place of 0.667" in said
    assert said[-1] == "the same, after the same steps, would choose action 0."


def test_small_changes_are_shown_with_enough_digits(greedy):
    near = tuple(np.asarray(greedy.numbers) + 0.00002)
    moved = dataclasses.replace(greedy.influences[0], slot=1, numbers=near, change=0.0002)
    said = explanation_lines(dataclasses.replace(greedy, influences=(moved,)))
    assert "score of action 0 0.66669 in place of 0.66667" in "\n".join(said)


def test_actions_that_the_observation_forbids_are_not_among_the_best():
    """Scores 2/3, 1/3 and 1/2; the first action is forbidden now."""
    space = gymnasium.spaces.Box(0.0, 1.0, (3,))
    spec = qs.Spec(observation_space=space, action_space=gymnasium.spaces.Discrete(3), horizon=1, episodes=10, action_mask=True)
    history = pulls([0, 1], [1.0, 0.0])
    seen = np.asarray([[1, 1, 1], [1, 1, 1], [0, 1, 1]], np.float32)
    outcome = dataclasses.replace(history.outcome, observation=seen)
    history = dataclasses.replace(history, observation=seen, outcome=outcome)
    found = explain("greedy", baselines.make("greedy", spec), (), history, slot=2, key=jax.random.key(0))
    np.testing.assert_allclose(found.numbers, [2 / 3, 1 / 3, 1 / 2], rtol=1e-5)
    assert (found.action, found.forbidden, found.best) == ("2", (0,), [2, 1])
    said = explanation_lines(found)
    assert any(line.startswith("The best action is 2: score 0.5") for line in said)
    assert not any("would be the best" in line for line in said)


def test_a_drawn_action_that_is_not_among_the_best_is_named(greedy):
    drawn = dataclasses.replace(greedy, action="1")
    assert "The chosen action is 1: score 0.333." in explanation_lines(drawn)
    assert not any(line.startswith("The chosen action") for line in explanation_lines(greedy))


def test_whole_numbers_are_in_full():
    assert in_words(np.int32(1234)) == "1234"
    assert in_words(np.float32(1234.5)) == "1.23e+03"


def test_a_picture_with_many_actions_shows_the_chosen_one(greedy):
    numbers = tuple(np.linspace(1, 0, 30))
    many = dataclasses.replace(greedy, numbers=numbers, action="29", influences=())
    svg = explanation_picture(many, title="A decision").svg
    assert ">29</text>" in svg
    assert ">18</text>" in svg
    assert ">19</text>" not in svg


@pytest.fixture(scope="module")
def soft():
    """Logits 0.5, 0 and 0 after a pull that paid and one that did not."""
    spec = qs.tasks.make("bernoulli-bandit", arms=3, pulls=10).spec
    return soft_agent(spec), pulls([0, 1], [1.0, 0.0])


def test_an_agent_that_does_not_draw_is_explained_by_the_chances_before_its_choice(soft):
    agent, history = soft
    draws, certain = (
        explain("soft", one, jnp.zeros(()), history, slot=2, key=jax.random.key(0)) for one in (agent, without_draws(agent))
    )
    chance = np.exp(0.5) / (np.exp(0.5) + 2)
    np.testing.assert_allclose(certain.numbers, [chance, (1 - chance) / 2, (1 - chance) / 2], rtol=1e-5)
    np.testing.assert_allclose(certain.numbers, draws.numbers, rtol=1e-5)
    assert (certain.influences[0].slot, certain.action) == (0, "0")
    np.testing.assert_allclose(certain.influences[0].change, chance - 1 / 3, rtol=1e-4)
    sentence = "It takes the likeliest action. The probabilities are those before this choice."
    assert sentence in explanation_lines(certain)
    assert sentence not in explanation_lines(draws)


def test_numbers_of_a_latent_are_not_said_of_actions(soft):
    """The latent has as many numbers as there are actions."""
    agent, history = soft
    belief = LatentBelief(mean=jnp.array([4.0, 5.0, 6.0]), log_variance=jnp.zeros(3))

    def act(params, memory, observation, key):
        decision = agent.act(params, memory, observation, key)
        return dataclasses.replace(decision, extras=decision.extras | {"belief": belief})

    believes = dataclasses.replace(agent, act=act)
    said = explanation_lines(explain("soft", believes, jnp.zeros(()), history, slot=2, key=jax.random.key(0)))
    assert f"Belief about {LATENT}: 4 ± 1, 5 ± 1, 6 ± 1." in said
    assert not any("action" in line and "belief" in line for line in said)


def test_older_steps_that_were_not_left_out_are_named(greedy):
    still = dataclasses.replace(greedy.influences[0], change=0.0)
    old = dataclasses.replace(greedy, influences=(still,), left=7)
    said = explanation_lines(old)
    assert "No single earlier step of the newest 1 moves the decision: without any one of them it would be the same." in said
    assert "  7 older steps were not left out one by one." in said


def test_numbers_of_a_long_action_that_are_not_shown_are_counted(greedy):
    numbers = tuple(0.5 for _ in range(10))
    moved = dataclasses.replace(greedy.influences[0], numbers=numbers, change=1.0)
    long = dataclasses.replace(greedy, kind="action", numbers=numbers, beliefs={}, influences=(moved,))
    said = "\n".join(explanation_lines(long))
    shown = "0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 … (10 numbers)"
    assert f"Its likeliest action is {shown}." in said
    assert f": likeliest action {shown}" in said


@pytest.mark.slow
def test_the_picture_of_one_number_names_only_rewards_that_came(greedy):
    single = dataclasses.replace(greedy, kind="action", action="-0.1", numbers=(-0.1,))
    lost = tuple(dataclasses.replace(one, reward=-1.0) for one in greedy.influences)
    svg = explanation_picture(dataclasses.replace(single, influences=lost), title="A decision").svg
    assert "reward of 0 or less" in svg
    assert "reward above 0" not in svg


@pytest.mark.slow
def test_the_picture_begins_with_the_oldest_step_that_was_left_out(greedy):
    newest = tuple(dataclasses.replace(greedy.influences[0], slot=slot) for slot in range(443, 699))
    svg = explanation_picture(dataclasses.replace(greedy, influences=newest, left=443), title="A decision").svg
    assert ">600</text>" in svg
    assert ">150</text>" not in svg


@pytest.mark.slow
def test_the_picture(greedy):
    picture = explanation_picture(greedy, title="A decision")
    assert picture.svg.startswith("<?xml")
    assert "earlier step" in picture.svg
    assert picture.alternative.startswith("A decision: action 0 at step 3.")
    still = dataclasses.replace(greedy, influences=(dataclasses.replace(greedy.influences[0], change=1e-6),))
    assert "No single earlier step moves it." in explanation_picture(still, title="A decision").caption
    first = dataclasses.replace(greedy, influences=(), slot=0)
    assert "There is no earlier step." in explanation_picture(first, title="A decision").caption


@pytest.mark.slow
def test_it_is_the_recorded_decision_and_leaves_steps_out_as_unroll_does():
    name = "rl2 gru 8 on corridor"
    subject = subject_of(name)
    _, key, lifetime, _ = subject.one()
    slot = int(np.flatnonzero(lifetime.valid)[-2])
    found = explain(name, subject.agent, subject.params, slots_of(lifetime), slot=slot, key=jax.random.split(key)[0])
    probabilities = jax.nn.softmax(lifetime.decision.extras["policy"].logits[slot])
    np.testing.assert_allclose(found.numbers, probabilities, rtol=1e-4)
    for one in found.influences[:3]:
        without = dataclasses.replace(lifetime, valid=jnp.asarray(lifetime.valid).at[one.slot].set(False))
        _, decisions = subject.agent.unroll(subject.params, without, jax.random.split(key)[0])
        np.testing.assert_allclose(one.numbers, jax.nn.softmax(decisions.extras["policy"].logits[slot]), rtol=1e-3)


def test_a_step_that_is_not_there_is_named():
    agent = qs.tasks.make("bernoulli-bandit", arms=3, pulls=10).baselines["greedy"]()
    with pytest.raises(UsageError, match=r"no decision was made at step 9 .* it has 2 steps, the last is 2"):
        explain("greedy", agent, (), pulls([0], [1.0]), slot=8, key=jax.random.key(0))
    ended = pulls([0, 1, 2, 0], [1.0] * 4)
    ended = dataclasses.replace(ended, valid=np.asarray([True, True, False, False, True]))
    with pytest.raises(
        UsageError, match=r"step 4 .* it has 3 steps, the last is 5, the nearest are 2 and 5, because an episode"
    ):
        explain("greedy", agent, (), ended, slot=3, key=jax.random.key(0))


@pytest.mark.slow
def test_the_command_writes_what_it_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    bundle = str(ROOT / "bundles" / "bandit-n10-k5")
    assert cli.main(["explain", bundle, "--step", "4", "--tasks", "8", "--task", "2", "--folder", str(tmp_path / "why")]) == 0
    said = capsys.readouterr().out
    assert "Decision of rl2 at step 4 of 10 on task 2 of test" in said
    assert {path.name for path in (tmp_path / "why").iterdir()} == {"explanation.txt", "explanation.svg", "explanation.png"}
    assert (tmp_path / "why" / "explanation.txt").read_text(encoding="utf-8").strip() in said
    assert cli.main(["explain", bundle, "--step", "11", "--tasks", "8"]) == 2
    assert "no decision was made at step 11" in capsys.readouterr().err


def test_a_session_without_its_store_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    assert cli.main(["explain", str(ROOT / "bundles" / "bandit-n10-k5"), "--session", "visitor-17", "--step", "3"]) == 2
    assert "--session needs --store STORE" in capsys.readouterr().err
