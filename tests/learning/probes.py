"""Nine small task distributions, each of which only an agent with one certain ability can solve, with exact optima.

In the riddles a hidden answer is to be given. What is seen is a number: 0 means nothing, 1 asks for the answer, and 2 + a shows
that the answer is a. `blind` is the return of the best agent that lacks the ability; a score of 0 is blind, 1 is optimal.
"""

import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.protocol.records import Outcome, Spec, Transition, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit

SPLITS = ("train", "test")
NOTHING, ASKS, SHOWS = 0, 1, 2
GRADES = {"failed": -np.inf, "passable": 0.5, "good": 0.8, "optimal": 0.95}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """`blind` and `optimum` are exact expected lifetime returns; `steps` is the budget of a small network."""

    distribution: TaskDistribution
    blind: float
    optimum: float
    steps: int

    def score(self, lifetimes: Transition) -> float:
        """Where the mean return of lifetimes `[lifetimes, T]` lies between blind (0) and optimal (1)."""
        return (float(lifetimes.outcome.reward.sum(-1).mean()) - self.blind) / (self.optimum - self.blind)


def grade(score: float) -> str:
    """The best grade that a score reaches."""
    return [name for name, least in GRADES.items() if score >= least][-1]


@record
class Riddle:
    """`answer` `[]`: the action that pays; `number` `[]` in [0, 1) tells riddles apart."""

    answer: Int[Array, ""]
    number: Float[Array, ""]


def sample_riddle(split, key, *, answers):
    key_answer, key_number = jax.random.split(key)
    number = mark_split(jax.random.uniform(key_number), split, SPLITS)
    return Riddle(answer=jax.random.randint(key_answer, (), 0, answers), number=number)


def riddles(*, answers, episodes, horizon=1, **functions):
    """A distribution of riddles from `reset` and `step`; what else differs is given by name."""
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(SHOWS + answers),
        action_space=gymnasium.spaces.Discrete(answers),
        horizon=horizon,
        episodes=episodes,
    )
    parts = {
        "spec": spec,
        "sample": functools.partial(sample_riddle, answers=answers),
        "describe": lambda task: {"answer": task.answer},
    }
    return TaskDistribution(**(parts | functions))


def outcome(observation, reward, terminated=False):
    reward = jnp.asarray(reward, jnp.float32)
    return Outcome(observation=observation, reward=reward, terminated=jnp.asarray(terminated), truncated=jnp.asarray(False))


def value_of_guessing(*, answers, episodes, shown=0.0):
    """Best expected return where each answer that fails is ruled out, and each episode shows the answer with some chance."""
    if episodes == 0:
        return 0.0
    later = functools.partial(value_of_guessing, episodes=episodes - 1, shown=shown)
    guess = episodes / answers + (answers > 1) * (1 - 1 / answers) * later(answers=max(answers - 1, 1))
    return shown * episodes + (1 - shown) * guess


def constant_reward():
    """Every step pays 1, whatever is done: only the value can be learned, so the score is the value's accuracy."""

    def step(task, state, action, key):
        return state, outcome(jnp.int32(ASKS) + 0 * task.answer, 1.0)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class ValueProbe(Probe):
        def score(self, lifetimes):
            reward = np.asarray(lifetimes.outcome.reward)
            remaining = reward[:, ::-1].cumsum(1)[:, ::-1]
            return 1 - float(np.abs(np.asarray(lifetimes.decision.extras["value"]) - remaining).mean() / remaining.mean())

    distribution = riddles(answers=2, episodes=2, horizon=3, reset=lambda task, key: (jnp.int32(0), jnp.int32(ASKS)), step=step)
    return ValueProbe(distribution=distribution, blind=6.0, optimum=6.0, steps=40_000)


def answer_shown(*, answers=4, episodes=4):
    """The observation shows the answer: the head must read it."""

    def step(task, state, action, key):
        return state, outcome(SHOWS + task.answer, action == task.answer)

    distribution = riddles(
        answers=answers,
        episodes=episodes,
        reset=lambda task, key: (jnp.int32(0), SHOWS + task.answer),
        step=step,
        shown=("answer",),
    )
    return Probe(distribution=distribution, blind=episodes / answers, optimum=episodes, steps=40_000)


def two_arms(*, pulls=6):
    """One of two arms pays, always: the reward must be remembered, with the action that it followed."""

    def step(task, state, action, key):
        return state, outcome(jnp.int32(ASKS), action == task.answer)

    distribution = riddles(answers=2, episodes=pulls, reset=lambda task, key: (jnp.int32(0), jnp.int32(ASKS)), step=step)
    return Probe(distribution=distribution, blind=pulls / 2, optimum=pulls - 0.5, steps=80_000)


