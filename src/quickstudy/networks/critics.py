"""The critics of a soft actor-critic: two networks that value actions, given an observation and an embedding of the task.

Discrete actions have one output each. A continuous action is an input beside the observation, and there is one output.
"""

import equinox as eqx
import gymnasium
from jaxtyping import Array, PRNGKeyArray

from quickstudy.networks.layers import Perceptron
from quickstudy.numerics.distributions import Categorical, Policy
from quickstudy.numerics.soft_actor_critic import expected_soft_value
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import encode, flat_size


def critic(spec: Spec, hidden_sizes: tuple[int, ...], embedding_size: int, key: PRNGKeyArray) -> Perceptron:
    """A critic before any training."""
    seen, size = flat_size(spec.observation_space), embedding_size
    if isinstance(spec.action_space, gymnasium.spaces.Discrete):
        return Perceptron(seen + size, hidden_sizes, int(spec.action_space.n), gain=0.1, key=key)
    return Perceptron(seen + size + flat_size(spec.action_space), hidden_sizes, 1, gain=0.1, key=key)


def values_of(critics: Perceptron, seen: Array, embedding: Array, done: Array | None, spec: Spec) -> Array:
    """Both critics `[2, ...]`: of discrete actions all values `[..., n]` where `done` is None, else that of the action."""
    discrete = isinstance(spec.action_space, gymnasium.spaces.Discrete)
    parts = (seen, embedding) if discrete or done is None else (seen, embedding, done)
    values = eqx.filter_vmap(lambda critic: critic(*parts))(critics)
    if not discrete:
        return values[..., 0]
    return values if done is None else (values * done[None]).sum(-1)


def soft_value(
    critics: Perceptron, policy: Policy, seen: Array, embedding: Array, temperature: Array, key: PRNGKeyArray, spec: Spec
) -> tuple[Array, Array]:
    """Soft values under the policy, and its entropy: both from one drawn action where actions are continuous."""
    if isinstance(policy, Categorical):
        return expected_soft_value(values_of(critics, seen, embedding, None, spec).min(0), policy.logits, temperature)
    action = policy.sample(key)
    log_probability = policy.log_probability(action)
    value = values_of(critics, seen, embedding, encode(action, spec.action_space), spec).min(0)
    return value - temperature * log_probability, -log_probability
