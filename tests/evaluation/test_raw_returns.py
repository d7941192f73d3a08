"""Raw returns: one row for each lifetime or episode, and the numbers that the evaluation was computed from."""

import csv
import sys

import gymnasium
import numpy as np
import pytest

import quickstudy as qs
from quickstudy.evaluation.raw_returns import RawReturns, check_raw_path
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec


def spec(*, horizon, episodes):
    one = gymnasium.spaces.Discrete(1)
    return Spec(observation_space=one, action_space=gymnasium.spaces.Discrete(2), horizon=horizon, episodes=episodes)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_lifetimes_of_one_step_episodes_have_a_row_each(tmp_path):
    raw = RawReturns()
    raw.add("a, b", "test", np.arange(12.0, dtype=np.float32).reshape(2, 2, 3), spec(horizon=1, episodes=3))
    assert len(raw) == 4
    assert rows(raw.save(tmp_path / "new" / "returns.csv")) == [
        ["agent", "split", "task", "seed", "return"],
        ["a, b", "test", "0", "0", "3.0"],
        ["a, b", "test", "1", "0", "12.0"],
        ["a, b", "test", "0", "1", "21.0"],
        ["a, b", "test", "1", "1", "30.0"],
    ]


def test_episodes_of_several_steps_have_a_row_each(tmp_path):
    raw = RawReturns()
    raw.add("a", "test", np.arange(8.0, dtype=np.float32).reshape(1, 2, 4), spec(horizon=2, episodes=2))
    raw.add("b", "ood:far", np.zeros((1, 1, 4), np.float32), spec(horizon=2, episodes=2))
    assert rows(raw.save(tmp_path / "returns.csv"))[1:] == [
        ["a", "test", "0", "0", "0", "1.0"],
        ["a", "test", "0", "0", "1", "5.0"],
        ["a", "test", "1", "0", "0", "9.0"],
        ["a", "test", "1", "0", "1", "13.0"],
        ["b", "ood:far", "0", "0", "0", "0.0"],
        ["b", "ood:far", "0", "0", "1", "0.0"],
    ]


def test_names_cannot_steer_a_terminal():
    raw = RawReturns()
    raw.add("red\x1b[31m", "test", np.zeros((1, 1, 1), np.float32), spec(horizon=1, episodes=1))
    assert raw.columns()["agent"].tolist() == ["red\\x1b[31m"]


def test_an_empty_table_has_its_columns():
    assert list(RawReturns().columns()) == ["agent", "split", "task", "seed", "return"]


def test_the_means_are_those_of_the_evaluation():
    bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=5)
    agents = {name: qs.contender(bandits.baselines[name]()) for name in ("greedy", "random")}
    raw = RawReturns()
    measured = qs.evaluate(agents, bandits, split="test", tasks=20, raw=raw)
    columns = raw.columns()
    assert len(raw) == 40
    for name, result in measured.results.items():
        assert columns["return"][columns["agent"] == name].mean() == pytest.approx(result.lifetime_return.value)


def test_files_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"ends in \.csv or \.parquet; came 'returns.xlsx'"):
        check_raw_path("returns.xlsx")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_raw_path(tmp_path / "a.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        check_raw_path("returns.parquet")


def test_parquet_holds_the_same(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = RawReturns()
    raw.add("a", "test", np.arange(12.0, dtype=np.float32).reshape(2, 2, 3), spec(horizon=1, episodes=3))
    found = parquet.read_table(raw.save(tmp_path / "returns.parquet")).to_pydict()
    assert found == {name: column.tolist() for name, column in raw.columns().items()}
