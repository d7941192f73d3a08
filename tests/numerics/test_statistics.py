"""Hand-worked numbers, an independent trimmed mean, and intervals that cover what they claim to cover."""

import numpy as np
import pytest
import scipy.stats

from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws


def crossed(seeds, tasks, *, resamples=1000, seed=0):
    return Draws(
        seeds=statistics.draw_counts(seeds, resamples=resamples, seed=(seed, 1)),
        tasks=statistics.draw_counts(tasks, resamples=resamples, seed=(seed, 0)),
    )


def gathered(values, seeds, tasks):
    """The resample that the counts stand for, written out."""
    rows = np.repeat(np.arange(len(seeds)), seeds.astype(int))
    columns = np.repeat(np.arange(len(tasks)), tasks.astype(int))
    return values[np.ix_(rows, columns)]


def test_interquartile_mean_by_hand():
    assert statistics.interquartile_mean(np.array([[0.0, 1.0], [5.0, 100.0]])) == 3.0
    assert statistics.interquartile_mean(np.array([7.0])) == 7.0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 101])
def test_interquartile_mean_agrees_with_scipy(size):
    values = np.random.default_rng(size).normal(size=size)
    assert statistics.interquartile_mean(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))


@pytest.mark.parametrize(("seeds", "tasks"), [(1, 1), (1, 9), (4, 7)])
def test_resampled_statistics_agree_with_resamples_written_out(seeds, tasks):
    values = np.random.default_rng(3).normal(size=(seeds, tasks))
    draws = crossed(seeds, tasks, resamples=20)
    written = [gathered(values, s, t) for s, t in zip(draws.seeds, draws.tasks, strict=True)]
    np.testing.assert_allclose(statistics.resampled_means(values, draws), [w.mean() for w in written], atol=1e-6)
    np.testing.assert_allclose(
        statistics.resampled_interquartile_means(values, draws),
        [scipy.stats.trim_mean(w, 0.25, axis=None) for w in written],
        atol=1e-6,
    )


def test_resampled_means_of_curves_are_taken_point_by_point():
    values = np.random.default_rng(4).normal(size=(3, 6, 5))
    draws = crossed(3, 6, resamples=15)
    curves = statistics.resampled_means(values, draws)
    assert curves.shape == (15, 5)
    for point in range(5):
        np.testing.assert_allclose(curves[:, point], statistics.resampled_means(values[..., point], draws), atol=1e-6)


def test_counts_are_deterministic_and_sum_to_the_population():
    counts = statistics.draw_counts(50, resamples=30, seed=5)
    assert (counts.sum(1) == 50).all()
    assert (counts == statistics.draw_counts(50, resamples=30, seed=5)).all()
    assert (counts != statistics.draw_counts(50, resamples=30, seed=6)).any()
    assert (statistics.draw_counts(1, resamples=3, seed=0) == 1).all()


def test_improvements_count_ties_as_half():
    ours, theirs = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 2.0, 9.0]])
    assert statistics.improvements(ours, theirs).tolist() == [[[1.0, 0.5, 0.0]]]


def test_resampled_improvements_of_many_seeds_agree_with_resamples_written_out():
    generator = np.random.default_rng(8)
    ours, theirs = generator.integers(0, 4, (3, 6)) * 1.0, generator.integers(0, 4, (2, 6)) * 1.0
    draws = crossed(3, 6, resamples=10)
    against = Draws(seeds=statistics.draw_counts(2, resamples=10, seed=77), tasks=draws.tasks)
    written = [
        statistics.improvements(gathered(ours, s, t), gathered(theirs, o, t)).mean()
        for s, o, t in zip(draws.seeds, against.seeds, draws.tasks, strict=True)
    ]
    np.testing.assert_allclose(statistics.resampled_improvements(ours, theirs, draws, against), written, atol=1e-6)


@pytest.mark.parametrize(("seeds", "tasks"), [(1, 1), (1, 2), (1, 9), (4, 7), (3, 4)])
def test_resampled_medians_agree_with_resamples_written_out_and_keep_infinity(seeds, tasks):
    values = np.random.default_rng(5).integers(0, 6, size=(seeds, tasks)) * 1.0
    values[values == 5] = np.inf
    draws = crossed(seeds, tasks, resamples=40)
    written = [np.median(gathered(values, s, t)) for s, t in zip(draws.seeds, draws.tasks, strict=True)]
    np.testing.assert_array_equal(statistics.resampled_medians(values, draws), written)


def test_a_censored_estimate_is_known_only_where_its_bounds_meet():
    lower, upper = np.array([1.0] * 50 + [2.0] * 50), np.array([2.0] * 50 + [np.inf] * 50)
    found = statistics.censored_estimate((1.0, np.inf), lower, upper)
    assert (found.at_least, found.at_most, found.low, found.high, found.value) == (1.0, None, 1.0, None, None)
    assert statistics.censored_estimate((1.5, 1.5), lower, upper).value == 1.5


def test_an_interval_keeps_never():
    samples = np.array([1.0] * 60 + [np.inf] * 40)
    found = statistics.estimate(1.0, samples)
    assert (found.value, found.low, found.high) == (1.0, 1.0, None)


def test_trailing_mean_and_first_reaching_by_hand():
    curve = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    smooth = statistics.trailing_mean(curve, 2)
    assert np.isnan(smooth[0])
    assert smooth[1:].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert statistics.first_reaching(smooth, 0.6) == 5
    assert statistics.first_reaching(smooth, 1.5) == np.inf
    assert statistics.first_reaching(np.stack([curve, curve]), np.array([0.0, 1.0])).tolist() == [1, 2]


def coverage(draw, *, truth, statistic, repetitions=200):
    hits = 0
    for repetition in range(repetitions):
        values = draw(np.random.default_rng(repetition))
        low, high = statistics.interval(statistic(values, crossed(*values.shape, resamples=300, seed=repetition)))
        hits += low <= truth <= high
    return hits / repetitions


def test_the_interval_of_one_seed_covers_the_mean_over_tasks():
    found = coverage(lambda g: g.exponential(size=(1, 100)), truth=1.0, statistic=statistics.resampled_means)
    assert 0.89 <= found <= 0.99


@pytest.mark.slow
def test_the_interval_of_an_interquartile_mean_covers_it():
    # The middle half of N(0, 1) is symmetric about 0.
    found = coverage(lambda g: g.normal(size=(1, 100)), truth=0.0, statistic=statistics.resampled_interquartile_means)
    assert 0.89 <= found <= 0.99


@pytest.mark.slow
def test_the_crossed_interval_covers_where_seeds_differ_and_one_over_tasks_alone_does_not():
    def draw(generator):
        return generator.normal(size=(10, 1)) + generator.normal(size=(1, 40)) + generator.normal(size=(10, 40))

    def tasks_alone(values, draws):
        return statistics.resampled_means(values, Draws(seeds=np.ones_like(draws.seeds), tasks=draws.tasks))

    assert 0.86 <= coverage(draw, truth=0.0, statistic=statistics.resampled_means) <= 0.99
    assert coverage(draw, truth=0.0, statistic=tasks_alone) < 0.75
