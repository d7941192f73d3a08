"""Measures of adaptation from the rewards of many lifetimes.

Arrays are `[seeds, tasks, T]`. A slot after the end of an episode is not valid, carries reward 0 and does not
count. The *adaptation curve* is the mean reward at each step; where a lifetime has several episodes of
several steps, it is the mean return of each episode. Its steps or episodes are called points here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from quickstudy.evaluation.results import Curve, TaskBand
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws, Estimate
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Spec
from quickstudy.rollout.collecting.batch import judged

CURVE_RESAMPLES = 400
"""Resamples for the pointwise interval of a curve; single numbers get all of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LifetimeRewards:
    """Every reward of a contender: `reward` and `valid`, both `[seeds, tasks, T]`."""

    reward: Float[np.ndarray, "seeds tasks T"]
    valid: Bool[np.ndarray, "seeds tasks T"]

    @property
    def returns(self) -> Float[np.ndarray, "seeds tasks"]:
        """The lifetime returns."""
        return self.reward.sum(-1, dtype=np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchors:
    """Expected lifetime return on each task, of random actions and of an agent that knows the task; None if unknown."""

    floor: Float[np.ndarray, " tasks"] | None
    ceiling: Float[np.ndarray, " tasks"] | None


def by_episode(spec: Spec) -> bool:
    """Whether a point of the adaptation curve is an episode rather than a step."""
    return spec.episodes > 1 and spec.horizon > 1


def points(spec: Spec) -> int:
    """How many points the adaptation curve has."""
    return spec.episodes if by_episode(spec) else spec.lifetime_steps


def smoothing_window(points: int) -> int:
    """Points that the adaptation curve is averaged over before it meets a threshold: a twentieth of all."""
    return max(1, round(points / 20))


def definitions(spec: Spec) -> dict[str, str]:
    """What the measures mean, in words, for lifetimes of this spec."""
    point = "episode" if by_episode(spec) else "step"
    what = "return of each episode" if by_episode(spec) else "reward at each step"
    window, last = smoothing_window(points(spec)), max(1, points(spec) // 10)
    ends = ends_compared(horizon=spec.horizon, episodes=spec.episodes)
    points_meant = f"the last {window} {point}s" if window > 1 else f"the last {point}"
    return {
        "interval": "95 % percentile bootstrap; tasks and meta-training seeds are drawn with replacement and "
        "crossed (tasks alone where there is one seed); not corrected for the number of comparisons",
        "interquartile mean": "mean of the middle half of all lifetime returns, over seeds and tasks",
        "adaptation curve": f"mean {what}",
        "area": f"area under the adaptation curve, divided by the number of {point}s",
        "asymptote": f"mean of the adaptation curve's last {last} {point}{'s' if last > 1 else ''}",
        "gain": f"{what} at the end of the lifetime minus at its start, on the same task: from {ends}",
        "without memory": f"the same agent, whose memory begins anew at every {point}",
        "shuffled rewards": "the same agent, which adapts to the rewards of other lifetimes on other tasks",
        "normalised score": "(mean return − mean floor) / (mean ceiling − mean floor): 0 for random actions, 1 for an agent "
        "that knows the task",
        "regret": "expected return of an agent that knows the task, minus the return",
        "steps to a threshold": f"environment steps until the mean of {points_meant} of the adaptation curve "
        "has come that fraction of the way from floor to ceiling, both spread evenly over the lifetime; "
        "'never' if not within it",
        "masked steps": "steps whose reward or observations are not finite, or whose reward overflows; they bring no reward "
        "and reach no memory, as in meta-training and in an Actor",
        "lift": "mean return divided by the other's, minus one; shown if the other's mean is above zero in all resamples",
        "P(best)": "share of the bootstrap resamples in which no other contender, controls left out, has a higher mean return",
        "difference": "mean over tasks of the return minus the other's, on the same task with common random numbers",
    }


def ends_compared(*, horizon: int, episodes: int) -> str:
    """The two ends of a lifetime that `gain` compares, in words: `the first to the last episode`."""
    part = gain_parts(horizon=horizon, episodes=episodes)
    whole = episodes > 1 and horizon > 1
    return f"the first to the last {'episode' if whole else 'step' if part == 1 else f'{part} steps'}"


def gain_parts(*, horizon: int, episodes: int) -> int:
    """How many points of the adaptation curve are its start, and how many its end: one episode, or a tenth of the steps."""
    return 1 if episodes > 1 and horizon > 1 else max(1, horizon * episodes // 10)


def measure_adaptation(
    rewards: LifetimeRewards, anchors: Anchors, draws: Draws, *, spec: Spec, thresholds: Sequence[float]
) -> dict[str, Any]:
    """The measures of `results.Result` that come from rewards, by field name.

    Args:
      rewards: of one contender.
      anchors: of the same tasks.
      draws: resamples; those of tasks are shared by all contenders.
      spec: of the distribution.
      thresholds: fractions of the way from floor to ceiling.
    """
    curve, few = _adaptation_curve(rewards, spec), draws.first(CURVE_RESAMPLES)
    curve_resampled = statistics.resampled_means(curve, few)
    returns = rewards.returns
    resampled = statistics.resampled_means(returns, draws)
    last = max(1, curve.shape[-1] // 10)
    episodes = rewards.reward.reshape(*returns.shape, spec.episodes, spec.horizon).sum(-1)
    return {
        "lifetime_return": statistics.estimate(returns.mean(), resampled),
        "interquartile_mean": statistics.estimate(
            statistics.interquartile_mean(returns), statistics.resampled_interquartile_means(returns, draws)
        ),
        "normalised_score": normalised_score(returns, resampled, anchors, draws),
        "regret": _regret(returns, anchors, draws),
        "area": statistics.estimate(curve.mean(dtype=np.float64), curve_resampled.mean(-1)),
        "gain": _gain(curve, draws, spec),
        "asymptote": statistics.estimate(curve[..., -last:].mean(dtype=np.float64), curve_resampled[:, -last:].mean(-1)),
        "steps_to": steps_to_fractions(curve, curve_resampled, anchors, few, spec=spec, thresholds=thresholds),
        "reward_by_step": _curve_of_valid(rewards, few),
        "cumulative_return": _curve(np.cumsum(rewards.reward, -1), few),
        "return_by_episode": _curve(episodes, few),
        "cumulative_regret": _regret_curve(curve, anchors, few),
        **_bands(rewards, anchors),
    }


def measured_by_episode(
    distribution: AnyDistribution, measured: Sequence[Mapping[str, np.ndarray]], draws: Draws
) -> dict[str, Curve]:
    """Measures beside the reward, one number for each episode; means over the tasks on which it was measured, by name.

    Args:
      distribution: its `measures` say how the steps of an episode become one number.
      measured: for every seed, by name, `[tasks, T]`; NaN in slots that did not happen.
      draws: resamples of seeds and tasks.
    """
    few, curves = draws.first(CURVE_RESAMPLES), {}
    for name, reduction in distribution.measures.items():
        steps = np.stack([of_seed[name] for of_seed in measured])
        steps = steps.reshape(*steps.shape[:2], -1, distribution.spec.horizon)
        by_episode = judged(steps, reduction)
        curves[name] = _curve_of_known(np.nan_to_num(by_episode), ~np.isnan(by_episode), few)
    return curves


def _gain(curve: Float[np.ndarray, "seeds tasks points"], draws: Draws, spec: Spec) -> Estimate | None:
    """End minus start of the curve, on each task; None where it has one point only."""
    part = gain_parts(horizon=spec.horizon, episodes=spec.episodes)
    if curve.shape[-1] < 2 * part:
        return None
    gain = curve[..., -part:].mean(-1, dtype=np.float64) - curve[..., :part].mean(-1, dtype=np.float64)
    return statistics.estimate(gain.mean(), statistics.resampled_means(gain, draws))


def _adaptation_curve(rewards: LifetimeRewards, spec: Spec) -> Float[np.ndarray, "seeds tasks points"]:
    if not by_episode(spec):
        return rewards.reward
    return rewards.reward.reshape(*rewards.reward.shape[:2], spec.episodes, spec.horizon).sum(-1)


def normalised_score(
    returns: Float[np.ndarray, "seeds tasks"],
    resampled: Float[np.ndarray, " resamples"],
    anchors: Anchors,
    draws: Draws,
) -> Estimate | None:
    """`(mean return - mean floor) / (mean ceiling - mean floor)`; None without two different anchors."""
    if anchors.floor is None or anchors.ceiling is None:
        return None
    floor, gap = anchors.floor.mean(), (anchors.ceiling - anchors.floor).mean()
    if not gap > 0:
        return None
    floors, gaps = (draws.tasks @ x / len(x) for x in (anchors.floor, anchors.ceiling - anchors.floor))
    with np.errstate(divide="ignore", invalid="ignore"):
        return statistics.estimate((returns.mean() - floor) / gap, (resampled - floors) / gaps)


def steps_to_fractions(
    curve: Float[np.ndarray, "seeds tasks points"],
    resampled: Float[np.ndarray, "resamples points"],
    anchors: Anchors,
    draws: Draws,
    *,
    spec: Spec,
    thresholds: Sequence[float],
) -> dict[str, Estimate]:
    """Environment steps until the smoothed mean curve is a fraction of the way from floor to ceiling."""
    if anchors.floor is None or anchors.ceiling is None:
        return {}
    count, steps = curve.shape[-1], spec.horizon if by_episode(spec) else 1
    window = smoothing_window(count)
    smooth = statistics.trailing_mean(curve.mean((0, 1), dtype=np.float64), window)
    smooth_resampled = statistics.trailing_mean(resampled, window)
    found = {}
    for fraction in thresholds:
        level = (anchors.floor + fraction * (anchors.ceiling - anchors.floor)) / count
        levels = draws.tasks @ level / len(level)
        reached = statistics.first_reaching(smooth, level.mean()) * steps
        reached_resampled = statistics.first_reaching(smooth_resampled, levels) * steps
        found[f"{fraction:g}"] = statistics.estimate(float(reached), reached_resampled)
    return found


def _regret(returns: Float[np.ndarray, "seeds tasks"], anchors: Anchors, draws: Draws) -> Estimate | None:
    if anchors.ceiling is None:
        return None
    regret = anchors.ceiling - returns
    return statistics.estimate(regret.mean(), statistics.resampled_means(regret, draws))


def _regret_curve(curve: Float[np.ndarray, "seeds tasks points"], anchors: Anchors, draws: Draws) -> Curve | None:
    if anchors.ceiling is None:
        return None
    per_point = anchors.ceiling[:, None] / curve.shape[-1]
    return _curve(np.cumsum(per_point - curve, -1), draws)


def _bands(rewards: LifetimeRewards, anchors: Anchors) -> dict[str, TaskBand | None]:
    """How tasks differ in their return so far, and in their regret so far where the ceiling is known."""
    so_far = np.cumsum(rewards.reward.mean(0, dtype=np.float64), -1)
    if anchors.ceiling is None:
        return {"return_band": _band(so_far), "regret_band": None}
    share = np.arange(1, so_far.shape[-1] + 1) / so_far.shape[-1]
    return {"return_band": _band(so_far), "regret_band": _band(anchors.ceiling[:, None] * share - so_far)}


def _band(values: Float[np.ndarray, "tasks T"]) -> TaskBand:
    columns = np.quantile(values, (0.5, 0.1, 0.9), axis=0)
    median, low, high = (tuple(statistics.finite(x) for x in column) for column in columns)
    return TaskBand(at=tuple(range(1, values.shape[-1] + 1)), median=median, low=low, high=high)


def _curve(values: Float[np.ndarray, "seeds tasks points"], draws: Draws) -> Curve:
    return _as_curve(values.mean((0, 1), dtype=np.float64), statistics.resampled_means(values, draws))


def _curve_of_valid(rewards: LifetimeRewards, draws: Draws) -> Curve:
    """Mean reward at each step over the lifetimes that are in an episode there; None where there is none."""
    return _curve_of_known(rewards.reward, rewards.valid, draws)


def _curve_of_known(
    values: Float[np.ndarray, "seeds tasks points"], known: Bool[np.ndarray, "seeds tasks points"], draws: Draws
) -> Curve:
    """Means over what is known at each point, where `values` are zero elsewhere; None where nothing is."""
    if known.all():
        return _curve(values, draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = values.sum((0, 1), dtype=np.float64) / known.sum((0, 1))
        resampled = statistics.resampled_means(values, draws) / statistics.resampled_means(known.astype(np.float32), draws)
    # A resample may miss the few lifetimes that reach a late slot; it then says nothing about that slot.
    return _as_curve(mean, np.where(np.isnan(resampled), mean, resampled))


def _as_curve(mean: Float[np.ndarray, " points"], resampled: Float[np.ndarray, "resamples points"]) -> Curve:
    low, high = statistics.interval(resampled)
    columns = ([statistics.finite(x) for x in column] for column in (mean, low, high))
    value, below, above = (tuple(column) for column in columns)
    return Curve(at=tuple(range(1, len(mean) + 1)), value=value, low=below, high=above)
