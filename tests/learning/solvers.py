"""Hand-written agents for the riddles: what the optimum takes, and what is lost without one ability."""

import jax
import jax.numpy as jnp

from learning.probes import ASKS, SHOWS
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision

CERTAIN = 100.0


def solver(spec, *, sees_ends=True, forgets=False, always_asked=False):
    """Remembers what was shown and what paid, and rules out what did not.

    Without `sees_ends` it misses the successors; with `forgets` it loses everything at the end of an episode.
    """
    answers = int(spec.action_space.n)

    def shown(observation):
        number = jnp.int32(ASKS) if always_asked else observation
        return CERTAIN * jax.nn.one_hot(number - SHOWS, answers)

    def act(params, memory, observation, key):
        del params
        # Equal scores are drawn from at random, so that every order of guesses is as likely.
        score = memory + shown(observation) + 0.1 * jax.random.uniform(key, (answers,))
        return Decision(action=jnp.argmax(score).astype(jnp.int32), extras={})

    def adapt(params, memory, experience, key):
        del params, key
        step = jax.tree.map(lambda leaf: leaf[0], experience)
        chosen = jax.nn.one_hot(step.decision.action, answers)
        asked = jnp.asarray(True) if always_asked else step.observation != 0
        told = jnp.where(step.outcome.reward > 0.5, CERTAIN, jnp.where(asked, -1.0, 0.0))
        after = memory + shown(step.observation) + told * chosen
        after = after + shown(step.outcome.observation) if sees_ends else after
        after = jnp.where(step.boundary & forgets, jnp.zeros_like(after), after)
        return jnp.where(step.valid, after, memory)

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.zeros(answers),
        act=act,
        adapt=adapt,
    )


def switch_solver(spec):
    """Reads from the lamps which of its settings were right, and rules out those that were not, switch by switch."""
    counts = jnp.asarray(spec.action_space.nvec, jnp.int32)[:, None]
    most = int(spec.action_space.nvec.max())

    def act(params, memory, observation, key):
        del params, observation
        score = memory + 0.1 * jax.random.uniform(key, memory.shape)
        possible = jnp.arange(most)[None] < counts
        return Decision(action=jnp.where(possible, score, -jnp.inf).argmax(-1).astype(jnp.int32), extras={})

    def adapt(params, memory, experience, key):
        del params, key
        step = jax.tree.map(lambda leaf: leaf[0], experience)
        lit = (step.outcome.observation - 1) // jnp.asarray([4, 2, 1], jnp.int32) % 2
        chosen = jax.nn.one_hot(step.decision.action, most)
        return jnp.where(step.valid, memory + jnp.where(lit[:, None] == 1, CERTAIN, -1.0) * chosen, memory)

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.zeros((len(counts), most)),
        act=act,
        adapt=adapt,
    )


def memoriser(distribution, *, drawn=4096):
    """Knows the training riddles by heart: it answers as the riddle of the nearest number is answered."""
    riddles = distribution.sample_tasks("train", jax.random.key(3), tasks=drawn)

    def act(params, memory, observation, key):
        del params, memory, key
        nearest = jnp.argmin(jnp.abs(riddles.number - observation))
        return Decision(action=riddles.answer[nearest], extras={})

    return Agent(
        spec=distribution.spec,
        init=lambda key: (),
        begin=lambda params, key: (),
        act=act,
        adapt=lambda params, memory, experience, key: memory,
    )
