"""Evaluation: any agents, trained or classical, on the same tasks with common random numbers.

Every contender has one lifetime on every task. Lifetime i has the same task and the same key for every contender and every
seed. So two agents that act alike get the same rewards, and differences are taken task by task. The agent's own randomness
follows from that key, too. This module sees nothing of an agent but its `Agent` record.

Every contender is measured with the non-finite guard, as it is deployed (`rollout/nonfinite.py`). Steps that the guard masks
bring no reward. They are counted in the result.
"""

import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.lift import lift_of, probabilities_of_being_best
from quickstudy.evaluation.measures import Anchors, LifetimeRewards, definitions, measure_adaptation, measured_by_episode
from quickstudy.evaluation.raw_returns import RawReturns
from quickstudy.evaluation.results import Evaluation, PairedComparison, Result
from quickstudy.evaluation.score_limits import why_no_score
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import RESAMPLES, Draws, Estimate
from quickstudy.protocol.agent import Agent, memory_bytes, slot_key
from quickstudy.protocol.errors import NonFiniteError, UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import Transition, blank_observation
from quickstudy.protocol.task_distribution import task_hash
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.nonfinite import LARGEST_REWARD
from quickstudy.rollout.runner import Runner

_TIMED_SECONDS = 0.15
_MOST_NONFINITE = 0.5


def split_label(split: str) -> str:
    """What evaluating on a split means, in words."""
    if split == "train":
        return "TRAINING TASKS, not held out"
    if split.startswith("ood:"):
        return f"out of distribution: {split[4:].replace('-', ' ')}"
    return "held-out tasks"


def evaluate(
    contenders: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    split: str,
    tasks: int = 2000,
    seed: int = 0,
    reference: str | None = None,
    thresholds: Sequence[float] = (0.5, 0.75, 0.9),
    collecting: CollectingConfig = CollectingConfig(),
    progress: Callable[[str, float], None] | None = None,
    command: str = "",
    raw: RawReturns | None = None,
    decision_times: bool = True,
) -> Evaluation:
    """Runs all contenders on the same tasks, and measures how they adapt.

    Args:
      contenders: by the name that they are shown under.
      distribution: that the tasks come from.
      split: of the distribution. `"train"` has to be asked for by name, and is labelled in every output.
      tasks: how many; each contender has one lifetime on each, with every seed.
      seed: of the tasks and the lifetimes' keys. Equal seeds and numbers of tasks give the same task list and hash.
      reference: the contender that differences are shown against; else the first trained one, else the best.
      thresholds: fractions of the way from floor to ceiling, for `steps_to`.
      collecting: where lifetimes on tasks outside JAX run.
      progress: called with a contender's name and the fraction of all the work that is done.
      command: that gives this evaluation again.
      raw: a table that the return of every lifetime is added to.
      decision_times: time single decisions, too. This compiles one more program for each contender.
    Raises:
      UsageError: no contender, no task, a threshold outside (0, 1], or more tasks than fit into memory.
      UnknownNameError: no such split, or the reference is no contender.
      SpecError: a contender that was made for other tasks.
      CollectingError: a lifetime was lost to a fault of its environment; without it the result would be another.
      NonFiniteError: more than half of the steps of a contender were not finite, or their rewards overflowed.
    """
    _check(contenders, tasks, reference, thresholds)
    seeds = [one.seeds for one in contenders.values()]
    check_tasks(distribution, tasks, seed=seed, seeds=seeds, steps=distribution.spec.lifetime_steps)
    task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=seed)
    anchors = Anchors(floor=on_each(distribution.floor, task_list), ceiling=on_each(distribution.ceiling, task_list))
    draws = draw_resamples(contenders, tasks, seed)
    work, done = sum(one.seeds for one in contenders.values()), 0
    results, returns = {}, {}
    with Runner(distribution, collecting) as runner:
        for name, one in contenders.items():
            rollouts = []
            for index in range(one.seeds):
                rollouts.append(runner.run(one.agent, one.params_of(index), task_list, keys))
                done += 1
                if progress is not None:
                    progress(name, done / work)
            rewards = LifetimeRewards(
                reward=np.stack([each.reward for each in rollouts]), valid=np.stack([each.valid for each in rollouts])
            )
            returns[name] = rewards.returns
            if raw is not None:
                raw.add(name, split, rewards.reward, distribution.spec)
            nonfinite = sum(int(each.nonfinite.sum()) for each in rollouts)
            _check_enough_is_finite(name, nonfinite, steps=nonfinite + int(rewards.valid.sum()))
            results[name] = Result(
                trained=one.trained,
                control=one.control,
                seeds=one.seeds,
                nonfinite_steps=nonfinite,
                memory_bytes=memory_bytes(one.agent),
                decision_microseconds=decision_time(one.agent, one.params_of(0)) if decision_times else {},
                measures_by_episode=measured_by_episode(distribution, [each.measures for each in rollouts], draws[name]),
                **measure_adaptation(rewards, anchors, draws[name], spec=distribution.spec, thresholds=thresholds),
            )
    no_score = why_no_score(returns.values(), anchors)
    if no_score:
        results = {name: dataclasses.replace(one, normalised_score=None, steps_to={}) for name, one in results.items()}
    rivals = {name: values for name, values in returns.items() if results[name].control is None}
    for name, chance in probabilities_of_being_best(rivals, draws).items():
        results[name] = dataclasses.replace(results[name], probability_of_being_best=chance)
    if reference is None:
        best = max(returns, key=lambda name: returns[name].mean())
        reference = next((name for name, one in contenders.items() if one.trained), best)
    return Evaluation(
        distribution={"name": distribution.name, "config": dict(distribution.config)},
        spec=distribution.spec.describe(),
        split=split,
        label=split_label(split),
        tasks=tasks,
        seed=seed,
        task_hash=task_hash(task_list),
        reference=reference,
        floor=None if anchors.floor is None else mean_on_tasks(anchors.floor, draws[reference]),
        ceiling=None if anchors.ceiling is None else mean_on_tasks(anchors.ceiling, draws[reference]),
        results=results,
        comparisons=tuple(compare(first, second, returns, draws) for first, second in _pairs(contenders, reference)),
        definitions=definitions(distribution.spec),
        command=command,
        machine=f"{jax.devices()[0].device_kind}, {platform.machine()}",
        no_score=no_score,
    )


