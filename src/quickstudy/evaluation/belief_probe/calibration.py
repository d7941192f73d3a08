"""Accuracy of a readout: coverage of its credible sets, rate and delay of alarms, and distance from the exact posterior.

*Coverage* of a credible set is the part of tasks and steps at which it contains the true value; a set of 90 % should contain
90 %. The set of a real number is mean ± deviations; that of a choice holds the likeliest choices until their probabilities
reach the level. An *alarm* is a p-value below the accepted rate. *False alarms* are alarms on tasks of the distribution, as a
part of steps. *Delay* is the step of the first alarm, median over tasks, on a split where something is different.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.evaluation.belief_probe.lifetimes import ProbedLifetimes, probe_lifetimes
from quickstudy.evaluation.belief_probe.probe import NormalEstimate, Readout
from quickstudy.evaluation.belief_probe.targets import numbers_of
from quickstudy.evaluation.evaluate import split_label
from quickstudy.numerics.beliefs.gaussian import GaussianBelief, divergence
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.records import Transition
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.storage.plain import to_plain

LEVELS = {0.5: 0.6744898, 0.9: 1.6448536}
"""Credible levels, and the deviations that reach that far in a normal distribution."""
MOMENTS = 10
"""Parts of equal length that a lifetime is divided into."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often the credible sets of one parameter contain its true value.

    Args:
      name: of the parameter.
      level: of the sets, in (0, 1).
      overall: part of tasks and steps at which the set contains the true value.
      by_moment: the same in each of the `MOMENTS` parts of a lifetime.
    """

    name: str
    level: float
    overall: float
    by_moment: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alarms:
    """How often the p-values of one kind are below a rate.

    Args:
      kind: `step`, `last_steps` or `task`.
      rate: accepted rate of false alarms.
      steps: part of steps with an alarm.
      tasks: part of tasks with at least one alarm.
      delay: steps until the first alarm, median over tasks; None where at most half of the tasks have one.
    """

    kind: str
    rate: float
    steps: float
    tasks: float
    delay: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Accuracy of a readout on one split.

    Args:
      split: of the distribution.
      label: what the split means, in words.
      tasks: how many.
      coverage: one for each parameter and level.
      alarms: one for each kind of p-value.
      divergence: nats, KL from the exact posterior to the estimates, in each part of a lifetime; None where the exact
        posterior is not known.
    """

    split: str
    label: str
    tasks: int
    coverage: tuple[Coverage, ...]
    alarms: tuple[Alarms, ...]
    divergence: tuple[float, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`."""
        return to_plain(self)


def measure_calibration(
    agent: Agent,
    params: PyTree,
    readout: Readout,
    distribution: TaskDistribution,
    *,
    split: str,
    tasks: int = 500,
    seed: int = 0,
    rate: float = 0.01,
) -> Calibration:
    """Accuracy of a readout on a split: `calibration_of` what `probe_lifetimes` gives.

    Args:
      agent: that the readout was fitted to.
      params: of the agent, without a leading axis of seeds.
      readout: of that agent.
      distribution: of the tasks.
      split: of the distribution.
      tasks: how many; one lifetime on each.
      seed: of the tasks and the lifetimes' keys.
      rate: accepted rate of false alarms, per step.
    Raises:
      UnknownNameError: no such split.
    """
    probed = probe_lifetimes(agent, params, readout, distribution, split=split, tasks=tasks, seed=seed)
    return calibration_of(probed, readout, distribution, rate=rate)


def calibration_of(
    probed: ProbedLifetimes, readout: Readout, distribution: TaskDistribution, *, rate: float = 0.01
) -> Calibration:
    """Accuracy of a readout in lifetimes that `probe_lifetimes` recorded.

    Args:
      probed: lifetimes, estimates and p-values.
      readout: that gave them.
      distribution: of the tasks.
      rate: accepted rate of false alarms, per step.
    Raises:
      TaskDistributionError: the distribution's `exact_belief` does not fit its parameters.
    """
    valid, coverage = probed.valid, []
    for parameter in readout.named:
        true = numbers_of(parameter, probed.truth[parameter.name])
        for level, width in LEVELS.items():
            covered = _covered(probed.estimates[parameter.name], true, level, width)
            coverage.append(
                Coverage(
                    name=parameter.name,
                    level=level,
                    overall=float(covered[valid].mean()),
                    by_moment=tuple(_means_by_moment(covered.astype(float), valid)),
                )
            )
    return Calibration(
        split=probed.split,
        label=split_label(probed.split),
        tasks=len(valid),
        coverage=tuple(coverage),
        alarms=tuple(_alarms(kind, p, valid, rate) for kind, p in probed.p_values.items()),
        divergence=_divergence_from_exact(probed, readout, distribution),
    )


def exact_agent(distribution: TaskDistribution) -> Agent | None:
    """The baseline whose belief is the exact posterior, as the distribution's `exact_belief` names it; None if none is.

    Raises:
      TaskDistributionError: it names no baseline of the distribution.
    """
    if distribution.exact_belief is None:
        return None
    if distribution.exact_belief not in distribution.baselines:
        raise TaskDistributionError(
            f"{distribution.name}: exact_belief must be the name of one of its baselines "
            f"({', '.join(distribution.baselines) or 'none'}) or None; came {distribution.exact_belief!r}."
        )
    return distribution.baselines[distribution.exact_belief]()


def _covered(estimate: NormalEstimate | Array, true: np.ndarray, level: float, width: float) -> np.ndarray:
    """Whether the credible set contains the true value, `[tasks, T]`; of several numbers, the part that it contains."""
    if isinstance(estimate, NormalEstimate):
        off = np.abs(true[:, None] - np.asarray(estimate.mean)) / np.asarray(estimate.deviation)
        return (off <= width).mean(-1)
    chances = np.asarray(estimate)
    own = np.take_along_axis(chances, np.maximum(true, 0)[:, None, None], axis=-1)
    likelier = np.where(chances > own, chances, 0.0).sum(-1)
    return (likelier < level) & (true >= 0)[:, None]


def _alarms(kind: str, p: Float[np.ndarray, "tasks T"], valid: Bool[np.ndarray, "tasks T"], rate: float) -> Alarms:
    alarm = (p < rate) & valid
    ever = alarm.any(1)
    # The step of the first alarm counts the steps that happened, not slots.
    happened = valid.cumsum(1)
    first = np.where(ever, np.take_along_axis(happened, alarm.argmax(1)[:, None], 1)[:, 0], np.inf)
    delay = float(np.median(first))
    return Alarms(
        kind=kind,
        rate=rate,
        steps=float(alarm[valid].mean()),
        tasks=float(ever.mean()),
        delay=delay if np.isfinite(delay) else None,
    )


def _means_by_moment(values: Float[np.ndarray, "tasks T"], valid: Bool[np.ndarray, "tasks T"]) -> list[float]:
    """Means over tasks and over each part of the lifetime; NaN where no step of a part happened."""
    parts = zip(np.array_split(values, MOMENTS, axis=1), np.array_split(valid, MOMENTS, axis=1), strict=True)
    return [float(np.average(part, weights=happened)) if happened.any() else float("nan") for part, happened in parts]


def _divergence_from_exact(
    probed: ProbedLifetimes, readout: Readout, distribution: TaskDistribution
) -> tuple[float, ...] | None:
    """KL from the exact posterior to the estimates, where the distribution says which baseline holds the exact one."""
    exact = exact_agent(distribution)
    if exact is None:
        return None
    mean, deviation = _real_estimates(probed.estimates, readout)
    params = exact.init(jax.random.key(0))

    def along(lifetime: Transition, key: Array) -> PyTree:
        return exact.unroll(params, lifetime, jax.random.split(key)[0])[1].extras.get("belief")

    posterior = jax.jit(jax.vmap(along))(probed.lifetimes, probed.keys)
    if not isinstance(posterior, GaussianBelief) or posterior.mean.shape != mean.shape:
        raise TaskDistributionError(
            f"{distribution.name}: the belief of exact_belief {distribution.exact_belief!r} must be a GaussianBelief of "
            f"{mean.shape[-1]} numbers, the real parameters that differ between tasks "
            f"({', '.join(one.name for one in readout.named)}); came another. Set exact_belief=None."
        )

    def apart(one: GaussianBelief, mean: Array, deviation: Array) -> Array:
        return divergence(one, GaussianBelief(mean=mean, covariance=jnp.diag(jnp.square(deviation))))

    nats = jax.jit(jax.vmap(jax.vmap(apart)))(posterior, mean, deviation)
    return tuple(_means_by_moment(np.asarray(nats), probed.valid))


def _real_estimates(
    estimates: Mapping[str, NormalEstimate | Array], readout: Readout
) -> tuple[Float[Array, "tasks T reals"], Float[Array, "tasks T reals"]]:
    """Mean and deviation of all real parameters, in the order of `named`."""
    reals = [one for parameter in readout.named if isinstance(one := estimates[parameter.name], NormalEstimate)]
    if not reals:
        raise TaskDistributionError("exact_belief is for real parameters; the tasks' parameters are choices.")
    return jnp.concatenate([one.mean for one in reals], -1), jnp.concatenate([one.deviation for one in reals], -1)
