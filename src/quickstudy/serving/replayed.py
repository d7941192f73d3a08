"""What another agent would have decided in logged lifetimes: its probability of every logged action.

The agent is replayed step by step. At each decision it sees the logged observation, and its policy gives the probabilities.
Then it adapts on the logged action and outcome, as if it had taken that action. It receives every outcome before its next
decision, as if no reward had come late. Outcomes that nothing was learned from are not valid, and change no memory.
"""

from collections.abc import Callable

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.numerics.distributions import Policy
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Outcome, blank_observation
from quickstudy.protocol.spaces import describe_space
from quickstudy.rollout.logged_slots import LoggedSlots, decisions_along
from quickstudy.serving.logged import LoggedDecisions

LoggedPolicy = Callable[[LoggedDecisions], np.ndarray]
"""Probabilities of a policy in logged lifetimes, given what happened before each decision.

They are `[lifetimes, steps, actions]`, of every action, or `[lifetimes, steps]`, of the logged action; densities for a Box.
"""

_LIFETIMES_AT_ONCE = 64


def agent_policy(agent: Agent, params: PyTree, *, seed: int = 0) -> LoggedPolicy:
    """The policy of an agent that adapts within each logged lifetime.

    Args:
      agent: that is evaluated; its spaces and horizon must be those of the log.
      params: its parameters, without a leading axis of seeds.
      seed: of the randomness of its memory.
    Raises:
      UsageError: the agent does not tell its policy. The returned function raises it where the log does not fit the agent.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    memory = jax.eval_shape(agent.begin, params, key)
    decision = jax.eval_shape(agent.act, params, memory, blank_observation(agent.spec), key)
    if not isinstance(decision.extras.get("policy"), Policy):
        raise UsageError(
            "this agent does not tell its policy, so the probability of a logged action is not known. Evaluate an agent whose "
            'decisions have the extra "policy", or give a function of your own.'
        )
    replay = jax.jit(lambda *args: jax.lax.map(lambda one: _replayed(agent, params, *one), args, batch_size=_LIFETIMES_AT_ONCE))

    def probabilities(log: LoggedDecisions) -> np.ndarray:
        check_fits(agent, log)
        laid, keys = at_slots(log, agent), jax.random.split(jax.random.key(seed), len(log.lifetimes))
        found = np.asarray(replay(laid, keys), np.float64)
        return np.exp(np.minimum(found[np.arange(len(found))[:, None], log.slots], 700.0))

    return probabilities


def _replayed(agent: Agent, params: PyTree, lifetime: LoggedSlots, key: PRNGKeyArray) -> Float[Array, "slots *actions"]:
    """Log-probabilities at every slot of one lifetime: of every action where actions are Discrete, else of the logged one."""
    space = agent.spec.action_space

    def found(policy: Policy, action: Array) -> Array:
        if isinstance(space, gymnasium.spaces.Discrete):
            every = jnp.arange(int(space.start), int(space.start) + int(space.n), dtype=action.dtype)
            return jax.vmap(policy.log_probability)(every)
        return policy.log_probability(action)

    own = decisions_along(agent, params, lifetime, key)
    return jax.vmap(found)(own.extras["policy"], lifetime.action)


def at_slots(log: LoggedDecisions, agent: Agent) -> LoggedSlots:
    """The log `[lifetimes, slots, ...]`; a slot without a decision repeats the one before it, not valid.

    Args:
      log: of lifetimes.
      agent: whose cadence divides the number of slots.
    """
    slots = -(-(int(log.slots.max()) + 1) // agent.cadence) * agent.cadence
    at = np.zeros((len(log.lifetimes), slots), int)
    happened = np.zeros(at.shape, bool)
    rows = np.arange(len(at))[:, None]
    place = np.broadcast_to(np.arange(log.slots.shape[1]), log.slots.shape)
    made = np.where(log.valid)
    at[made[0], log.slots[made]] = place[made]
    happened[made[0], log.slots[made]] = True
    at = np.maximum.accumulate(at, axis=1)
    seen = blank_observation(agent.spec).dtype
    return LoggedSlots(
        observation=jnp.asarray(log.observations[rows, at], seen),
        action=jnp.asarray(log.actions[rows, at]),
        outcome=Outcome(
            observation=jnp.asarray(log.successors[rows, at], seen),
            reward=jnp.asarray(log.rewards[rows, at], jnp.float32),
            terminated=jnp.asarray(log.terminated[rows, at]),
            truncated=jnp.asarray(log.truncated[rows, at]),
        ),
        slot=jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32), at.shape),
        valid=jnp.asarray(happened & log.learned[rows, at]),
    )


def check_fits(agent: Agent, log: LoggedDecisions) -> None:
    """Raises UsageError unless an agent has the spaces and the horizon of a log."""
    for part in ("observation_space", "action_space"):
        own, logged = (describe_space(getattr(spec, part)) for spec in (agent.spec, log.spec))
        if own != logged:
            raise UsageError(
                f"{part} of this agent is {own}, and the log has {logged}. Evaluate an agent with the same spaces."
            )
    if agent.spec.horizon != log.spec.horizon or int(log.slots.max()) >= agent.spec.lifetime_steps:
        raise UsageError(
            f"this agent has {agent.spec.episodes} episodes of {agent.spec.horizon} steps, and the log has episodes of "
            f"{log.spec.horizon} steps up to step {int(log.slots.max()) + 1}. Evaluate an agent with the same horizon, or "
            "fewer decisions."
        )