def draw_tasks(distribution: AnyDistribution, *, split: str, tasks: int, seed: int) -> tuple[PyTree, Key[Array, " tasks"]]:
    """The task list of an evaluation, leading axis `[tasks]`, and the key `[tasks]` of the lifetime on each.

    Raises:
      UnknownNameError: no such split.
      UsageError: a number out of range, or more tasks than fit into memory.
    """
    check_tasks(distribution, tasks, seed=seed)
    key_tasks, key_lives = jax.random.split(jax.random.key(seed))
    if split in distribution.splits:
        # Otherwise splits that are told apart by a mark would hold tasks that are equal except for the mark.
        key_tasks = jax.random.fold_in(key_tasks, distribution.splits.index(split))
    return distribution.sample_tasks(split, key_tasks, tasks=tasks), jax.random.split(key_lives, tasks)


def returns_on(
    one: Contender,
    distribution: AnyDistribution,
    task_list: PyTree,
    keys: Key[Array, " lifetimes"],
    collecting: CollectingConfig = CollectingConfig(),
) -> Float[np.ndarray, "seeds tasks"]:
    """The lifetime returns of a contender on a task list that `draw_tasks` gave, or on a part of one."""
    with Runner(distribution, collecting) as runner:
        each = [runner.run(one.agent, one.params_of(index), task_list, keys) for index in range(one.seeds)]
    return np.stack([rollouts.reward.sum(-1, dtype=np.float64) for rollouts in each])


def compare(first: str, second: str, returns: Mapping[str, np.ndarray], draws: Mapping[str, Draws]) -> PairedComparison:
    """Two contenders task by task: tasks are drawn jointly for both, seeds for each alone."""
    ours, theirs = returns[first], returns[second]
    difference = (ours.mean(0) - theirs.mean(0)).mean()
    means, means_theirs = statistics.resampled_means(ours, draws[first]), statistics.resampled_means(theirs, draws[second])
    chances = statistics.resampled_improvements(ours, theirs, draws[first], draws[second])
    return PairedComparison(
        first=first,
        second=second,
        difference=statistics.estimate(difference, means - means_theirs),
        probability_of_improvement=statistics.estimate(statistics.improvements(ours, theirs).mean(), chances),
        lift=lift_of(ours, theirs, means, means_theirs),
    )