def cue_at_reset(*, answers=6, episodes=6, chance=0.5):
    """Half of the first observations show the answer; it is asked for one step later, in every episode.

    An agent that forgets at the end of an episode does no better than the chance of being shown the answer in this one.
    """

    def reset(task, key):
        return jnp.int32(0), jnp.where(jax.random.bernoulli(key, chance), SHOWS + task.answer, NOTHING)

    def step(task, state, action, key):
        return state + 1, outcome(jnp.int32(ASKS), (state == 1) & (action == task.answer))

    distribution = riddles(answers=answers, episodes=episodes, horizon=2, reset=reset, step=step, shown=("answer",))
    return Probe(
        distribution=distribution,
        blind=episodes * (chance + (1 - chance) / answers),
        optimum=value_of_guessing(answers=answers, episodes=episodes, shown=chance),
        steps=350_000,
    )


def cue_at_end(*, answers=8, episodes=6):
    """The last observation of an episode, which ends early, shows the answer: one that is lost in a reset leaves guessing."""

    def step(task, state, action, key):
        return state, outcome(SHOWS + task.answer, action == task.answer, terminated=True)

    distribution = riddles(
        answers=answers,
        episodes=episodes,
        horizon=2,
        reset=lambda task, key: (jnp.int32(0), jnp.int32(ASKS)),
        step=step,
        shown=("answer",),
    )
    return Probe(
        distribution=distribution,
        blind=value_of_guessing(answers=answers, episodes=episodes),
        optimum=episodes - 1 + 1 / answers,
        steps=200_000,
    )


def value_of_two_arms(pulls):
    """Expected successes of the Bayes-optimal policy on two independent uniform arms, by dynamic programming."""

    @functools.cache
    def value(left, *counts):
        if left == 0:
            return 0.0
        best = 0.0
        for arm in (0, 2):
            paid = (counts[arm] + 1) / (counts[arm] + counts[arm + 1] + 2)
            after = [value(left - 1, *(c + (i == arm + failed) for i, c in enumerate(counts))) for failed in (0, 1)]
            best = max(best, paid * (1 + after[0]) + (1 - paid) * after[1])
        return best

    return value(pulls, 0, 0, 0, 0)


def bandit(*, pulls=10):
    """Two random arms with an exact Bayes optimum: exploring must be weighed against what is known."""
    return Probe(
        distribution=bernoulli_bandit(arms=2, pulls=pulls), blind=pulls / 2, optimum=value_of_two_arms(pulls), steps=350_000
    )


def held_out(*, answers=4, episodes=6, training_riddles=64):
    """A few training riddles that could be learned by heart from their visible number; the test ones are all new."""

    def sample(split, key):
        if split == "train":
            key = jax.random.fold_in(jax.random.key(1), jax.random.randint(key, (), 0, training_riddles))
        return sample_riddle(split, key, answers=answers)

    def step(task, state, action, key):
        return state, outcome(task.number[None], action == task.answer)

    spec = Spec(
        observation_space=gymnasium.spaces.Box(0.0, 1.0, (1,)),
        action_space=gymnasium.spaces.Discrete(answers),
        horizon=1,
        episodes=episodes,
    )
    distribution = riddles(
        answers=answers,
        episodes=episodes,
        spec=spec,
        sample=sample,
        reset=lambda task, key: (jnp.int32(0), task.number[None]),
        step=step,
        shown=("number",),
    )
    optimum = value_of_guessing(answers=answers, episodes=episodes)
    return Probe(distribution=distribution, blind=episodes / answers, optimum=optimum, steps=200_000)


SETTINGS = (3, 2, 2)
CODES = np.indices(SETTINGS).reshape(3, -1).T


def switches(*, shown, episodes=6):
    """A code of three switches, set by one action of three numbers; each pays where it is right.

    The code is shown before, or it is hidden and lamps show afterwards which switches were right, as the bits of a number.
    """
    codes, lamps = jnp.asarray(CODES, jnp.int32), jnp.asarray([4, 2, 1], jnp.int32)

    def step(task, state, action, key):
        right = action == codes[task.answer]
        seen = task.answer if shown else jnp.where(right, lamps, 0).sum()
        return state, outcome(1 + seen, right.sum())

    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1 + len(CODES)),
        action_space=gymnasium.spaces.MultiDiscrete(SETTINGS),
        horizon=1,
        episodes=episodes,
    )
    distribution = riddles(
        answers=len(CODES),
        episodes=episodes,
        spec=spec,
        reset=lambda task, key: (jnp.int32(0), 1 + task.answer if shown else jnp.int32(0)),
        step=step,
        shown=("answer",) if shown else (),
    )
    # The switches tell nothing of each other, so each is guessed by itself.
    guessed = sum(value_of_guessing(answers=settings, episodes=episodes) for settings in SETTINGS)
    optimum = float(len(SETTINGS) * episodes) if shown else guessed
    blind = episodes * sum(1 / settings for settings in SETTINGS)
    return Probe(distribution=distribution, blind=blind, optimum=optimum, steps=100_000 if shown else 350_000)


PROBES = {
    "constant reward": constant_reward,
    "answer shown": answer_shown,
    "two arms": two_arms,
    "cue at reset": cue_at_reset,
    "cue at end": cue_at_end,
    "bandit": bandit,
    "held-out riddles": held_out,
    "switches shown": functools.partial(switches, shown=True),
    "hidden switches": functools.partial(switches, shown=False),
}
