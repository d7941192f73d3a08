"""Interquartile means, medians and crossed bootstrap intervals; each equation once, in NumPy.

Results of an evaluation are an array `[seeds, tasks]`: independent meta-training seeds of one agent (a baseline has one), each
on the same tasks. Both are samples, of all training runs and of all tasks. So a resample draws seeds *and* tasks, each with
replacement, and crosses them. With one seed only tasks are drawn, and the interval then says nothing about other training
runs. With S seeds the seeds' share of the variance is low by (S - 1) / S, as in every bootstrap: below about five seeds an
interval is somewhat too narrow.

A resample is written as counts: how often each seed and each task was drawn. Every statistic here is linear
in them or needs one sort, so nothing is gathered. Agents that share the counts of tasks are compared task by
task.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

TRIMMED = 0.25
"""Share cut from each end by the interquartile mean."""

_BLOCK_ELEMENTS = 4_000_000


RESAMPLES = 2000
"""Bootstrap resamples for every interval of a single number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its 95 % interval, in the unit of what was estimated. None: *never* (`first_reaching`)."""

    value: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CensoredEstimate:
    """A censored number, known only between two bounds, and its 95 % interval; None stands for infinity.

    The number is known where the bounds are equal. The interval covers all resamples: its low end comes
    from their lower bounds, its high end from their upper bounds.
    """

    at_least: float | None
    at_most: float | None
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        """The number where it is known, else None."""
        return self.at_least if self.at_least == self.at_most else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
    """Resamples of seeds and of tasks: how often each was drawn."""

    seeds: Float[np.ndarray, "resamples seeds"]
    tasks: Float[np.ndarray, "resamples tasks"]

    def first(self, resamples: int) -> "Draws":
        """The first `resamples` of them; fewer suffice for the intervals of a whole curve."""
        return Draws(seeds=self.seeds[:resamples], tasks=self.tasks[:resamples])

    def crossed(self, other: "Draws") -> "Draws":
        """Draws of `[seeds x other's seeds]` pairs, row by row, on the same tasks: their seeds are drawn independently."""
        counts = self.seeds[:, :, None] * other.seeds[:, None, :]
        return Draws(seeds=counts.reshape(len(counts), -1), tasks=self.tasks)


def draw_counts(population: int, *, resamples: int, seed: int | tuple[int, ...]) -> Float[np.ndarray, "resamples population"]:
    """How often each member is drawn when as many as there are members are drawn with replacement.

    Args:
      population: members, at least 1; one member is always drawn once.
      resamples: how many times to draw them all.
      seed: equal seeds give equal counts.
    """
    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, population), np.float32)
    for row in counts:
        row[:] = np.bincount(generator.integers(0, population, population), minlength=population)
    return counts


def interquartile_mean(values: Float[np.ndarray, "*shape"]) -> float:
    """The mean of the middle half of all values, whatever their shape.

        cut = floor(0.25 n)        mean of x_(cut), ..., x_(n - cut - 1) in increasing order

    Source: Agarwal et al. 2021 (rliable), which takes `scipy.stats.trim_mean(values, 0.25)`. Changed:
    nothing.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    cut = int(TRIMMED * ordered.size)
    return float(ordered[cut : ordered.size - cut].mean())


def resampled_means(values: Float[np.ndarray, "seeds tasks *rest"], draws: Draws) -> Float[np.ndarray, "resamples *rest"]:
    """The mean over seeds and tasks in every resample.

    m_b = (1 / S N) sum_s sum_n  c_bs  c_bn  x_sn
    """
    seeds, tasks, *rest = values.shape
    flat = np.asarray(values, np.float32).reshape(seeds, tasks, -1)
    total = np.zeros((len(draws.tasks), flat.shape[-1]), np.float64)
    for index in range(seeds):
        total += draws.seeds[:, index : index + 1] * (draws.tasks @ flat[index])
    return (total / (seeds * tasks)).reshape(-1, *rest)


