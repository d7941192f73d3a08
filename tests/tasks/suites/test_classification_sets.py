"""Classified rows as bandits, on sets made here and on those of the packages."""

import importlib.util
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.contextual_variants import ContextualVariants
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.tasks.suites.classification_sets import classification_sets_of
from quickstudy.tasks.suites.classification_tables import SET_NAMES, ClassificationTable, read_table, whitened

KEY = jax.random.key(0)
INSTALLED = all(importlib.util.find_spec(package) for package in ("sklearn", "river"))
PRIOR = ContextualVariants(arms=3, features=2, steps=30)


def made(classes, *, rows=50, columns=3, seed=0):
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, columns)) @ random.standard_normal((columns, columns)) + 5
    return ClassificationTable(
        name=str(classes), columns=values, labels=random.integers(classes, size=rows).astype(np.int32), classes=classes
    )


TABLES = [made(2), made(5, rows=120, seed=1)]


@pytest.fixture(scope="module")
def drawn():
    distribution = classification_sets_of(TABLES, prior=PRIOR)
    return distribution, {split: distribution.sample_tasks(split, KEY, tasks=40) for split in ("train", "test")}


def test_rows_of_the_splits_are_apart_and_of_the_classes_that_take_part(drawn):
    for split, of_split in drawn[1].items():
        for which, classes, arms, rows in zip(of_split.which, of_split.classes, of_split.arms, of_split.rows, strict=True):
            table, taking_part = TABLES[int(which)], set(np.asarray(classes)[: int(arms)].tolist())
            assert len(taking_part) == int(arms) == min(3, table.classes)
            assert taking_part <= set(range(table.classes))
            assert set(table.labels[rows].tolist()) <= taking_part
            assert (table.trains[rows] == (split == "train")).all()
            # 30 rows of test are there, so none comes twice.
            assert split == "train" or len(set(np.asarray(rows).tolist())) == 30
    assert set(np.asarray(drawn[1]["test"].which).tolist()) == {0, 1}


def test_rows_come_again_in_the_same_order_where_a_set_is_small(drawn):
    small = np.asarray(drawn[1]["train"].which) == 0
    rows = np.asarray(drawn[1]["train"].rows)[small]
    assert (rows[:, 20:] == rows[:, :10]).all()
    assert all(len(set(row[:20].tolist())) == 20 for row in rows)


def test_the_right_arm_pays_and_no_other(drawn):
    distribution, of_split = drawn
    for number in range(4):
        task = jax.tree.map(lambda leaf: leaf[number], of_split["test"])  # noqa: B023
        table, state = TABLES[int(task.which)], distribution.reset(task, KEY)[0]
        for step in range(3):
            label = table.labels[int(task.rows[step])]
            paid = [float(distribution.step(task, state, jnp.int32(arm), KEY)[1].reward) for arm in range(3)]
            assert paid == [float(arm < int(task.arms) and int(task.classes[arm]) == label) for arm in range(3)]
            assert sum(paid) == 1
            state = distribution.step(task, state, jnp.int32(0), KEY)[0]
        assert float(distribution.floor(task)) == pytest.approx(30 / int(task.arms))


def test_an_observation_has_the_features_the_season_and_the_arms(drawn):
    distribution, of_split = drawn
    task = jax.tree.map(lambda leaf: leaf[0], of_split["test"])
    seen = np.asarray(distribution.reset(task, KEY)[1])
    row = whitened(TABLES[int(task.which)], features=2)[int(task.rows[0])]
    np.testing.assert_allclose(seen[:2], np.asarray(task.signs) * row[np.asarray(task.components)], rtol=1e-5)
    np.testing.assert_allclose(seen[2:5], [0, 1, 0], atol=1e-6)
    assert seen[5:].tolist() == [float(arm < int(task.arms)) for arm in range(3)]
    assert distribution.spec.describe() == PRIOR.spec.describe()


def test_features_are_white_over_the_rows_of_training_and_read_no_others():
    table = made(2, rows=400)
    found = whitened(table, features=4)
    known = found[table.trains]
    np.testing.assert_allclose(known[:, :3].mean(0), 0, atol=0.02)  # a number beyond 4 is cut
    np.testing.assert_allclose(np.cov(known[:, :3].T, bias=True), np.eye(3), atol=0.05)
    assert (found[:, 3] == 0).all()
    moved = table.columns.copy()
    moved[~table.trains] *= 3
    other = ClassificationTable(name="", columns=moved, labels=table.labels, classes=2)
    np.testing.assert_array_equal(whitened(other, features=4)[table.trains], known)


def test_one_line_says_what_to_install(monkeypatch):
    read_table.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn/river is not installed\. .*'quickstudy\[data\]'"):
        tasks.make("classification-sets", source="wine")


@pytest.mark.suites
@pytest.mark.skipif(not INSTALLED, reason="scikit-learn or river is not installed")
def test_the_sets_are_as_large_as_documented():
    sizes = {name: (*read_table(name).columns.shape, read_table(name).classes) for name in SET_NAMES}
    assert sizes == {
        "breast-cancer": (569, 30, 2),
        "digits": (1797, 64, 10),
        "image-segments": (2310, 18, 7),
        "phishing": (1250, 9, 2),
        "wine": (178, 13, 3),
    }