def decision_time(agent: Agent, params: PyTree) -> dict[str, float]:
    """Microseconds of one jitted, unbatched `adapt` and `act` on this machine: median and 99th percentile."""
    key = jax.random.key(0)
    observation = jnp.zeros(blank_observation(agent.spec).shape, blank_observation(agent.spec).dtype)
    memory = jax.jit(agent.begin)(params, key)
    # Only the form of a decision is needed, and compiling `act` alone would take as long as compiling the step.
    decision = jax.tree.map(jnp.zeros_like, jax.eval_shape(agent.act, params, memory, observation, key))
    transition = Transition.of_one_step(observation, decision, reward=0.0, successor=observation)
    experience = jax.tree.map(lambda leaf: jnp.repeat(leaf, agent.cadence, axis=0), transition)
    keys = slot_key(key, 1)

    @jax.jit
    def step(params: PyTree, memory: PyTree, experience: Transition, observation: Array, keys: Key[Array, "2"]) -> tuple:
        memory = agent.adapt(params, memory, experience, keys[0])
        return memory, agent.act(params, memory, observation, keys[1])

    times: list[float] = []
    jax.block_until_ready(step(params, memory, experience, observation, keys))
    begun = time.perf_counter()
    while len(times) < 20 or (len(times) < 1000 and time.perf_counter() - begun < _TIMED_SECONDS):
        start = time.perf_counter()
        jax.block_until_ready(step(params, memory, experience, observation, keys))
        times.append((time.perf_counter() - start) * 1e6)
    return {"median": float(np.median(times)), "percentile_99": float(np.percentile(times, 99))}


def _check(contenders: Mapping[str, Contender], tasks: int, reference: str | None, thresholds: Sequence[float]) -> None:
    """Raises UsageError unless everything that was asked for makes sense."""
    if not contenders:
        raise UsageError("an evaluation needs at least one contender; came none.")
    if tasks < 1:
        raise UsageError(f"tasks must be 1 or more; came {tasks}. Take 100 or more for useful intervals.")
    check_thresholds(thresholds)
    if reference is not None and reference not in contenders:
        raise UnknownNameError("contender", reference, contenders)


def _check_enough_is_finite(name: str, nonfinite: int, *, steps: int) -> None:
    """Raises NonFiniteError where most steps were masked."""
    if nonfinite > _MOST_NONFINITE * steps:
        raise NonFiniteError(
            f"{name}: on {nonfinite / steps:.0%} of the steps a reward or an observation was not finite, or a reward was "
            f"larger than {LARGEST_REWARD:g}. There is too little left to measure. Look at the tasks with `quickstudy "
            "check`; divide rewards that are too large."
        )


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Raises UsageError unless all are in (0, 1]."""
    for fraction in thresholds:
        if not 0 < fraction <= 1:
            raise UsageError(f"thresholds are fractions of a way, in (0, 1]; came {fraction}.")


def on_each(function: Callable | None, tasks: PyTree) -> np.ndarray | None:
    """A floor or a ceiling on every task `[tasks]`; None where there is none."""
    return None if function is None else np.asarray(jax.vmap(function)(tasks), np.float64)


def mean_on_tasks(values: Float[np.ndarray, " tasks"], draws: Draws) -> Estimate:
    """The mean of a floor or a ceiling over tasks."""
    return statistics.estimate(values.mean(), draws.tasks @ values / len(values))


def draw_resamples(contenders: Mapping[str, Contender], tasks: int, seed: int) -> dict[str, Draws]:
    """Resamples for each contender: the same of tasks, which pairs the differences, and its own of seeds."""
    of_tasks = statistics.draw_counts(tasks, resamples=RESAMPLES, seed=(seed, 0))
    return {
        name: Draws(
            seeds=statistics.draw_counts(one.seeds, resamples=RESAMPLES, seed=(seed, 1 + index)),
            tasks=of_tasks,
        )
        for index, (name, one) in enumerate(contenders.items())
    }


def _pairs(contenders: Mapping[str, Contender], reference: str) -> list[tuple[str, str]]:
    """Every pair that holds a trained contender or the reference, these first."""
    names = list(contenders)
    leading = [name for name in names if contenders[name].trained or name == reference]
    return [
        (first, second)
        for position, first in enumerate(leading)
        for second in names
        if second != first and second not in leading[:position]
    ]
