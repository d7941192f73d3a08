"""Soft actor-critic's equations, each once (Haarnoja et al. 2018; Christodoulou 2019 for discrete actions)."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quickstudy.protocol.action_spaces import whole_numbers
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.spaces import ActionSpace

_NARROWEST = 3.0
"""Entropy, in nats per number of an action, of the uniform policy above one that is a twentieth as wide."""


def check_actions(space: ActionSpace, *, of: str, instead: str) -> None:
    """Raises SpecError unless soft actor-critic can act in a space: its actor needs a value for every action, or a gradient.

    Args:
      space: of the actions.
      of: the name of the algorithm.
      instead: names of algorithms that can act there.
    """
    if not isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.Box) or whole_numbers(space):
        raise SpecError(f"{of} needs Discrete actions or a Box of fractions; came {space!r}. Use {instead} instead.")


def expected_soft_value(
    values: Float[Array, "*shape n"], logits: Float[Array, "*shape n"], temperature: Float[Array, ""]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """The soft value of a state under a policy over n actions, and the entropy of the policy in nats.

        V = Σ_a π(a) (Q(a) − α log π(a))

    Args:
      values: Q of each action.
      logits: of the policy, normalised or not.
      temperature: α.
    Source: Christodoulou 2019, eq. 10. Changed: nothing.
    """
    logs = jax.nn.log_softmax(logits)
    chances = jnp.exp(logs)
    return (chances * (values - temperature * logs)).sum(-1), -(chances * logs).sum(-1)


def soft_target(
    reward: Float[Array, "*shape"], terminated: Bool[Array, "*shape"], next_value: Float[Array, "*shape"], *, discount: float
) -> Float[Array, "*shape"]:
    """The target of a critic, r + γ V(o'), without V where the episode terminated; a truncated episode keeps it.

    Source: Haarnoja et al. 2018, eq. 3. Changed: nothing.
    """
    return reward + discount * jnp.where(terminated, 0.0, next_value)


def target_entropy(space: ActionSpace, part: float) -> float:
    """The entropy, in nats, to which the temperature is adjusted.

    Args:
      space: of the actions.
      part: 1 for uniform actions; 0 for one certain action of a Discrete space, and for a twentieth of the width of a Box.
        A number of a Box whose bounds are equal does not count.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return part * float(np.log(space.n))
    assert isinstance(space, gymnasium.spaces.Box)
    width = np.asarray(space.high, float) - np.asarray(space.low, float)
    width = width[width > 0]
    return float(np.log(width).sum() - (1 - part) * _NARROWEST * width.size)
