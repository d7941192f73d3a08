"""Measures how fast agents adapt, compared with baselines on the same tasks. A baseline may have longer lifetimes."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.adaptation_speed.crossings import Runs, gain_from_reward, measure_crossings, measure_side
from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Side
from quickstudy.evaluation.adaptation_speed.shuffled_rewards import shuffled_contender
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import (
    check_thresholds,
    draw_resamples,
    draw_tasks,
    mean_on_tasks,
    on_each,
    split_label,
)
from quickstudy.evaluation.measures import Anchors
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.numerics.statistics import Draws
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.setting_values import Count, checked_value
from quickstudy.protocol.task_distribution import task_hash
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.compiled import check_fit
from quickstudy.rollout.runner import Runner

_SHUFFLED = "shuffled rewards"
_MOST_SHUFFLED = 1000


def adaptation_speed(
    agent: Contender,
    baseline: Contender,
    distribution: AnyDistribution,
    *,
    split: str,
    tasks: int = 200,
    lifetimes: int = 10,
    seed: int = 0,
    names: tuple[str, str] = ("agent", "baseline"),
    thresholds: tuple[float, ...] = (0.5, 0.75, 0.9),
    shuffled: bool = True,
    meta_training_steps: int | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    progress: Callable[[str, float], None] | None = None,
) -> AdaptationSpeed:
    """How many times fewer environment steps an agent needs to reach the return of a baseline.

    Both have the same tasks. The baseline's lifetime may have more episodes, which an agent that learns from scratch needs:
    its own spec says how many. The baseline's curve sets the thresholds.

    Args:
      agent: made for the distribution's spec.
      baseline: made for the same spec, except for the number of episodes.
      distribution: that the tasks come from; it must not depend on how many episodes a lifetime has.
      split: of the distribution. `"train"` has to be asked for by name, and is labelled in every output.
      tasks: how many.
      lifetimes: of each seed on each task, each with its own key. Thresholds are set on their mean curve: the noisier a
        return is, the more lifetimes are needed.
      seed: of the tasks and the lifetimes' keys.
      names: of the two, as tables show them.
      thresholds: fractions of the way from random actions to the baseline's asymptote.
      shuffled: measure the agent once more with shuffled rewards (see `shuffled_rewards.py`).
      meta_training_steps: environment steps of the agent's meta-training, in total. If they are given, the result says after
        how many new tasks they pay back.
      collecting: where lifetimes on tasks outside JAX run.
      progress: called with a name and the fraction of its lifetimes that are done.
    Raises:
      UsageError: no task, no lifetime, no threshold or one outside (0, 1], two equal names, or more than fits into memory.
      UnknownNameError: no such split.
      SpecError: an agent or a baseline that was made for other tasks.
    Source: none; published claims of such speed-ups that say how they were measured are not known to us.
    """
    if names[0] == names[1]:
        raise UsageError(f"agent and baseline need two different names; came {names}.")
    check_fit(agent.agent, distribution.spec)
    (found,) = adaptation_speeds(
        {names[0]: agent}, {names[1]: baseline}, distribution, split=split, tasks=tasks, lifetimes=lifetimes, seed=seed,
        thresholds=thresholds, shuffled=shuffled, meta_training_steps={names[0]: meta_training_steps},
        collecting=collecting, progress=progress,
    )  # fmt: skip
    return found


def adaptation_speeds(
    agents: Mapping[str, Contender],
    baselines: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    split: str,
    tasks: int = 200,
    lifetimes: int = 10,
    seed: int = 0,
    thresholds: tuple[float, ...] = (0.5, 0.75, 0.9),
    shuffled: bool = True,
    meta_training_steps: Mapping[str, int | None] | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    progress: Callable[[str, float], None] | None = None,
) -> list[AdaptationSpeed]:
    """`adaptation_speed` of every agent against every baseline. Each of them is measured once only.

    Args:
      agents: by the name that they are shown under; each may have been made for lifetimes of its own length.
      baselines: the same.
      distribution, split, tasks, lifetimes, seed, thresholds, shuffled, progress: as there.
      meta_training_steps: of each agent, where that is known.
      collecting: where lifetimes on tasks outside JAX run.
    Returns:
      Agent by agent, each against one baseline after another.
    Raises:
      UsageError, UnknownNameError, SpecError: as there.
    """
    contenders = {**agents, **baselines}
    _check(tasks, lifetimes, [*agents, *baselines], thresholds)
    homes = {name: _with_episodes(distribution, one.agent.spec.episodes) for name, one in contenders.items()}
    for name, one in contenders.items():
        check_fit(one.agent, homes[name].spec)
    lifetimes = checked_value("lifetimes", Count, lifetimes)
    longest = max(one.agent.spec.episodes for one in contenders.values())
    counts = [one.seeds for one in contenders.values()] * (1 + shuffled)
    steps = longest * distribution.spec.horizon // max(counts)  # rewards of single steps are kept of one agent at a time
    check_tasks(distribution, tasks, seed=seed, seeds=counts, episodes=longest, steps=steps)
    task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=seed)
    report = progress or (lambda name, done: None)

    with Runner(distribution, collecting) as runner:

        def run(one: Contender, name: str) -> Runs:
            return _run_all(one, runner, task_list, keys, lifetimes, lambda done: report(name, done))

        runs = {name: run(one, name) for name, one in contenders.items()}
        anchors = _per_episode(distribution, task_list)
        floor = anchors.floor
        if floor is None:
            floor = run(contender(random_agent(distribution.spec)), "random").returns.mean((0, 2))
        known = Anchors(floor=floor, ceiling=anchors.ceiling)
        ablated: dict[str, tuple[Contender, Runs]] = {}
        for name, one in agents.items() if shuffled else ():
            most = min(tasks * lifetimes, _MOST_SHUFFLED)
            unaware = shuffled_contender(one, homes[name], split=split, lifetimes=most, seed=seed, runner=runner)
            ablated[name] = unaware, run(unaware, f"{name}, {_SHUFFLED}")
    found = []
    for (ours, agent), (theirs, baseline) in itertools.product(agents.items(), baselines.items()):
        draws = draw_resamples({"agent": agent, "baseline": baseline}, tasks, seed)
        trained = (meta_training_steps or {}).get(ours)
        measures = measure_crossings(
            runs[ours], runs[theirs], floor, (draws["agent"], draws["baseline"]),
            thresholds=thresholds, meta_training_steps=trained,
        )  # fmt: skip
        shared = min(runs[ours].episodes, runs[theirs].episodes)

        def side(
            one: Contender, of: Runs, name: str, drawn: Draws, shared: int = shared, window: int = measures["window"]
        ) -> Side:
            values = measure_side(of, known, drawn, shared=shared, window=window)
            return Side(name=name, trained=one.trained, seeds=one.seeds, **values)

        blind, blind_runs = ablated[ours] if shuffled else (None, None)
        found.append(
            AdaptationSpeed(
                distribution={"name": distribution.name, "config": dict(distribution.config)},
                split=split,
                label=split_label(split),
                tasks=tasks,
                lifetimes=lifetimes,
                seed=seed,
                task_hash=task_hash(task_list),
                horizon=distribution.spec.horizon,
                floor=mean_on_tasks(floor, draws["agent"]),
                floor_known=anchors.floor is not None,
                ceiling=None if anchors.ceiling is None else mean_on_tasks(anchors.ceiling, draws["agent"]),
                agent=side(agent, runs[ours], ours, draws["agent"]),
                baseline=side(baseline, runs[theirs], theirs, draws["baseline"]),
                shuffled=None if blind is None or blind_runs is None else side(blind, blind_runs, _SHUFFLED, draws["agent"]),
                gain_from_reward=None if blind_runs is None else gain_from_reward(runs[ours], blind_runs, draws["agent"]),
                meta_training_steps=trained,
                **measures,
            )
        )
    return found


def _check(tasks: int, lifetimes: int, names: Sequence[str], thresholds: tuple[float, ...]) -> None:
    if tasks < 1 or lifetimes < 1:
        raise UsageError(f"tasks and lifetimes must be 1 or more; came {tasks} and {lifetimes}.")
    if len({*names, _SHUFFLED}) != len(names) + 1:
        raise UsageError(f"agents and baselines need different names, and none {_SHUFFLED!r}; came {tuple(names)}.")
    if not thresholds:
        raise UsageError("a speed-up needs at least one threshold; came none. Take (0.5, 0.75, 0.9).")
    check_thresholds(thresholds)


def _with_episodes(distribution: AnyDistribution, episodes: int) -> AnyDistribution:
    """The same tasks with lifetimes of another length; floor and ceiling, which are of a lifetime, are left out."""
    spec = dataclasses.replace(distribution.spec, episodes=episodes)
    return dataclasses.replace(distribution, spec=spec, floor=None, ceiling=None)


def _run_all(
    one: Contender,
    runner: Runner,
    task_list: PyTree,
    keys: Key[Array, " lifetimes"],
    lifetimes: int,
    report: Callable[[float], None],
) -> Runs:
    """Lifetimes of every seed on every task; only sums by episode are kept."""
    spec = one.agent.spec
    shape = (one.seeds, len(keys), spec.episodes)
    returns, steps, nonfinite = np.zeros(shape), np.zeros(shape), 0
    for lifetime in range(lifetimes):
        fresh_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, lifetime)
        for index in range(one.seeds):
            rollout = runner.run(one.agent, one.params_of(index), task_list, fresh_keys)
            returns[index] += rollout.reward.reshape(*shape[1:], spec.horizon).sum(-1, dtype=np.float64)
            steps[index] += (rollout.valid | rollout.nonfinite).reshape(*shape[1:], spec.horizon).sum(-1)
            nonfinite += int(rollout.nonfinite.sum())
        report((lifetime + 1) / lifetimes)
    return Runs(returns=returns / lifetimes, steps=np.cumsum(steps / lifetimes, -1), nonfinite_steps=nonfinite)


def _per_episode(distribution: AnyDistribution, task_list: PyTree) -> Anchors:
    """Floor and ceiling of a lifetime, spread evenly over its episodes."""
    found = (on_each(function, task_list) for function in (distribution.floor, distribution.ceiling))
    floor, ceiling = (None if values is None else values / distribution.spec.episodes for values in found)
    return Anchors(floor=floor, ceiling=ceiling)
