"""One small network that scores every Discrete action in turn, with the same weights.

    about_a = relu(W [what memory holds about a, the clock, seen])      the same W for every action a
    all     = relu(V [mean over a of about_a, largest of about_a, the clock, seen])
    score_a = U relu(X [about_a, all])                                  policy = softmax(score)          value = v(all)

Training on one action also trains the scores of the others. No weight depends on the number of actions, so trained weights
serve tasks with more actions, or with fewer. If the actions' numbers mean something (moves on a grid), `names` identifies the
actions.

Source: deep sets, Zaheer et al. 2017. Changed: mean and largest are both pooled.
"""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.networks.actor_critic import ActorCritic
from quickstudy.networks.layers import Dense, largest
from quickstudy.networks.memory_network import MemoryNetwork, MemoryNetworkConfig
from quickstudy.networks.normalisation import Statistics
from quickstudy.numerics.distributions import policy_over
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import flat_size

_FIRST_LOGITS = 3.0
"""Factor of the scores: with small first weights the policy starts close to uniform, and still learns fast."""


class ActionScores(MemoryNetwork):
    """The trained weights."""

    about: Dense
    about_whole: Dense
    together: Dense
    of_action: Dense
    of_all: Dense
    score: Dense
    critic: Dense
    value: Dense
    named: bool = eqx.field(static=True)

    def __init__(self, spec: Spec, config: MemoryNetworkConfig, *, key: PRNGKeyArray):
        """The policy starts close to uniform, the value at zero.

        Args:
          spec: of the tasks; Discrete actions.
          config: the architecture.
          key: of the first weights.
        Raises:
          SpecError: actions that are not Discrete, or a core that does not store every action separately.
        """
        keys = jax.random.split(key, 10)
        super().__init__(spec, config, key_encoder=keys[0], key_core=keys[1])
        if not self.core.each:
            raise SpecError(
                f"scores_alike needs Discrete actions and a core that remembers every action apart, such as associative; "
                f"came {spec.action_space} and the core {config.cell}."
            )
        self.named = spec.horizon > 1 if config.names_actions is None else config.names_actions
        actions, small, size = flat_size(spec.action_space), config.score_size, config.hidden_size
        whole = self.core.size(spec) - actions * self.core.each + self.encoder.size
        gain = 2.0**0.5
        self.about = Dense(self.core.each + self.named * actions, small, gain=1.0, key=keys[2])
        self.about_whole = Dense(whole, small, gain=1.0, key=keys[9])
        self.together = Dense(2 * small + whole, size, gain=gain, key=keys[3])
        self.of_action = Dense(small, small, gain=1.0, key=keys[4])
        self.of_all = Dense(size, small, gain=1.0, key=keys[5])
        self.score = Dense(small, 1, gain=0.1, key=keys[6])
        self.critic = Dense(size, size, gain=gain, key=keys[7])
        self.value = Dense(size, 1, gain=0.1, key=keys[8])

    def decide(
        self, statistics: Statistics, read: Float[Array, "*time read"], seen: Float[Array, "*time size"], spec: Spec
    ) -> dict[str, PyTree]:
        """Policy and value, from what was read of the memory and the encoded observation."""
        actions, each = flat_size(spec.action_space), self.core.each
        of_each = read[..., : actions * each].reshape(*read.shape[:-1], actions, each)
        whole = jnp.concatenate([read[..., actions * each :], seen], axis=-1)
        names = [jnp.broadcast_to(jnp.eye(actions), (*of_each.shape[:-1], actions))] if self.named else []
        about = jax.nn.relu(self.about(of_each, *names) + self.about_whole(whole)[..., None, :])
        together = jax.nn.relu(self.together(about.mean(-2), largest(about), whole))
        judged = jax.nn.relu(self.of_action(about) + self.of_all(together)[..., None, :])
        value = self.value(jax.nn.relu(self.critic(together)))[..., 0]
        return {
            "policy": policy_over(_FIRST_LOGITS * self.score(judged)[..., 0], spec.action_space),
            "value": value * statistics.scale(statistics.value),
        }


def chosen_core(spec: Spec, config: MemoryNetworkConfig) -> MemoryNetworkConfig:
    """The configuration with a core that suits the tasks, where none is named."""
    if config.cell is not None:
        return config
    discrete = all(isinstance(space, gymnasium.spaces.Discrete) for space in (spec.observation_space, spec.action_space))
    return dataclasses.replace(config, cell="associative" if discrete else "gru")


def network_for(spec: Spec, config: MemoryNetworkConfig, *, key: PRNGKeyArray) -> ActorCritic | ActionScores:
    """The network that a configuration names.

    Args:
      spec: of the tasks.
      config: the architecture.
      key: of the first weights.
    Raises:
      SpecError: scores_alike where it cannot be.
    """
    config = chosen_core(spec, config)
    remembers_each = config.cell in ("associative", "attention") and isinstance(spec.action_space, gymnasium.spaces.Discrete)
    alike = remembers_each if config.scores_alike is None else config.scores_alike
    return (ActionScores if alike else ActorCritic)(spec, config, key=key)
