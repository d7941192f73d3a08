"""A policy without memory."""

import dataclasses
import itertools
from typing import Self

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.encoders import is_image
from quickstudy.networks.layers import Dense
from quickstudy.networks.normalisation import ObservationScale
from quickstudy.networks.rescaling import Rescaling
from quickstudy.numerics.distributions import Categorical, Policy, deviation_parameters, policy_over, policy_parameters
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.settings import check_above_zero, check_sizes
from quickstudy.protocol.spaces import encode, flat_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Architecture of a policy without memory."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    input_gain: float = 3.0
    """Scale of the first layer's first weights: 1 suits observations of a size around one, smaller ones need more."""
    observation_scale: ObservationScale = "seen"
    """`seen`: those numbers of a Box observation are whitened whose scale in meta-training is far from one.
    `bounds`: none is whitened, as in earlier versions."""

    def __post_init__(self) -> None:
        check_above_zero(self, "input_gain")
        check_sizes(self, "hidden_sizes")


class PolicyNetwork(eqx.Module):
    """Layers of tanh, and a head; a context vector stands beside the observation.

    The standard deviation of continuous actions is the same at every observation, as in Schulman et al. 2015. If it depended on
    the observation, outer steps would shrink it wherever that makes inner steps larger, and exploration would end.
    """

    layers: tuple[Dense, ...]
    head: Dense
    deviation: Float[Array, " actions"]
    context: Float[Array, " context"]
    rescaling: Rescaling | None

    def __init__(self, spec: Spec, config: PolicyConfig, *, context: int = 0, key: PRNGKeyArray):
        """The policy starts close to uniform; the context is zero.

        Biases are drawn from [-1, 1], so that units saturate at different places. If all biases were zero and inputs were
        small, the network would be linear, and one inner step would change the policy in the same way everywhere.
        """
        hidden_sizes, input_gain = config.hidden_sizes, config.input_gain
        keys = jax.random.split(key, len(hidden_sizes) + 1)
        gains = (input_gain, *[1.0] * (len(hidden_sizes) - 1))
        pairs = itertools.pairwise((flat_size(spec.observation_space) + context, *hidden_sizes))
        self.layers = tuple(
            _random_bias_dense(*pair, gain=gain, key=key) for pair, gain, key in zip(pairs, gains, keys[1:], strict=True)
        )
        deviation = deviation_parameters(spec.action_space)
        self.head = Dense(hidden_sizes[-1], policy_parameters(spec.action_space) - deviation, gain=0.1, key=keys[0])
        self.deviation = jnp.zeros(deviation)
        self.context = jnp.zeros(context)
        space, seen = spec.observation_space, config.observation_scale == "seen"
        rescales = seen and not is_image(space)
        self.rescaling = Rescaling.of_nothing(space) if rescales and isinstance(space, gymnasium.spaces.Box) else None

    def __call__(self, observation: Float[Array, "*time size"]) -> Float[Array, "*time numbers"]:
        """The numbers that make a policy, from flat observations."""
        context = jnp.broadcast_to(self.context, (*observation.shape[:-1], self.context.size))
        hidden = jnp.tanh(self.layers[0](observation, context))
        for layer in self.layers[1:]:
            hidden = jnp.tanh(layer(hidden))
        return with_deviation(self.head(hidden), self.deviation)

    def read(self, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
        """An observation, or many, as the first layer reads it."""
        if self.rescaling is None:
            return encode(observation, spec.observation_space)
        return self.rescaling.read(observation, spec.observation_space)  # type: ignore[arg-type]  # a Box, see __init__

    def after_seeing(self, lifetimes: Transition, spec: Spec, *, axis: str | None = None) -> Self:
        """The same policy, which has seen another batch of meta-training `[T, lifetimes]`; `axis`: as of `Rescaling.after`."""
        if self.rescaling is None:
            return self
        return eqx.tree_at(lambda policy: policy.rescaling, self, self.rescaling.after(lifetimes, spec, axis=axis))

    def policy(self, observation: Array, spec: Spec) -> Policy:
        """The distribution over actions at an observation, or at many."""
        policy = policy_over(self(self.read(observation, spec)), spec.action_space)
        return policy.only(spec.allowed(observation)) if spec.action_mask and isinstance(policy, Categorical) else policy


def _random_bias_dense(inputs: int, outputs: int, *, gain: float, key: PRNGKeyArray) -> Dense:
    """A dense layer with biases within [-1, 1]."""
    key_weight, key_bias = jax.random.split(key)
    bias = jax.random.uniform(key_bias, (outputs,), minval=-1.0, maxval=1.0)
    return eqx.tree_at(lambda dense: dense.bias, Dense(inputs, outputs, gain=gain, key=key_weight), bias)


def with_deviation(
    outputs: Float[Array, "*time outputs"], deviation: Float[Array, " actions"]
) -> Float[Array, "*time numbers"]:
    """The numbers that make a policy: the head's output at each observation, and the deviation, which is the same at all."""
    return jnp.concatenate([outputs, jnp.broadcast_to(deviation, (*outputs.shape[:-1], deviation.size))], axis=-1)
