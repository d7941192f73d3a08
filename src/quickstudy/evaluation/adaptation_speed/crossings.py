"""Steps to thresholds, speed-ups and break-even from the returns of runs; NumPy alone.

A *run* is one seed on one task. The baseline sets the thresholds. On a task, with f the return of an episode of
random actions and a the baseline's asymptote there (its last tenth, mean over its seeds):

    level = f + fraction (a - f)        speed-up = steps of the baseline / steps of the agent

A run that does not reach a level in its N steps is *censored*: its steps are in [N, infinity). A task on which the baseline
learned nothing (a <= f) sets no level: steps are then in [0, infinity). Neither is dropped, and no number is made up for it.
Ratios and medians are computed from the lower bounds and from the upper bounds. The true ratio and the true median lie between
the two results.

Arrays that are called `resampled` have the sample itself as row 0 and its resamples below.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from quickstudy.evaluation.adaptation_speed.results import Crossing, Threshold
from quickstudy.evaluation.measures import CURVE_RESAMPLES, Anchors, normalised_score, smoothing_window
from quickstudy.evaluation.results import Curve
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import CensoredEstimate, Draws, Estimate

SCORES_AFTER = (0, 1, 3, 10)
"""Episodes before the one that is scored."""

_TOLERANCE = 1e-5
"""Of the largest return: resampled means are in float32, and a tie must not depend on its last bits."""

_POINTS_KEPT = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runs:
    """Returns and steps of the runs of one side; each run is the mean of its lifetimes.

    Args:
      returns: of each episode, in reward units.
      steps: environment steps until the end of each episode; increasing.
      nonfinite_steps: steps of all lifetimes that were masked.
    """

    returns: Float[np.ndarray, "seeds tasks episodes"]
    steps: Float[np.ndarray, "seeds tasks episodes"]
    nonfinite_steps: int = 0

    @property
    def episodes(self) -> int:
        """In one lifetime."""
        return int(self.returns.shape[-1])

    @property
    def asymptotes(self) -> Float[np.ndarray, "seeds tasks"]:
        """Mean return of an episode over the last tenth, at least one."""
        return self.returns[..., -max(1, self.episodes // 10) :].mean(-1, dtype=np.float64)


class Bounds(NamedTuple):
    """Numbers that are known to lie between these two, of one shape; equal where they are known."""

    lower: Float[np.ndarray, "*shape"]
    upper: Float[np.ndarray, "*shape"]


def steps_to_level(
    curve: Float[np.ndarray, "*shape episodes"],
    steps: Float[np.ndarray, "*shape episodes"],
    level: Float[np.ndarray, "*#shape"],
) -> Bounds:
    """Environment steps until a curve is at a level or above it; a tie counts as reached.

    Args:
      curve: returns; NaN where there is none yet.
      steps: environment steps until the end of each episode.
      level: NaN where there is none.
    """
    reached = curve >= (level - _tolerance(curve))[..., None]
    found = reached.any(-1)
    at = np.take_along_axis(steps, reached.argmax(-1)[..., None], -1)[..., 0]
    return Bounds(
        lower=np.where(found, at, np.where(np.isnan(level), 0.0, steps[..., -1])),
        upper=np.where(found, at, np.inf),
    )


def ratio(above: Bounds, below: Bounds) -> Bounds:
    """A ratio of positive numbers, each known between its bounds."""
    with np.errstate(divide="ignore"):
        return Bounds(lower=above.lower / below.upper, upper=above.upper / below.lower)


def measure_crossings(
    agent: Runs,
    baseline: Runs,
    floor: Float[np.ndarray, " tasks"],
    draws: tuple[Draws, Draws],
    *,
    thresholds: tuple[float, ...],
    meta_training_steps: int | None,
) -> dict[str, Any]:
    """The measures of `AdaptationSpeed` that come from both sides, by field name.

    Args:
      agent: its speed is measured.
      baseline: its curve sets the thresholds, on the same tasks.
      floor: return of an episode of random actions on each task.
      draws: resamples of the agent's and of the baseline's; those of tasks are shared.
      thresholds: fractions of the way from the floor to the baseline's asymptote.
      meta_training_steps: environment steps of meta-training; None where they are not known.
    """
    window = smoothing_window(min(agent.episodes, baseline.episodes))
    means = tuple(_mean(runs, one, window) for runs, one in zip((agent, baseline), draws, strict=True))
    floors = _with_sample(draws[0].first(CURVE_RESAMPLES)).tasks @ floor / len(floor)
    gap = baseline.asymptotes.mean(0) - floor
    smooth = [statistics.trailing_mean(runs.returns, window) for runs in (agent, baseline)]
    found = []
    for fraction in sorted(thresholds):
        level = _level(floor, gap, fraction)
        runs = [steps_to_level(curve, one.steps, level) for curve, one in zip(smooth, (agent, baseline), strict=True)]
        levels = _level(floors, means[1].asymptote - floors, fraction)
        mean_steps = [steps_to_level(mean.curve, mean.steps, levels) for mean in means]
        way = floors + fraction * (means[1].asymptote - floors)
        found.append(
            Threshold(
                fraction=fraction,
                level=statistics.estimate(way[0], way[1:]),
                on_each_task=_crossing_of_medians(runs[0], runs[1], draws),
                on_mean_curve=_crossing(mean_steps[0], mean_steps[1], ratio(mean_steps[1], mean_steps[0])),
                agent_reached=float(np.isfinite(runs[0].upper).mean()),
                baseline_reached=float(np.isfinite(runs[1].upper).mean()),
                tasks_to_pay_back=_pay_back(mean_steps[0], mean_steps[1], meta_training_steps),
            )
        )
    return {
        "window": window,
        "thresholds": tuple(found),
        "break_even": _censored(_break_even(means[0], means[1])),
        "tasks_learned": float((gap > 0).mean()),
    }


def measure_side(runs: Runs, anchors: Anchors, draws: Draws, *, shared: int, window: int) -> dict[str, Any]:
    """The measures of `Side` that come from returns, by field name.

    Args:
      runs: of that side.
      anchors: expected return of an episode, on each task.
      draws: resamples.
      shared: episodes that the area is taken over.
      window: episodes that the curve is smoothed over.
    """
    areas, asymptotes = runs.returns[..., :shared].mean(-1, dtype=np.float64), runs.asymptotes
    scores = {}
    for after in SCORES_AFTER:
        if after < runs.episodes:
            returns = runs.returns[..., after]
            scores[str(after)] = normalised_score(returns, statistics.resampled_means(returns, draws), anchors, draws)
    return {
        "episodes": runs.episodes,
        "nonfinite_steps": runs.nonfinite_steps,
        "steps": float(runs.steps[..., -1].mean()),
        "curve": _curve(_mean(runs, draws, window), window),
        "area": statistics.estimate(areas.mean(), statistics.resampled_means(areas, draws)),
        "asymptote": statistics.estimate(asymptotes.mean(), statistics.resampled_means(asymptotes, draws)),
        "score_after": {after: score for after, score in scores.items() if score is not None},
    }


def gain_from_reward(agent: Runs, shuffled: Runs, draws: Draws) -> Estimate:
    """Area of an agent minus that of the same agent with shuffled rewards, on the same tasks with the same seeds."""
    gain = (agent.returns - shuffled.returns).mean(-1, dtype=np.float64)
    return statistics.estimate(gain.mean(), statistics.resampled_means(gain, draws))


class _Mean(NamedTuple):
    """The mean over seeds and tasks, in the sample and in every resample."""

    curve: Float[np.ndarray, "resampled episodes"]
    steps: Float[np.ndarray, "resampled episodes"]
    asymptote: Float[np.ndarray, " resampled"]


def _mean(runs: Runs, draws: Draws, window: int) -> _Mean:
    few = _with_sample(draws.first(CURVE_RESAMPLES))
    return _Mean(
        curve=statistics.trailing_mean(statistics.resampled_means(runs.returns, few), window),
        steps=statistics.resampled_means(runs.steps, few),
        asymptote=statistics.resampled_means(runs.asymptotes, few),
    )


def _with_sample(draws: Draws) -> Draws:
    """The sample itself, in which each is drawn once, above its resamples."""
    seeds, tasks = (np.concatenate([np.ones_like(counts[:1]), counts]) for counts in (draws.seeds, draws.tasks))
    return Draws(seeds=seeds, tasks=tasks)


def _level(floor: np.ndarray, gap: np.ndarray, fraction: float) -> np.ndarray:
    return np.where(gap > 0, floor + fraction * gap, np.nan)


def _tolerance(curve: np.ndarray) -> float:
    return _TOLERANCE * float(np.nanmax(np.abs(curve)))


def _crossing(agent: Bounds, baseline: Bounds, speed_up: Bounds) -> Crossing:
    return Crossing(agent=_censored(agent), baseline=_censored(baseline), speed_up=_censored(speed_up))


def _crossing_of_medians(agent: Bounds, baseline: Bounds, draws: tuple[Draws, Draws]) -> Crossing:
    """Medians over runs; the ratio is taken of every pair of seeds on each task, before its median."""
    of_agent, of_baseline = (_with_sample(one) for one in draws)
    pairs = ratio(Bounds(*(side[None] for side in baseline)), Bounds(*(side[:, None] for side in agent)))
    flat = Bounds(*(side.reshape(-1, side.shape[-1]) for side in pairs))
    return _crossing(_medians(agent, of_agent), _medians(baseline, of_baseline), _medians(flat, of_agent.crossed(of_baseline)))


def _medians(runs: Bounds, draws: Draws) -> Bounds:
    return Bounds(*(statistics.resampled_medians(side, draws) for side in runs))


def _censored(resampled: Bounds) -> CensoredEstimate:
    lower, upper = resampled
    return statistics.censored_estimate((lower[0], upper[0]), lower[1:], upper[1:])


def _break_even(agent: _Mean, baseline: _Mean) -> Bounds:
    """Steps from which on the baseline stays above; after its lifetime the agent counts as staying at its asymptote.

    The first crossing is not used: where both begin with random actions, it would be due to chance.
    """
    above = np.empty(baseline.curve.shape, bool)
    for row, (curve, steps, asymptote) in enumerate(zip(*agent, strict=True)):
        known = np.isfinite(curve)
        held = np.interp(baseline.steps[row], steps[known], curve[known], right=asymptote)
        above[row] = baseline.curve[row] > held + _tolerance(curve)
    stays = np.logical_and.accumulate(above[:, ::-1], axis=1)[:, ::-1]
    at = np.take_along_axis(baseline.steps, stays.argmax(1)[:, None], 1)[:, 0]
    return Bounds(lower=np.where(stays.any(1), at, baseline.steps[:, -1]), upper=np.where(stays.any(1), at, np.inf))


def _pay_back(agent: Bounds, baseline: Bounds, meta_training_steps: int | None) -> CensoredEstimate | None:
    """New tasks until the steps saved on each add up to those of meta-training; infinite where no step is saved."""
    if meta_training_steps is None:
        return None
    least, most = baseline.lower - agent.upper, baseline.upper - agent.lower
    with np.errstate(divide="ignore"):
        lower, upper = (np.where(saved > 0, meta_training_steps / saved, np.inf) for saved in (most, least))
    return _censored(Bounds(lower=lower, upper=upper))


def _curve(mean: _Mean, window: int) -> Curve:
    """The curve at every episode, or at some hundreds of them, denser at the start, where there are more."""
    count = mean.curve.shape[-1]
    kept = np.arange(window - 1, count)
    if len(kept) > _POINTS_KEPT:
        kept = np.unique(np.geomspace(window, count, _POINTS_KEPT).round().astype(int)) - 1
    low, high = statistics.interval(mean.curve[1:, kept])
    value, below, above = (tuple(float(x) for x in column) for column in (mean.curve[0, kept], low, high))
    return Curve(at=tuple(round(x) for x in mean.steps[0, kept].tolist()), value=value, low=below, high=above)
