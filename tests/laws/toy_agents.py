"""Untrained agents of every kind that the protocol allows: any cadence, order-bound or exchangeable, random memory."""

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, record
from quickstudy.protocol.spaces import flat_size


@record
class Tally:
    """Per action: how often it was taken `[actions]`, and the reward that came of it `[actions]`."""

    taken: Float[Array, " actions"]
    reward: Float[Array, " actions"]


def one_hot_action(spec, action):
    return jax.nn.one_hot(action - int(spec.action_space.start), int(spec.action_space.n))


def from_logits(spec, logits, key):
    """A decision drawn from a softmax."""
    number = jax.random.categorical(key, logits)
    extras = {"log_probability": jax.nn.log_softmax(logits)[number], "policy": logits}
    return Decision(action=number.astype(jnp.int32) + int(spec.action_space.start), extras=extras)


def tally_agent(spec, *, cadence=1):
    """Exchangeable: prefers actions whose mean reward was high; looks at the observation not at all."""

    def begin(params, key):
        del params, key
        zeros = jnp.zeros(int(spec.action_space.n))
        return Tally(taken=zeros, reward=zeros)

    def act(params, memory, observation, key):
        del observation
        return from_logits(spec, params * memory.reward / (memory.taken + 1.0), key)

    def adapt(params, memory, experience, key):
        del params, key
        taken = jnp.where(experience.valid[:, None], one_hot_action(spec, experience.decision.action), 0.0)
        reward = taken * experience.outcome.reward[:, None]
        return Tally(taken=memory.taken + taken.sum(axis=0), reward=memory.reward + reward.sum(axis=0))

    return Agent(
        spec=spec,
        init=lambda key: 2.0 + jax.random.uniform(key),
        begin=begin,
        act=act,
        adapt=adapt,
        cadence=cadence,
        exchangeable=True,
    )


@record
class Trace:
    """A fading trace of everything that was lived `[size]`, and a random number of this lifetime `[]`."""

    trace: Float[Array, " size"]
    luck: Float[Array, ""]


def trace_agent(spec, *, cadence=1, size=5):
    """Order-bound: its memory is a random recurrent network of everything, and `begin` and `adapt` draw from their keys."""

    def observed(observation):
        if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
            return jax.nn.one_hot(observation, int(spec.observation_space.n))
        return observation.reshape(-1)

    def everything(step):
        told = (step.outcome.reward, step.boundary, step.outcome.terminated)
        return jnp.concatenate(
            [
                observed(step.observation),
                observed(step.outcome.observation),
                one_hot_action(spec, step.decision.action),
                jnp.stack([jnp.asarray(x, jnp.float32) for x in told]),
            ]
        )

    def init(key: PRNGKeyArray):
        seen, actions = flat_size(spec.observation_space), int(spec.action_space.n)
        keys = jax.random.split(key, 3)
        return {
            "into": jax.random.normal(keys[0], (size, 2 * seen + actions + 3)),
            "around": jax.random.normal(keys[1], (size, size)) / size**0.5,
            "out": jax.random.normal(keys[2], (actions, size + 1 + seen)),
        }

    def begin(params, key):
        del params
        return Trace(trace=jnp.zeros(size), luck=jax.random.uniform(key))

    def act(params, memory, observation, key):
        seen = jnp.concatenate([memory.trace, memory.luck[None], observed(observation)])
        return from_logits(spec, params["out"] @ seen, key)

    def adapt(params, memory, experience, key):
        def take_in(trace, step):
            following = jnp.tanh(params["around"] @ trace + params["into"] @ everything(step))
            return jnp.where(step.valid, following, trace), None

        trace, _ = jax.lax.scan(take_in, memory.trace, experience)
        luck = jnp.where(experience.valid.any(), jax.random.uniform(key), memory.luck)
        return Trace(trace=trace, luck=luck)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, cadence=cadence)
