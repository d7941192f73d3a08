"""A network with a memory that decides by one shared layer, a policy head and a value head.

shared = relu(W [read, seen] + b)      policy = π(shared)      value = v(shared)
"""

import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.networks.layers import Dense
from quickstudy.networks.memory_network import MemoryNetwork, MemoryNetworkConfig
from quickstudy.networks.normalisation import Statistics
from quickstudy.numerics.distributions import policy_over, policy_parameters
from quickstudy.protocol.records import Spec


class ActorCritic(MemoryNetwork):
    """A network with one shared layer."""

    shared: Dense
    policy: Dense
    value: Dense

    def __init__(self, spec: Spec, config: MemoryNetworkConfig, *, memory_size: int | None = None, key: PRNGKeyArray):
        """The policy starts close to uniform, the value at zero.

        Args:
          spec: of the tasks.
          config: the architecture.
          memory_size: numbers about the past that the shared layer reads; those of the core if not given.
          key: of the first weights.
        """
        keys, size = jax.random.split(key, 4), config.hidden_size
        super().__init__(spec, config, key_encoder=jax.random.fold_in(key, 2), key_core=keys[0])
        read = self.core.size(spec) if memory_size is None else memory_size
        self.shared = Dense(read + self.encoder.size, size, gain=2.0**0.5, key=keys[1])
        self.policy = Dense(size, policy_parameters(spec.action_space), gain=0.01, key=keys[2])
        self.value = Dense(size, 1, gain=0.1, key=keys[3])

    def features(self, *parts: Float[Array, "*time _"]) -> Float[Array, "*time hidden"]:
        """What the heads read: the shared layer on what was read of the memory and on the encoded observation."""
        return jax.nn.relu(self.shared(*parts))

    def heads(self, features: Float[Array, "*time hidden"], statistics: Statistics, spec: Spec) -> dict[str, PyTree]:
        """`policy`, a distribution over actions `[*time]`, and `value` `[*time]`, in reward units."""
        return {
            "policy": policy_over(self.policy(features), spec.action_space),
            "value": self.value(features)[..., 0] * statistics.scale(statistics.value),
        }

    def decide(
        self, statistics: Statistics, read: Float[Array, "*time read"], seen: Float[Array, "*time size"], spec: Spec
    ) -> dict[str, PyTree]:
        """Policy and value, from what was read of the memory and the encoded observation."""
        return self.heads(self.features(read, seen), statistics, spec)
