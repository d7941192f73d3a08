"""What agents that decide by a policy say: an action that is drawn from it or its mean, and what they expect."""

import dataclasses

import jax
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.records import Decision, Spec, Transition


def drawn(extras: dict[str, PyTree], key: PRNGKeyArray) -> Decision:
    """An action from `extras["policy"]` at one step, with its log-probability beside the extras."""
    action = extras["policy"].sample(key)
    return Decision(action=action, extras=extras | {"log_probability": extras["policy"].log_probability(action)})


def drawn_along(extras: dict[str, PyTree], key: Key[Array, "*lifetimes"], spec: Spec) -> Decision:
    """`drawn` at every step of lifetimes `[T, *lifetimes]`, with the keys that `act` is given there; `key` `[*lifetimes]`."""
    draw = lambda extras, key: jax.vmap(drawn)(extras, slot_keys(key, spec)[:-1, 1])  # noqa: E731
    for _ in range(key.ndim):
        draw = jax.vmap(draw, (1, 0), 1)
    return draw(extras, key)


def without_draws(agent: Agent) -> Agent:
    """The agent that takes the mean of each policy, or the likeliest of choices; its policy says that this is certain.

    Args:
      agent: its decisions carry `policy`, and are drawn from it with the key of `act`.
    """

    def act(params: PyTree, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        return drawn(_certain(agent.act(params, memory, observation, key)), key)

    def unroll(params: PyTree, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[PyTree, Decision]:
        memory, decisions = agent.unroll(params, lifetimes, key)
        return memory, drawn_along(_certain(decisions), key, agent.spec)

    return dataclasses.replace(agent, act=act).with_fast_unroll(unroll)


def with_regret(agent: Agent) -> Agent:
    """The agent whose decisions carry `regret` in place of `value`.

    Args:
      agent: its `value` was learned from rewards minus the ceiling of the task. So `regret` is minus this value, reward units.
    """

    def act(params: PyTree, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        return _regretting(agent.act(params, memory, observation, key))

    def unroll(params: PyTree, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[PyTree, Decision]:
        memory, decisions = agent.unroll(params, lifetimes, key)
        return memory, _regretting(decisions)

    return dataclasses.replace(agent, act=act).with_fast_unroll(unroll)


def _regretting(decision: Decision) -> Decision:
    extras = {name: extra for name, extra in decision.extras.items() if name != "value"}
    return dataclasses.replace(decision, extras=extras | {"regret": -decision.extras["value"]})


def _certain(decision: Decision) -> dict[str, PyTree]:
    return decision.extras | {"policy": decision.extras["policy"].certain()}
