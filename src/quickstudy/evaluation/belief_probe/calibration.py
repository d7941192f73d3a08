"""Whether what is told is right: how often credible sets hold the truth, and when surprise alarms.

*Coverage* of a credible set is the part of tasks and moments at which the truth lies in it; a set of 90 % should hold 90 %. A
set of a real number is mean ± deviations; of a choice, the likeliest choices until their probabilities reach the level.
*False alarms* are alarms on tasks of the distribution, as a part of steps. *Delay* is the step of the first alarm, median over
tasks, on a split where something is different; beside it stands the part of tasks with any alarm at all.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from quickstudy.evaluation.belief_probe.fit import recorded
from quickstudy.evaluation.belief_probe.probe import Readout, Told, p_value, recent
from quickstudy.evaluation.belief_probe.targets import described, numbers_of
from quickstudy.evaluation.evaluate import split_label
from quickstudy.numerics.beliefs.gaussian import GaussianBelief, divergence
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Transition
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.replay import empty_lifetime

LEVELS = {0.5: 0.6744898, 0.9: 1.6448536}
"""Credible levels, and the deviations that reach that far in a normal distribution."""
MOMENTS = 10
"""Parts of a lifetime that are looked at apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of one named parameter: the part of tasks whose truth the set of a level holds, overall and in each part of life."""

    name: str
    level: float
    overall: float
    by_moment: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alarms:
    """Of one kind of surprise, at a nominal rate: how often it alarms, on how many tasks ever, and when first."""

    kind: str
    rate: float
    steps: float
    tasks: float
    delay: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found on one split.

    Args:
      split: of the distribution.
      label: what the split means, in words.
      tasks: how many.
      coverage: one for each parameter and level.
      alarms: one for each kind of surprise.
      divergence: nats, KL from the exact posterior to what is told, in each part of life; None where nobody knows it.
    """

    split: str
    label: str
    tasks: int
    coverage: tuple[Coverage, ...]
    alarms: tuple[Alarms, ...]
    divergence: tuple[float, ...] | None

    def plain(self) -> dict[str, Any]:
        """As JSON writes it."""
        return dataclasses.asdict(self)


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
    """How right a readout is on a split.

    Args:
      agent: whose readout it is.
      params: of the agent, without a leading axis of seeds.
      readout: fitted to it.
      distribution: of the tasks.
      split: to look at.
      tasks: how many; one lifetime on each.
      seed: of tasks and luck.
      rate: of false alarms that surprise should have.
    """
    key_tasks, key_lives = jax.random.split(jax.random.key(seed + 1_000_003))
    task_list, keys = distribution.sample_tasks(split, key_tasks, tasks=tasks), jax.random.split(key_lives, tasks)
    lived, features = recorded(agent, params, distribution, task_list, keys)
    valid, truth = np.asarray(lived.valid), described(distribution, task_list)
    told = jax.jit(lambda known: readout.tell(known))(features)
    coverage = []
    for named in readout.named:
        true = numbers_of(named, truth[named.name])
        for level, width in LEVELS.items():
            held = _held(told[named.name], true, level, width)
            by_moment = tuple(_means_by_moment(held.astype(float), valid))
            coverage.append(Coverage(name=named.name, level=level, overall=float(held[valid].mean()), by_moment=by_moment))
    alarms = tuple(_alarms(kind, p, valid, rate) for kind, p in surprise_along(readout, lived, features, distribution).items())
    return Calibration(
        split=split,
        label=split_label(split),
        tasks=tasks,
        coverage=tuple(coverage),
        alarms=alarms,
        divergence=_divergence(distribution, readout, told, lived, keys),
    )


