"""Fit and predict: the same decisions as a replayed log, groups apart, arms that come and go."""

import functools
import json

import gymnasium
import jax
import numpy as np
import pytest

import quickstudy as qs
from docs.pages import ROOT
from quickstudy.adapters import Bandit
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError

DECISIONS, REWARDS = list("ABCABCB"), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


@functools.cache
def alike():
    """An agent whose network scores all actions alike, so that it serves any number of arms."""
    return qs.load_bundle(ROOT / "bundles" / "bandit-n100-k10")


def greedy(**settings):
    agent = qs.tasks.make("bernoulli-bandit", **{"arms": 3, "pulls": 10} | settings).baselines["greedy"]()
    return agent, agent.init(jax.random.key(0))


@pytest.fixture(scope="module")
def fitted():
    return Bandit(alike(), arms=list("ABC")).fit(DECISIONS, REWARDS)


def test_it_decides_as_the_agent_along_the_same_rows(fitted):
    space = gymnasium.spaces.Discrete(3)
    spec = qs.Spec(observation_space=gymnasium.spaces.Discrete(1), action_space=space, horizon=1, episodes=100)
    actions = ["ABC".index(arm) for arm in DECISIONS]
    rows = {"observation": [0] * 8, "action": [*actions, 0], "reward": [*REWARDS, 0.0]}
    logits = qs.replay(alike().agent_for(spec), alike().params_of(0), rows).decisions.extras["policy"].logits[-1]
    said = fitted.predict_expectations()
    np.testing.assert_allclose([said[arm] for arm in "ABC"], np.exp(logits - np.logaddexp.reduce(logits)), rtol=1e-4)
    assert fitted.predict() == fitted.predict()


@pytest.mark.slow
def test_more_rows_are_as_all_rows_at_once_and_groups_are_apart(fitted):
    parts = Bandit(alike(), arms=list("ABC")).fit(DECISIONS[:2], REWARDS[:2])
    for arm, reward in zip(DECISIONS[2:], REWARDS[2:], strict=True):
        parts.partial_fit([arm], [reward])
        parts.predict()
    assert parts.predict_expectations() == pytest.approx(fitted.predict_expectations(), rel=1e-4)
    mixed = Bandit(alike(), arms=list("ABC"))
    columns = zip(*[(arm, reward, "u") for arm, reward in zip(DECISIONS, REWARDS, strict=True)], ("A", 1.0, "v"), strict=True)
    decisions, rewards, groups = map(np.asarray, columns)
    mixed.fit(decisions, rewards, groups=groups)
    ours, other, new = mixed.predict_expectations(groups=["u", "v", "w"])
    assert ours == pytest.approx(fitted.predict_expectations(), rel=1e-4)
    assert new == pytest.approx(dict.fromkeys("ABC", 1 / 3), abs=1e-5)
    assert other != pytest.approx(new, abs=0.01)
    assert mixed.groups == ["u", "v"]


def test_by_hand():
    bandit = Bandit(*greedy(), arms=["red", "green", "blue"])
    bandit.fit(["red", "red", "green", "blue"], [1.0, 0.0, 1.0, 0.0])
    assert bandit.predict() == "green"
    assert bandit.partial_fit(["green"] * 3, [0.0, float("nan"), 0.0]).predict() == "red"
    assert bandit.predict_expectations()["red"] > bandit.predict_expectations()["green"]


