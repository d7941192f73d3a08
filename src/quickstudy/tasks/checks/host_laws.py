"""The laws of a distribution of tasks outside JAX, one function each: it yields a sentence for whatever it finds broken.

| law | what is looked for |
|---|---|
| sampling | a generator of the same seed gives the same task; tasks are numbers and arrays of one structure in every split |
| shapes | observations, rewards, endings and measures are what the spec and `measures` promise, for every task |
| determinism | the same task and key are the same lifetime, in another environment newly opened |
| same task | the task decides something in every episode; an episode leaves the task as it was, and no trace in the next |
| set_task | an environment set to a task behaves as one made for it |
| fresh start | whatever was lived in an environment before leaves nothing behind in the next lifetime |
| spaces | observations lie in the observation space |
| finite reward | rewards and observations are finite |
| endings | `terminated` is the task's word, `truncated` that of a time limit |
| task-blindness | no part of the task can be read off the observations |
| disjoint splits | no task is drawn by two splits |
| description | `describe` gives a dict of named arrays |
| references | `floor` and `ceiling` are finite, and the floor is not above the ceiling |
| speed | steps and new lifetimes are quick enough to learn from, and every call comes back |

What compares lifetimes gives them the same key and the same random actions, so that one thing alone is different. A law is not
tried while one that it `needs` is broken, since it would say the same once more.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from quickstudy.tasks.checks.host_comparison import Comparison, difference, later, signal
from quickstudy.tasks.checks.host_episodes import HostTrial
from quickstudy.tasks.checks.host_player import BEGIN
from quickstudy.tasks.checks.laws import (
    DEPENDENT_RESET,
    LAWS,
    description,
    disjoint_splits,
    finite_reward,
    leaks,
    references,
    spaces,
    time_limits,
)
from quickstudy.tasks.checks.trees import same
from quickstudy.tasks.gymnasium import GymnasiumEnvironment

_FEWEST_TASKS = 32
_FEWEST_STEPS_A_SECOND = 100
_LONG_STEP = 0.3  # of the budget of seconds
_LONG_BEGIN_SECONDS = 0.02


class HostLaw(NamedTuple):
    """One law: who looks (at a `HostTrial`, or where it `compares`, at a `Comparison`), what helps, and when to look."""

    look: Callable[[Any], Iterator[str]]
    remedy: str
    plays: bool = True
    compares: bool = False
    needs: tuple[str, ...] = ()


def determinism(comparison: Comparison) -> Iterator[str]:
    """The same task and key, in two environments."""
    once = comparison.fresh(0)
    with comparison.trial.player() as player:
        again = comparison.run(player, 0)
    seen = difference(once, again)
    if seen:
        yield f"the same task, seed and actions go differently in another environment newly opened: {seen}."


def same_task(comparison: Comparison) -> Iterator[str]:
    """The task decides, in every episode; episodes do not change it."""
    yield from _indifference(comparison)
    trial, given = comparison.trial, comparison.trial.one_task()
    with trial.player() as player:
        player.begin(given, comparison.key)
        once = list(comparison.episode(player, 0))
        untouched = trial.one_task()
        if str(jax.tree.structure(given)) != str(jax.tree.structure(untouched)) or not same(given, untouched):
            yield "the environment changes the task that it is given."
            return
        seen = difference(once, list(comparison.episode(player, 0)))
    if seen:
        yield f"an episode that is begun again with the same seed goes otherwise than the first time: {seen}."


def set_task(comparison: Comparison) -> Iterator[str]:
    """An environment that was begun on one task and then set to another, beside one that was made for it."""
    for other in comparison.others[:1]:
        for before, task in ((other, 0), (0, other)):
            made = comparison.fresh(task)
            with comparison.trial.player() as player:
                if isinstance(player.environment, GymnasiumEnvironment) and player.environment.set_task is None:
                    return
                player.begin(comparison.trial.one_task(before), comparison.key)
                player.reset(0)
                seen = difference(made, comparison.run(player, task))
            if seen:
                yield f"an environment that is set to a task is not as one that is made for it: {seen}."
                return


def fresh_start(comparison: Comparison) -> Iterator[str]:
    """A lifetime in an environment in which others were lived."""
    once = comparison.fresh(0)
    with comparison.trial.player() as player:
        comparison.run(player, 0)
        seen = difference(once, comparison.run(player, 0))
        if seen:
            yield f"a lifetime that is lived once more in the same environment goes differently: {seen}."
            return
        for number in (*comparison.others[:1], 0):
            seen = difference(comparison.fresh(number), comparison.run(player, number))
            if seen:
                yield f"a lifetime goes differently after one on another task in the same environment: {seen}."
                return


def endings(trial: HostTrial) -> Iterator[str]:
    """`truncated` is no copy of `terminated`; a time limit that falls together with an ending is none."""
    for split, episodes in trial.episodes.items():
        terminated, truncated = episodes.terminated & episodes.valid, episodes.truncated & episodes.valid
        early = terminated[:, : trial.distribution.spec.horizon - 1].any()
        if early and (terminated == truncated).all():
            yield f"{split!r}: terminated and truncated are both true whenever an episode ends."
    yield from time_limits(trial)


def task_blindness(comparison: Comparison) -> Iterator[str]:
    """No leaf of the task, no affine copy and no one-hot of it, stands in the observations."""
    trial = comparison.trial
    if len(trial.episodes["train"].valid) < _FEWEST_TASKS:
        return
    found = list(leaks(trial))
    yield from found
    if found or trial.distribution.shown or "determinism" in trial.broken:
        return
    firsts = []
    with trial.player() as player:
        for number in (0, *comparison.others):
            trial.in_time()
            player.begin(trial.one_task(number), comparison.key)
            firsts.append(player.reset(0))
    if not all(same(first, firsts[0]) for first in firsts):
        yield DEPENDENT_RESET


def speed(trial: HostTrial) -> Iterator[str]:
    """Steps in a second, the longest step, and what a new lifetime costs."""
    clock, spec = trial.clock, trial.distribution.spec
    step, begin = clock.each("step"), clock.each(BEGIN)
    if clock.calls["step"] and step * _FEWEST_STEPS_A_SECOND > 1:
        yield f"?{1 / step:.3g} steps a second: a million steps take {1e6 * step / 3600:.3g} hours in one process."
    if clock.longest["step"] > _LONG_STEP * trial.budget_seconds:
        yield f"?one step took {clock.longest['step']:.1f} seconds."
    if begin > max(_LONG_BEGIN_SECONDS, step * spec.lifetime_steps):
        steps = spec.lifetime_steps
        yield f"?to begin a lifetime takes {begin:.2g} seconds, its {steps} steps {step * steps:.2g}."
    played = len(trial.episodes["train"].valid) if trial.episodes else _FEWEST_TASKS
    if played < _FEWEST_TASKS:
        yield f"?only {played} of 'train' could be played, too few to tell whether observations show the task."
    if trial.untried:
        yield f"?there was no time to try: {', '.join(trial.untried)}."


def _indifference(comparison: Comparison) -> Iterator[str]:
    """Whether lifetimes on different tasks are the same, from the first episode on or in all that follow it."""
    once, lived = comparison.fresh(0), [comparison.fresh(0)]
    differs, differs_later = False, not later(once)
    for number in comparison.others:
        lived.append(comparison.fresh(number))
        differs |= difference(once, lived[-1]) is not None
        differs_later |= difference(later(once), later(lived[-1])) is not None
        if differs and differs_later:
            return
    if not comparison.others:
        return
    meant = "" if signal([later(lifetime) or lifetime for lifetime in lived]) else "?"
    excuse = " (or random actions never meet what it decides: they always earned the same)" if meant else ""
    if not differs:
        yield f"{meant}{len(lived)} different tasks go alike with the same seed and actions: the task decides nothing{excuse}."
    else:
        yield f"{meant}different tasks go alike after the first episode: reset draws another task, or forgets it{excuse}."


HOST_LAWS: dict[str, HostLaw] = {
    "sampling": HostLaw(
        lambda trial: iter(()),  # `draw_tasks` looks, before there is anything else to look at
        "Draw everything with the generator that sample_task is given (generator.uniform, .integers, .choice), and return a "
        "number, an array, or a dict or quickstudy.record of them, with the same names and shapes each time.",
        plays=False,
    ),
    "shapes": HostLaw(
        lambda trial: iter(()),  # `play_episodes` looks at whatever comes
        "Let make, reset(self, *, seed=None, options=None) -> (observation, info) and step(self, action) -> (observation, "
        "reward, terminated, truncated, info) run without an error for every task, and give what the environment's spaces say.",
        plays=False,
    ),
    "determinism": HostLaw(
        determinism,
        "Call super().reset(seed=seed) at the top of reset and draw all luck from self.np_random; use no random or np.random "
        "functions, no clock, and nothing that environments share.",
        compares=True,
    ),
    "same task": HostLaw(
        same_task,
        "Let make (or set_task) give the task to the environment, draw no other in reset, never write into it, and let reset "
        "put back everything else (a wrapper that keeps running averages does not); draw luck "
        "from self.np_random, seeded by super().reset(seed=seed).",
        compares=True,
        needs=("determinism",),
    ),
    "set_task": HostLaw(
        set_task,
        "Let set_task set everything that make sets, also what is computed from it (MuJoCo: also after reset); or leave "
        "set_task out, and an environment is made for every lifetime.",
        compares=True,
        needs=("determinism", "same task"),
    ),
    "fresh start": HostLaw(
        fresh_start,
        "Let set_task (or reset) put back everything that a lifetime changes: counters, caches, objects that were moved; or "
        "leave set_task out, and an environment is made for every lifetime.",
        compares=True,
        needs=("determinism", "same task", "set_task"),
    ),
    "spaces": HostLaw(spaces, LAWS["spaces"].remedy),
    "finite reward": HostLaw(finite_reward, LAWS["finite reward"].remedy),
    "endings": HostLaw(
        endings,
        "Set terminated only where the task itself ends an episode. A time limit is truncated: gymnasium.make(..., "
        "max_episode_steps=...) sets it, or from_gymnasium(..., horizon=...) alone.",
    ),
    "task-blindness": HostLaw(
        task_blindness,
        "Take it out of the observation; or, if agents are meant to see it, name it: from_gymnasium(..., shown=('name',)).",
        compares=True,
    ),
    "disjoint splits": HostLaw(
        disjoint_splits,
        "Let the split decide a part of the task that two splits can never share: other intervals, even and odd seeds, lists "
        "without a common entry.",
        plays=False,
    ),
    "description": HostLaw(description, LAWS["description"].remedy, plays=False),
    "references": HostLaw(references, LAWS["references"].remedy, plays=False),
    "speed": HostLaw(
        speed,
        "Draw no pictures while nobody looks, load files once and not per lifetime, give set_task where making takes long, and "
        "bound every loop and wait.",
        plays=False,
    ),
}
