"""An agent whose chances are easily worked out by hand."""

import jax
import jax.numpy as jnp

from laws.toy_agents import Tally, one_hot_action
from quickstudy.numerics.distributions import Categorical
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision


def soft_agent(spec, *, sharpness=1.0):
    """Prefers arms that paid, by a softmax."""

    def begin(params, key):
        del params, key
        return Tally(taken=jnp.zeros(int(spec.action_space.n)), reward=jnp.zeros(int(spec.action_space.n)))

    def act(params, memory, observation, key):
        del params, observation
        policy = Categorical(logits=jax.nn.log_softmax(sharpness * memory.reward / (1.0 + memory.taken)))
        action = policy.sample(key)
        return Decision(action=action, extras={"policy": policy, "log_probability": policy.log_probability(action)})

    def adapt(params, memory, experience, key):
        del params, key
        taken = jnp.where(experience.valid[:, None], one_hot_action(spec, experience.decision.action), 0.0)
        reward = taken * experience.outcome.reward[:, None]
        return Tally(taken=memory.taken + taken.sum(axis=0), reward=memory.reward + reward.sum(axis=0))

    return Agent(spec=spec, init=lambda key: jnp.zeros(()), begin=begin, act=act, adapt=adapt)
