"""The no-memory ablation: an agent whose memory is reset again and again, so that it keeps nothing that it learned.

    lifetime                                  memory begins anew
    several episodes of several steps         after the last step of every episode
    one episode, or episodes of one step      after every step (with a cadence above 1: after every chunk)

All else is the agent's own: parameters, observations, and the randomness up to the first reset. If the agent has a higher
return than this one, the difference comes from its memory.
"""

import jax
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.evaluation.measures import by_episode
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Transition
from quickstudy.protocol.sequences import where
from quickstudy.rollout.wrapping import wrapped

_ANEW = 2**31 - 1
"""Folded into the key of `adapt` for the reset; no `adapt` folds a number of this size into its key."""


def without_memory(agent: Agent) -> Agent:
    """The same agent, but its memory begins anew at every episode, or at every step where episodes would make no difference.

    Args:
      agent: to wrap. Parameters and memory keep their structure.
    """
    episodes = by_episode(agent.spec)

    def adapt(params: PyTree, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        anew = agent.begin(params, jax.random.fold_in(key, _ANEW))
        if episodes:
            # Chunks lie within an episode, or hold whole ones.
            return where(experience.boundary.any(), anew, agent.adapt(params, memory, experience, key))
        return where(experience.valid.any(), anew, memory)

    return wrapped(agent, begin=agent.begin, act=agent.act, adapt=adapt, exchangeable=False)
