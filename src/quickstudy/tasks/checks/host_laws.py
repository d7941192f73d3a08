"""The laws of a distribution of tasks outside JAX.

| law | what is checked |
|---|---|
| sampling | a generator of the same seed gives the same task; tasks are numbers and arrays of one structure in every split |
| shapes | observations, rewards, endings and measures are what the spec and `measures` promise, for every task |
| determinism | the same task and key give the same lifetime in another environment |
| same task | the task affects every episode; an episode changes neither the task nor the next episode |
| set_task | an environment that is set to a task behaves like one that is made for it |
| fresh start | earlier lifetimes in an environment have no effect on the next lifetime |
| speed | steps and new lifetimes are fast enough to learn from, and every call returns |

and those of `laws.py`. Environments keep a state of their own, so whole lifetimes are compared: with the same key and the same
random actions, so that exactly one thing differs. A law is not tried while one that it `needs` is broken, since it would find
the same fault again.
"""

from collections.abc import Iterator
from functools import partial

import jax

from quickstudy.tasks.checks import laws
from quickstudy.tasks.checks.host_comparison import Comparison, difference, later, signal
from quickstudy.tasks.checks.host_episodes import HostTrial
from quickstudy.tasks.checks.host_player import BEGIN
from quickstudy.tasks.checks.laws import FEWEST_TASKS, Law, one_task
from quickstudy.tasks.checks.trees import same
from quickstudy.tasks.gymnasium import GymnasiumEnvironment

_FEWEST_STEPS_A_SECOND = 100
_LONG_STEP = 0.3  # of the budget of seconds
_LONG_BEGIN_SECONDS = 0.02


def determinism(trial: HostTrial) -> Iterator[str]:
    """The same task and key, in two environments."""
    comparison = trial.comparison
    once = comparison.fresh(0)
    with trial.player() as player:
        seen = difference(once, comparison.run(player, 0))
    if seen:
        yield f"the same task, seed and actions go differently in another environment newly opened: {seen}."


def same_task(trial: HostTrial) -> Iterator[str]:
    """The task affects every episode; episodes do not change it."""
    comparison = trial.comparison
    yield from _indifference(comparison)
    with trial.player() as player:
        player.begin(one_task(trial), comparison.key)
        once = list(comparison.episode(player, 0))
        given, untouched = player.given, trial.distribution.as_drawn(one_task(trial))
        if str(jax.tree.structure(given)) != str(jax.tree.structure(untouched)) or not same(given, untouched):
            yield "the environment changes the task that it is given."
            return
        seen = difference(once, list(comparison.episode(player, 0)))
    if seen:
        yield f"an episode that is begun again with the same seed goes otherwise than the first time: {seen}."


def set_task(trial: HostTrial) -> Iterator[str]:
    """An environment that was begun on one task and then set to another, compared with one that was made for it."""
    comparison = trial.comparison
    for other in comparison.others[:1]:
        for before, task in ((other, 0), (0, other)):
            made = comparison.fresh(task)
            with trial.player() as player:
                if isinstance(player.environment, GymnasiumEnvironment) and player.environment.set_task is None:
                    return
                player.begin(one_task(trial, before), comparison.key)
                player.reset(0)
                seen = difference(made, comparison.run(player, task))
            if seen:
                yield f"an environment that is set to a task behaves differently from one that is made for it: {seen}."
                return


def fresh_start(trial: HostTrial) -> Iterator[str]:
    """A lifetime in an environment in which other lifetimes were played before."""
    comparison = trial.comparison
    once = comparison.fresh(0)
    with trial.player() as player:
        comparison.run(player, 0)
        seen = difference(once, comparison.run(player, 0))
        if seen:
            yield f"a lifetime that is repeated in the same environment goes differently: {seen}."
            return
        for number in (*comparison.others[:1], 0):
            seen = difference(comparison.fresh(number), comparison.run(player, number))
            if seen:
                yield f"a lifetime goes differently after one on another task in the same environment: {seen}."
                return


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
    played = len(trial.episodes["train"].valid) if trial.episodes else FEWEST_TASKS
    if played < FEWEST_TASKS:
        yield f"?only {played} of 'train' could be played, too few to tell whether observations show the task."
    if trial.untried:
        yield f"?there was no time to try: {', '.join(trial.untried)}."