def resampled_interquartile_means(values: Float[np.ndarray, "seeds tasks"], draws: Draws) -> Float[np.ndarray, " resamples"]:
    """`interquartile_mean` over seeds and tasks in every resample.

    Values are sorted once, and a resample gives each its count. The part k_i - k_{i-1} of the running count that lies
    between the cuts is the weight of x_i; summed by parts, with k_i the running count clipped to the cuts:

        sum_i (k_i - k_{i-1}) x_i = (n - cut) x_{n-1} - cut x_0 - sum_{i < n-1} k_i (x_{i+1} - x_i)
    """
    size = values.size
    order = np.argsort(values, axis=None, kind="stable")
    ordered = np.asarray(values, np.float64).ravel()[order]
    gaps = np.diff(ordered).astype(np.float32)
    cut = int(TRIMMED * size)
    result = np.empty(len(draws.tasks))
    block = max(1, _BLOCK_ELEMENTS // size)
    for start in range(0, len(result), block):
        rows = slice(start, start + block)
        counts = draws.seeds[rows, :, None] * draws.tasks[rows, None, :]
        running = np.cumsum(counts.reshape(len(counts), size)[:, order[:-1]], axis=1)
        np.clip(running, cut, size - cut, out=running)
        result[rows] = running @ gaps
    return ((size - cut) * ordered[-1] - cut * ordered[0] - result) / (size - 2 * cut)


def improvements(
    values: Float[np.ndarray, "seeds tasks"], against: Float[np.ndarray, "others tasks"]
) -> Float[np.ndarray, "seeds others tasks"]:
    """1 where a seed did better than the other's seed on the same task, 1/2 where they did equally well, else
    0.

    Their mean is the probability of improvement. Source: Agarwal et al. 2021, section 4.3; Changed: nothing.
    """
    ours, theirs = values[:, None, :], against[None, :, :]
    return (ours > theirs).astype(np.float32) + np.float32(0.5) * (ours == theirs)


def resampled_improvements(
    values: Float[np.ndarray, "seeds tasks"],
    against: Float[np.ndarray, "others tasks"],
    draws: Draws,
    draws_against: Draws,
) -> Float[np.ndarray, " resamples"]:
    """The probability of improvement in every resample: tasks drawn jointly, seeds independently."""
    pairs = improvements(values, against)
    seeds, others, tasks = pairs.shape
    return resampled_means(pairs.reshape(seeds * others, tasks), draws.crossed(draws_against))


def resampled_medians(values: Float[np.ndarray, "seeds tasks"], draws: Draws) -> Float[np.ndarray, " resamples"]:
    """The median over seeds and tasks in every resample; infinite values keep their place in the order.

    Values are sorted once, and a resample gives each its count; the median is the mean of the two that lie in the middle.
    """
    size = values.size
    order = np.argsort(values, axis=None, kind="stable")
    ordered = np.asarray(values, np.float64).ravel()[order]
    result = np.empty(len(draws.tasks))
    block = max(1, _BLOCK_ELEMENTS // size)
    for start in range(0, len(result), block):
        rows = slice(start, start + block)
        counts = draws.seeds[rows, :, None] * draws.tasks[rows, None, :]
        running = np.cumsum(counts.reshape(len(counts), size)[:, order], axis=1)
        lower, upper = (ordered[(running <= rank).sum(1)] for rank in ((size - 1) // 2, size // 2))
        result[rows] = (lower + upper) / 2
    return result


def interval(
    samples: Float[np.ndarray, "resamples *rest"],
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Low and high end of the 95 % percentile interval; an infinite sample means *never* and stays so."""
    # Neighbouring order statistics, not a mixture of them: a mixture with infinity would be infinite or
    # undefined.
    ordered = np.sort(samples, axis=0)
    last = len(ordered) - 1
    return ordered[int(np.floor(0.025 * last))], ordered[int(np.ceil(0.975 * last))]


def estimate(value: float, samples: Float[np.ndarray, " resamples"]) -> Estimate:
    """A value with the interval of its resamples; non-finite numbers become None."""
    low, high = interval(samples)
    return Estimate(value=finite(value), low=finite(low), high=finite(high))


def censored_estimate(
    bounds: tuple[float, float], lower: Float[np.ndarray, " resamples"], upper: Float[np.ndarray, " resamples"]
) -> CensoredEstimate:
    """The bounds of a number, and the interval of the resamples of both bounds."""
    least, most = bounds
    low, high = interval(lower)[0], interval(upper)[1]
    return CensoredEstimate(at_least=finite(least), at_most=finite(most), low=finite(low), high=finite(high))


def finite(value: float | np.floating | np.ndarray) -> float | None:
    """The number as plain data, None where it is infinite or undefined."""
    return float(value) if np.isfinite(value) else None


def trailing_mean(curve: Float[np.ndarray, "*batch points"], window: int) -> Float[np.ndarray, "*batch points"]:
    """The mean of the last `window` points; NaN where there are fewer."""
    sums = np.cumsum(np.asarray(curve, np.float64), axis=-1)
    means = np.full(curve.shape, np.nan)
    means[..., window - 1 :] = sums[..., window - 1 :]
    means[..., window:] -= sums[..., :-window]
    return means / window


def first_reaching(
    curve: Float[np.ndarray, "*batch points"], level: Float[np.ndarray, "*batch"] | float
) -> Float[np.ndarray, "*batch"]:
    """The number, from 1, of the first point at which a curve reaches a level; infinity if it never does."""
    reached: Bool[np.ndarray, "*batch points"] = curve >= np.asarray(level)[..., None]
    return np.where(reached.any(-1), reached.argmax(-1) + 1.0, np.inf)
