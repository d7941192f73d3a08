"""A task distribution in JAX under inspection: how it is played, and its laws.

    sampling            `sample` works under `vmap` in every split, and gives tasks of one structure
    shapes              the results of `reset` and `step` fit the spec; the state keeps its structure
    determinism         the same arguments give the same result, twice over and under `jit`
    same task           an episode leaves the task as it was, and the task affects what happens

and those of `laws.py` and `mean_rewards.py`. Functions are compared call by call: each is called again with the same
arguments. So a fault names the function, which a comparison of whole lifetimes, as outside JAX, could not do.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.baselines.random import uniform_action
from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.sequences import where
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks import laws
from quickstudy.tasks.checks.faults import MisfitError
from quickstudy.tasks.checks.laws import PLAYED_TASKS, Episodes, Law, one_task, played_tasks
from quickstudy.tasks.checks.mean_rewards import MEAN_REWARDS
from quickstudy.tasks.checks.small_agent import small_agent, small_lifetimes
from quickstudy.tasks.checks.trees import close, distinct, same, structure

_COMPARED_TASKS = 2
_COMPARED_STEPS = 4


@dataclasses.dataclass(kw_only=True)
class JaxTrial:
    """A `Trial` of a distribution in JAX."""

    distribution: TaskDistribution
    key: PRNGKeyArray
    key_tasks: PRNGKeyArray
    tasks: dict[str, PyTree] = dataclasses.field(default_factory=dict)
    episodes: dict[str, Episodes] = dataclasses.field(default_factory=dict)
    broken: set[str] = dataclasses.field(default_factory=set)
    untried: list[str] = dataclasses.field(default_factory=list)
    abandoned: bool = False

    def draw_tasks(self, samples: int) -> Iterator[str]:
        """Law "sampling": fills `tasks`."""
        draw = partial(self.distribution.sample_tasks, tasks=max(samples, PLAYED_TASKS))
        for split in self.distribution.splits:
            self.tasks[split] = tasks = draw(split, self.key_tasks)
            again = draw(split, self.key_tasks)
            first = next(iter(self.tasks))
            if not jax.tree.leaves(tasks):
                yield f"a task of {split!r} holds no array."
            elif structure(tasks) != structure(self.tasks[first]):
                other = structure(self.tasks[first])
                yield f"tasks of {split!r} and {first!r} are built differently: {structure(tasks)}; {other}."
            elif not same(tasks, again):
                yield f"sample({split!r}, key) gives another task when it is called again with the same key."
            elif distinct(tasks) == 1:
                yield f"?all tasks of {split!r} are one and the same; is the key used?"

    def play_episodes(self) -> Iterator[str]:
        """Fills `episodes`; finds nothing by itself."""
        play = jax.jit(jax.vmap(partial(_episode, self.distribution)))
        for split in self.tasks:
            tasks = played_tasks(self, split)
            count = jax.tree.leaves(tasks)[0].shape[0]
            self.episodes[split] = Episodes(*map(np.asarray, play(tasks, jax.random.split(self.key, count))))
        yield from ()

    def run_as_training(self) -> Iterator[str]:
        """A few lifetimes of an untrained agent in the compiled driver, with the actions that its policy draws."""
        distribution = small_lifetimes(self.distribution)
        agent = small_agent(distribution.spec)
        tasks, keys = (jax.tree.map(lambda x: x[:2], played_tasks(self, "train")), jax.random.split(self.key))

        def one(task: PyTree, key: PRNGKeyArray) -> PyTree:
            return run_lifetime(agent, distribution, agent.init(key), task, key)[0].outcome.reward

        jax.block_until_ready(jax.jit(jax.vmap(one))(tasks, keys))
        yield from ()

    def first_observations(self) -> Iterator[np.ndarray]:
        """Observations after a reset of the played training tasks with one key."""
        yield from np.asarray(jax.vmap(lambda task: self.distribution.reset(task, self.key)[1])(played_tasks(self, "train")))


def _episode(distribution: TaskDistribution, task: PyTree, key: PRNGKeyArray) -> Episodes:
    """One episode of uniformly random actions; after its end the state and the observation stay as they are."""
    key_reset, key_steps = jax.random.split(key)
    state, first = distribution.reset(task, key_reset)

    def slot(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, tuple]:
        state, over, observation = carry
        key_action, key_step = jax.random.split(key)
        action = uniform_action(distribution.spec.action_space, key_action)
        following, outcome = distribution.step(task, state, action, key_step)
        carry = (
            where(over, state, following),
            over | outcome.terminated | outcome.truncated,
            jnp.where(over, observation, outcome.observation),
        )
        return carry, (carry[2], outcome.reward, outcome.terminated, outcome.truncated, ~over)

    keys = jax.random.split(key_steps, distribution.spec.horizon)
    _, (observations, *rest) = jax.lax.scan(slot, (state, jnp.asarray(False), first), keys)
    return Episodes(jnp.concatenate([first[None], observations]), *rest)


def shapes(trial: JaxTrial) -> Iterator[str]:
    """Shapes and types of everything that `reset` and `step` return, found without running them."""
    distribution, task = trial.distribution, one_task(trial)
    action = uniform_action(distribution.spec.action_space, trial.key)
    try:
        state, _ = jax.eval_shape(distribution.reset, task, trial.key)
        jax.eval_shape(distribution.step, task, state, action, trial.key)
    except TaskDistributionError as error:  # what cannot be cast is named there
        raise MisfitError(str(error)) from error
    yield from ()


def determinism(trial: JaxTrial) -> Iterator[str]:
    """The same arguments, twice and under `jit`."""
    reset, step = trial.distribution.reset, trial.distribution.step
    for number in range(_COMPARED_TASKS):
        task = one_task(trial, number)
        key_action, key_reset, key_step = jax.random.split(jax.random.fold_in(trial.key, number), 3)
        action = uniform_action(trial.distribution.spec.action_space, key_action)
        state, _ = reset(task, key_reset)
        for name, function, arguments in (
            ("reset", reset, (task, key_reset)),
            ("step", step, (task, state, action, key_step)),
        ):
            once = function(*arguments)
            if not same(once, function(*arguments)):
                yield f"{name} gives something else when it is called again with the same arguments."
            # Wrapped in a new function, since JAX would otherwise reuse an earlier trace of this one.
            elif not close(once, jax.jit(lambda *given, function=function: function(*given))(*arguments)):
                yield f"{name} gives something else under jax.jit."


def same_task(trial: JaxTrial) -> Iterator[str]:
    """An episode leaves the task as it was, and what happens follows from the task that was given."""
    distribution, task, key = trial.distribution, one_task(trial), trial.key
    start = distribution.reset(task, key)
    repeats = same(start, distribution.reset(task, key))
    state = start[0]
    for key_step in jax.random.split(key, min(_COMPARED_STEPS, distribution.spec.horizon)):
        action = uniform_action(distribution.spec.action_space, key_step)
        state, _ = distribution.step(task, state, action, key_step)
    if repeats and not same(start, distribution.reset(task, key)):
        yield "after an episode was played, reset with the same task and key begins another one."
    if not _reads_task(distribution, task, key):
        yield "neither reset nor step reads the task: whatever is hidden is drawn anew by reset."


JAX_LAWS: dict[str, Law] = {
    "sampling": Law(
        laws.already_looked,
        "Draw everything with jax.random from the key, in shapes that depend on neither key nor split.",
        plays=False,
    ),
    "shapes": Law(
        shapes,
        "Make the spec and the functions agree; the state that step returns must have the structure of reset's.",
        plays=False,
    ),
    "determinism": Law(
        determinism,
        "Draw with jax.random from the key alone; keep no counter, clock or NumPy generator outside.",
    ),
    "same task": Law(same_task, "Draw the task in sample, read it in reset and step, and carry what changes in the state."),
    "spaces": laws.SPACES,
    "finite reward": laws.FINITE_REWARD,
    "endings": Law(
        partial(laws.endings, may_coincide=False),
        "Set terminated only where the task itself ends an episode, and truncated only where something else does. The horizon "
        "belongs to the rollout: leave both false there.",
    ),
    "task-blindness": Law(
        laws.task_blindness,
        "Take it out of the observation; or, if agents are meant to see it, name it: TaskDistribution(shown=('name',)).",
    ),
    "disjoint splits": Law(
        laws.disjoint_splits,
        "Let the split decide a part of the task that two splits can never share; "
        "task_distribution.mark_split does it for numbers in [0, 1).",
        plays=False,
    ),
    "description": laws.DESCRIPTION,
    "references": laws.REFERENCES,
    "mean rewards": MEAN_REWARDS,
}


def _reads_task(distribution: TaskDistribution, task: PyTree, key: PRNGKeyArray) -> bool:
    """Whether anything computed by `reset` or `step` has a leaf of the task among its inputs."""
    state, _ = jax.eval_shape(distribution.reset, task, key)
    action = uniform_action(distribution.spec.action_space, key)
    for function, others in ((distribution.reset, (key,)), (distribution.step, (state, action, key))):
        program = jax.make_jaxpr(function)(task, *others).jaxpr
        leaves = {id(variable) for variable in program.invars[: len(jax.tree.leaves(task))]}
        used = [variable for equation in program.eqns for variable in equation.invars] + list(program.outvars)
        if any(id(variable) in leaves for variable in used):
            return True
    return False