def surprise_along(
    readout: Readout, lived: Transition, features: Array, distribution: TaskDistribution
) -> Mapping[str, np.ndarray]:
    """The p-values of every step `[tasks, T]`, by kind."""
    scores = jax.jit(lambda known, step: readout.score(known, step, distribution.spec))(features, lived)
    begun = jnp.zeros(())
    averages = jax.jit(jax.vmap(lambda s, v: recent(s, v, readout.scores, since=begun)[1]))(scores, lived.valid)
    return {
        "now": np.asarray(p_value(readout.scores, scores)),
        "lately": np.asarray(p_value(readout.recent_scores, averages)),
        "task": np.asarray(p_value(readout.task_scores, jax.jit(lambda known: readout.anomaly_score(known))(features))),
    }


def _held(told: Told | Array, true: np.ndarray, level: float, width: float) -> np.ndarray:
    """Whether the credible set holds the truth, `[tasks, T]`; of several numbers, the part of them that it holds."""
    if isinstance(told, Told):
        off = np.abs(true[:, None] - np.asarray(told.mean)) / np.asarray(told.deviation)
        return (off <= width).mean(-1)
    chances = np.asarray(told)
    own = np.take_along_axis(chances, np.maximum(true, 0)[:, None, None], axis=-1)
    likelier = np.where(chances > own, chances, 0.0).sum(-1)
    return (likelier < level) & (true >= 0)[:, None]


def _alarms(kind: str, p: np.ndarray, valid: np.ndarray, rate: float) -> Alarms:
    alarm = (p < rate) & valid
    ever = alarm.any(1)
    # The step of the first alarm counts the steps that were lived, not slots.
    lived = valid.cumsum(1)
    first = np.where(ever, np.take_along_axis(lived, alarm.argmax(1)[:, None], 1)[:, 0], np.inf)
    delay = float(np.median(first))
    return Alarms(
        kind=kind,
        rate=rate,
        steps=float(alarm[valid].mean()),
        tasks=float(ever.mean()),
        delay=delay if np.isfinite(delay) else None,
    )


def _means_by_moment(values: np.ndarray, valid: np.ndarray) -> list[float]:
    """Means over tasks and over each part of the lifetime."""
    return [
        float(np.average(part, weights=happened)) if happened.any() else float("nan")
        for part, happened in zip(np.array_split(values, MOMENTS, axis=1), np.array_split(valid, MOMENTS, axis=1), strict=True)
    ]


def _divergence(
    distribution: TaskDistribution, readout: Readout, told: Mapping[str, Told | Array], lived: Transition, keys: Array
) -> tuple[float, ...] | None:
    """KL from the exact posterior to what is told, where a baseline holds the exact one over the same real numbers."""
    exact = exact_posterior(distribution)
    reals = [told[named.name] for named in readout.named]
    if exact is None or not all(isinstance(one, Told) for one in reals):
        return None
    mean, deviation = (jnp.concatenate([getattr(one, part) for one in reals], -1) for part in ("mean", "deviation"))
    agent_params = exact.init(jax.random.key(0))

    def along(lifetime: Transition, key: Array) -> GaussianBelief:
        return exact.unroll(agent_params, lifetime, jax.random.split(key)[0])[1].extras["belief"]

    posterior = jax.jit(jax.vmap(along))(lived, keys)
    if posterior.mean.shape != mean.shape:
        return None

    def apart(one: GaussianBelief, mean: Array, deviation: Array) -> Array:
        return divergence(one, GaussianBelief(mean=mean, covariance=jnp.diag(jnp.square(deviation))))

    nats = jax.jit(jax.vmap(jax.vmap(apart)))(posterior, mean, deviation)
    return tuple(_means_by_moment(np.asarray(nats), np.asarray(lived.valid)))


def exact_posterior(distribution: TaskDistribution) -> Agent | None:
    """The first baseline whose belief is a `GaussianBelief`; where there is one, it is exact."""
    for make in distribution.baselines.values():
        agent = make()
        key = jax.random.key(0)
        seen = empty_lifetime(distribution.spec).observation[0]
        params = agent.init(key)
        extras = jax.eval_shape(lambda p, a=agent, o=seen, k=key: a.act(p, a.begin(p, k), o, k).extras, params)
        if isinstance(extras.get("belief"), GaussianBelief):
            return agent
    return None