def test_columns_of_a_table_are_read_by_place():
    """A filter or a sort leaves labels of rows that are not their places. Rows are still taken in as they stand."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"arm": list("ABCA"), "reward": [1.0, 0.0, 0.0, 1.0], "user": list("uuvv")})
    plain = Bandit(*greedy(), arms=list("ABC")).fit(table.arm.tolist(), table.reward.tolist(), groups=table.user.tolist())
    for labels in ([3, 2, 1, 0], [7, 8, 9, 10], list("wxyz")):
        labelled = table.set_axis(labels).astype({"arm": "category", "user": "category"})
        bandit = Bandit(*greedy(), arms=labelled.arm.cat.categories)
        bandit.fit(labelled.arm, labelled.reward, groups=labelled.user)
        assert bandit.to_json() == plain.to_json()
        assert bandit.predict(groups=labelled.user) == plain.predict(groups=list("uuvv"))


def test_names_of_numpy_are_those_of_python():
    bandit = Bandit(*greedy(), arms=np.asarray([10, 20, 30])).fit(np.asarray([10, 20]), np.asarray([True, False]))
    assert type(bandit.predict()) is int
    assert json.loads(bandit.to_json())["arms"] == [10, 20, 30]
    with pytest.raises(UnknownNameError, match=r"unknown arm '20'. It stands in row 1. It is of type str, and the arm .* int"):
        bandit.partial_fit([10, "20"], [1.0, 0.0])


def test_arms_come_and_go(fitted):
    bandit = Bandit.from_json(fitted.to_json(), alike())
    four = bandit.add_arm("D").predict_expectations()
    assert list(four) == list("ABCD")
    assert four["D"] == pytest.approx(Bandit(alike(), arms=list("ABCD")).fit(DECISIONS, REWARDS).predict_expectations()["D"])
    best = max(four, key=four.get)
    bandit.remove_arm(best)
    three = bandit.predict_expectations()
    assert best not in three
    assert sum(three.values()) == pytest.approx(1.0, abs=1e-5)
    assert best not in bandit.predict([0] * 64)
    stored = Bandit.from_json(bandit.to_json(), alike())
    assert stored.predict_expectations() == pytest.approx(three, rel=1e-4)
    assert stored.arms == [arm for arm in "ABCD" if arm != best]
    assert bandit.add_arm(best).predict_expectations() == pytest.approx(four, rel=1e-4)
    for arm in "ABC":
        bandit.remove_arm(arm)
    with pytest.raises(UsageError, match="'D' is the last arm"):
        bandit.remove_arm("D")


def test_an_agent_of_one_number_of_arms_refuses_others():
    bandit = Bandit(*greedy())
    assert bandit.arms == [0, 1, 2]
    for change in (lambda: bandit.add_arm(3), lambda: bandit.remove_arm(2), lambda: Bandit(*greedy(), arms=["A"])):
        with pytest.raises(SpecError, match=r"this agent serves 3 arms .* scores all actions alike"):
            change()
    assert bandit.arms == [0, 1, 2]
    with pytest.raises(SpecError, match=r"asked for were 3 arms and 20 steps"):
        Bandit(*greedy(), steps=20)
    assert Bandit(alike(), arms=list("AB"), steps=3).fit(list("AB"), [0, 1]).predict() in "AB"


def test_what_it_refuses_changes_nothing():
    bandit = Bandit(*greedy(), arms=list("ABC")).fit(["A"], [1.0])
    before = bandit.to_json()
    with pytest.raises(UnknownNameError, match="unknown arm 'Z'"):
        bandit.partial_fit(["A", "Z"], [1.0, 1.0])
    with pytest.raises(UsageError, match="decisions have 2 rows and rewards 1"):
        bandit.fit(["A", "B"], [1.0])
    with pytest.raises(SpecError, match=r"row 1: a reward must be one number"):
        bandit.fit(["A", "B"], [1.0, "much"])
    with pytest.raises(SpecError, match=r"row 0: a context must be an element|row 0: "):
        bandit.fit(["A"], [1.0], [7])
    with pytest.raises(UsageError, match="group None has 11 rows"):
        bandit.partial_fit(["A"] * 10, [1.0] * 10)
    with pytest.raises(UsageError, match="decisions must be a list"):
        bandit.fit("ABC", [1.0] * 3)
    for groups in (["u", float("nan")], ["u", ["v"]]):
        with pytest.raises(UsageError, match="row 1: the name of a group must be"):
            bandit.fit(["A", "B"], [1.0, 0.0], groups=groups)
        with pytest.raises(UsageError, match="row 1: the name of a group must be"):
            bandit.predict(groups=groups)
    with pytest.raises(UsageError, match=r"groups must be a list.*; came 'ann'"):
        bandit.predict(groups="ann")
    with pytest.raises(UsageError, match=r"different names, at least one; came \['A', 'A'\]"):
        Bandit(*greedy(), arms=["A", "A"])
    for arms in ("ABC", {"A", "B", "C"}, 3):
        with pytest.raises(UsageError, match="arms must be a list of names, in an order; came"):
            Bandit(*greedy(), arms=arms)
    assert bandit.predict_expectations(groups=[]) == bandit.predict(groups=[]) == []
    assert bandit.to_json() == before
    bandit.fit(["A"] * 10, [1.0] * 10)
    with pytest.raises(UsageError, match="the lifetime of group None is over"):
        bandit.predict()


def test_states_of_others_are_refused():
    agent, params = greedy()
    state = Bandit(agent, params).fit([0, 1], [1.0, float("nan")]).to_json()
    assert json.loads(state)["groups"] == [[None, {"arms": [0, 1], "rewards": [1.0, None], "contexts": [0, 0]}]]
    with pytest.raises(UsageError, match="other parameters"):
        Bandit.from_json(state, alike())
    damaged = [('"format": 1', '"format": 2'), ('"contexts"', '"context"'), ('"removed": []', '"removed": ["Z"]')]
    damaged += [("[0, 1, 2]", '"ABC"'), ('"seed": 0', '"seed": "a"'), ('"contexts": [0, 0]', '"contexts": ["a", 0]')]
    for text in ("", "[]", "{}", '{"format": 1}', *[state.replace(*change) for change in damaged]):
        with pytest.raises(UsageError, match=r"no state of a Bandit|format 2; this version reads format 1"):
            Bandit.from_json(text, agent, params)
    with pytest.raises(UsageError, match="text, whole numbers or None"):
        Bandit(agent, params, arms=[(1,), (2,), (3,)]).to_json()


def test_an_agent_of_tasks_with_a_mask_serves_fewer_arms_than_it_has_actions():
    space = gymnasium.spaces.Box(0.0, 1.0, (5,))
    agent = random_agent(
        qs.Spec(observation_space=space, action_space=gymnasium.spaces.Discrete(3), horizon=1, episodes=9, action_mask=True)
    )
    bandit = Bandit(agent, (), arms=["A", "B"]).fit(["A"], [1.0], [[0.5, 0.5]])
    assert set(bandit.predict([[0.1, 0.2]] * 32)) == {"A", "B"}
    assert set(bandit.add_arm("C").remove_arm("A").predict([[0.1, 0.2]] * 32)) == {"B", "C"}
    with pytest.raises(SpecError, match="serves 3 arms"):
        bandit.add_arm("D")
    with pytest.raises(SpecError, match=r"row 0: a context must have 2 numbers, or 5 with an action mask .*; came \[0.1\]"):
        bandit.predict([[0.1]])
    with pytest.raises(SpecError, match=r"row 1: a context must have 2 numbers"):
        bandit.predict([[0.1, 0.2], ["0.1", "0.2"]])


def test_a_context_that_forbids_the_arm_or_all_arms_is_refused():
    space = gymnasium.spaces.Box(0.0, 1.0, (5,))
    agent = random_agent(
        qs.Spec(observation_space=space, action_space=gymnasium.spaces.Discrete(3), horizon=1, episodes=9, action_mask=True)
    )
    bandit = Bandit(agent, (), arms=list("ABC"))
    with pytest.raises(SpecError, match=r"row 1: the observation forbids action 0; it allows 1, 2"):
        bandit.fit(["A", "A"], [1.0, 1.0], [[0.5, 0.5, 1, 0, 0], [0.5, 0.5, 0, 1, 1]])
    assert not bandit.groups
    with pytest.raises(SpecError, match=r"row 0: the action mask of the context allows no arm of \['A', 'B', 'C'\]"):
        bandit.predict([[0.5, 0.5, 0, 0, 0]])
    bandit.remove_arm("A")
    with pytest.raises(SpecError, match=r"allows no arm of \['B', 'C'\]"):
        bandit.predict([[0.5, 0.5, 1, 0, 0]])
    assert set(bandit.predict([[0.5, 0.5, 1, 1, 0]] * 32)) == {"B"}


def test_contexts_that_are_not_finite_are_stored():
    spec = qs.Spec(
        observation_space=gymnasium.spaces.Box(0.0, 1.0, (2,)), action_space=gymnasium.spaces.Discrete(2), horizon=1, episodes=9
    )
    bandit = Bandit(random_agent(spec), ()).fit([0, 1], [1.0, 0.0], [[0.5, float("nan")], [0.25, 1.0]])
    text = bandit.to_json()
    assert json.loads(text)["groups"][0][1]["contexts"] == [[0.5, None], [0.25, 1.0]]
    assert Bandit.from_json(text, random_agent(spec), ()).to_json() == text


@pytest.mark.slow
def test_contexts_are_observations():
    mdp = qs.tasks.make("tabular-mdp", states=3, actions=2, horizon=3, episodes=4)
    algorithm = qs.algorithms.make("rl2", mdp.spec, hidden_size=8, cell="gru")
    params = algorithm.agent.init(jax.random.key(0))
    bandit = Bandit(algorithm.agent, params).fit([0, 1, 1], [0.0, 1.0, 2.0], [2, 1, 0])
    rows = {"observation": [2, 1, 0, 1], "action": [0, 1, 1, 0], "reward": [0.0, 1.0, 2.0, 0.0]}
    logits = qs.replay(algorithm.agent, params, rows).decisions.extras["policy"].logits[-1]
    said, other = bandit.predict_expectations([1, 2])
    np.testing.assert_allclose(list(said.values()), np.exp(logits), rtol=1e-4)
    assert said != other
    with pytest.raises(UsageError, match="give contexts"):
        bandit.predict()