def _indifference(comparison: Comparison) -> Iterator[str]:
    """Whether lifetimes on different tasks are the same, from the first episode on or in all that follow it."""
    once = comparison.fresh(0)
    lifetimes = [once]
    differs, differs_later = False, not later(once)
    for number in comparison.others:
        lifetimes.append(comparison.fresh(number))
        differs |= difference(once, lifetimes[-1]) is not None
        differs_later |= difference(later(once), later(lifetimes[-1])) is not None
        if differs and differs_later:
            return
    if not comparison.others:
        return
    certain = signal([later(lifetime) or lifetime for lifetime in lifetimes])
    mark = "" if certain else "?"
    excuse = "" if certain else " (or random actions never meet what it decides: their rewards were always the same)"
    if not differs:
        count = len(lifetimes)
        yield f"{mark}{count} different tasks go alike with the same seed and actions: the task decides nothing{excuse}."
    else:
        yield f"{mark}different tasks go alike after the first episode: reset draws another task, or forgets it{excuse}."


HOST_LAWS: dict[str, Law] = {
    "sampling": Law(
        laws.already_looked,
        "Draw everything with the generator that sample_task is given (generator.uniform, .integers, .choice), and return a "
        "number, an array, or a dict or quickstudy.record of them, with the same names and shapes each time.",
        plays=False,
    ),
    "shapes": Law(
        laws.already_looked,
        "Let make, reset(self, *, seed=None, options=None) -> (observation, info) and step(self, action) -> (observation, "
        "reward, terminated, truncated, info) run without an error for every task, and give what the environment's spaces say.",
        plays=False,
    ),
    "determinism": Law(
        determinism,
        "Call super().reset(seed=seed) at the top of reset and draw all random numbers from self.np_random; use no "
        "functions of random or np.random, no clock, and nothing that environments share.",
    ),
    "same task": Law(
        same_task,
        "Let make (or set_task) give the task to the environment, draw no other in reset, never write into it, and let reset "
        "restore everything else (a wrapper that keeps running averages does not); draw random "
        "numbers from self.np_random, seeded by super().reset(seed=seed).",
        needs=("determinism",),
    ),
    "set_task": Law(
        set_task,
        "Let set_task set everything that make sets, and everything computed from it (MuJoCo: also after reset); or leave "
        "set_task out, and an environment is made for every lifetime.",
        needs=("determinism", "same task"),
    ),
    "fresh start": Law(
        fresh_start,
        "Let set_task (or reset) restore everything that a lifetime changes: counters, caches, objects that were moved; or "
        "leave set_task out, and an environment is made for every lifetime.",
        needs=("determinism", "same task", "set_task"),
    ),
    "spaces": laws.SPACES,
    "finite reward": laws.FINITE_REWARD,
    "endings": Law(
        partial(laws.endings, may_coincide=True),
        "Set terminated only where the task itself ends an episode. A time limit is truncated: gymnasium.make(..., "
        "max_episode_steps=...) sets it, or from_gymnasium(..., horizon=...) alone.",
    ),
    "task-blindness": Law(
        laws.task_blindness,
        "Take it out of the observation; or, if agents are meant to see it, name it: from_gymnasium(..., shown=('name',)).",
    ),
    "disjoint splits": Law(
        laws.disjoint_splits,
        "Let the split decide a part of the task that two splits can never share: other intervals, even and odd seeds, lists "
        "without a common entry.",
        plays=False,
    ),
    "description": laws.DESCRIPTION,
    "references": laws.REFERENCES,
    "speed": Law(
        speed,
        "Render only when asked to, load files once and not per lifetime, give set_task where making takes long, and "
        "bound every loop and wait.",
        plays=False,
    ),
}
