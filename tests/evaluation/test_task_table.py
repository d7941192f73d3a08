"""The tasks of an evaluation with their parameters, and the lifetimes on the worst of them, as `evaluate` stores them."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import quickstudy as qs
from evaluation.test_example_lifetime import INLINE, Paying
from quickstudy.baselines.random import random_agent
from quickstudy.cli.evaluations import evaluate_and_show
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.evaluation.raw_returns import RawReturns
from quickstudy.evaluation.task_table import TaskTable, task_table
from quickstudy.evaluation.worst_lifetimes import WorstLifetimes
from quickstudy.protocol.errors import UsageError

BANDITS = qs.tasks.make("bernoulli-bandit", arms=2, pulls=12)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The folder of an evaluation of a baseline that passes for a trained agent."""
    folder = tmp_path_factory.mktemp("evaluated")
    greedy = qs.contender(BANDITS.baselines["greedy"]())
    trained = Contender(agent=greedy.agent, params=greedy.params, trained=True)
    agents = {"mine": trained, "random": qs.contender(random_agent(BANDITS.spec))}
    evaluate_and_show(agents, BANDITS, folder=folder, splits=("test",), tasks=30, controls=False, raw=str(folder / "raw.csv"))
    return folder


def test_the_table_has_the_tasks_of_the_list_and_their_returns(stored):
    table = TaskTable.load(stored / "tasks-test.json")
    ((name, wanted),) = jax.vmap(BANDITS.describe)(draw_tasks(BANDITS, split="test", tasks=30, seed=0)[0]).items()
    assert list(table.parameters) == [f"{name}, 0", f"{name}, 1"]
    np.testing.assert_allclose(np.transpose(list(table.parameters.values())), wanted, rtol=1e-4)
    assert set(table.returns) == {"mine", "random"}
    rows = [line.split(",") for line in (stored / "raw.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert list(table.returns["random"]) == [float(row[-1]) for row in rows if row[0] == "random"]
    for low, high in table.training_range.values():  # probabilities are uniform
        assert 0 <= low < 0.01
        assert 0.99 < high <= 1
    assert not table.pictures


def test_the_lifetimes_are_those_that_were_measured(stored):
    table, worst = TaskTable.load(stored / "tasks-test.json"), WorstLifetimes.load(stored / "lifetimes-test.json")
    assert [int(number) for number in worst.lifetimes] == table.worst("mine", most=10)
    assert (worst.agent, worst.tasks, worst.seed) == ("mine", 30, 0)
    for number, lifetime in worst.lifetimes.items():
        assert sum(lifetime.rewards) == table.returns["mine"][int(number)]
    assert max(table.returns["mine"][int(number)] for number in worst.lifetimes) <= np.quantile(table.returns["mine"], 0.5)


def test_damaged_files_are_refused(stored, tmp_path):
    for name, damage, kind in (
        ("tasks-test.json", {"returns": {"mine": [1.0]}}, TaskTable),
        ("lifetimes-test.json", {"format": 9}, WorstLifetimes),
    ):
        path = tmp_path / name
        path.write_text(json.dumps(json.loads((stored / name).read_text(encoding="utf-8")) | damage), encoding="utf-8")
        with pytest.raises(UsageError, match="Evaluate again"):
            kind.load(path)
    document = json.loads((stored / "lifetimes-test.json").read_text(encoding="utf-8"))
    document["lifetimes"] = {"../1": next(iter(document["lifetimes"].values()))}
    (tmp_path / "lifetimes-test.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match="does not fit together"):
        WorstLifetimes.load(tmp_path / "lifetimes-test.json")


def test_tasks_outside_jax_have_a_table_too():
    robots = qs.from_gymnasium(Paying, lambda split, generator: {"mass": generator.choice([1.0, 2.0])}, episodes=2, horizon=3)
    raw = RawReturns()
    agents = {"random": qs.contender(random_agent(robots.spec))}
    qs.evaluate(agents, robots, split="test", tasks=6, raw=raw, collecting=INLINE)
    table = task_table(raw.of_tasks("test"), robots, split="test", tasks=6, seed=0)
    assert table.returns["random"] == tuple(5 * mass for mass in table.parameters["mass"])
    assert table.training_range == {"mass": (1.0, 2.0)}


def test_a_description_in_python_has_a_table_too():
    def describe(task):
        likely = [float(one) for one in task.probability]
        return {"best": max(likely), "words": "high" if max(likely) > 0.5 else "low", "likely": likely[: 1 + (likely[0] > 0.5)]}

    spoken = dataclasses.replace(BANDITS, describe=describe)
    table = task_table({"a": np.zeros(5)}, spoken, split="test", tasks=5, seed=0)
    best = np.asarray(draw_tasks(BANDITS, split="test", tasks=5, seed=0)[0].probability).max(axis=1)
    assert list(table.parameters) == ["best"]
    np.testing.assert_allclose(table.parameters["best"], best, rtol=1e-4)


def test_returns_of_tasks_are_means_over_seeds():
    raw = RawReturns()
    raw.add("a", "test", np.arange(12.0, dtype=np.float32).reshape(2, 2, 3), BANDITS.spec)
    raw.add("a", "train", np.zeros((1, 2, 3), np.float32), BANDITS.spec)
    assert raw.of_tasks("test")["a"].tolist() == [12.0, 21.0]
