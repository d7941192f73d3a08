"""The network of the energy belief: what a step says about the task, and how policy and value read the particles."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Dense, Perceptron
from quickstudy.networks.normalisation import ObservationScale
from quickstudy.numerics.distributions import policy_parameters
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.settings import check_at_least, check_sizes
from quickstudy.protocol.spaces import flat_size

_FIRST_PRECISION = -3.0
"""Before softplus: at the start a step has a twentieth of the precision of the prior."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyNetworkConfig:
    """Architecture of the belief and of the heads that read it."""

    hidden_size: int = 64
    """Units of the layers that read particles and observation."""
    embedding_size: int = 5
    """Numbers in the task embedding."""
    ridges: int = 24
    """Hidden units of the energy as a function of the embedding."""
    particles: int = 16
    """Particles that hold the belief."""
    refinements: int = 3
    """Langevin steps of every particle, for each decision."""
    step_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the network that reads a step."""
    observation_scale: ObservationScale = "seen"
    """`seen`: a Box observation is whitened by what meta-training has seen; `bounds`: by its bounds, as in earlier versions."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "hidden_size", "embedding_size", "ridges", "particles", "refinements")
        check_sizes(self, "step_sizes")


@record
class Evidence:
    """What steps say about the task. It can be added up: memory is the sum over all steps of the lifetime.

    `precision` λ and `weighted` λ μ `[*time, size]`, `heights` h `[*time, ridges]`; `steps` and `episodes` `[*time]` count.
    """

    precision: Float[Array, "*time size"]
    weighted: Float[Array, "*time size"]
    heights: Float[Array, "*time ridges"]
    steps: Float[Array, "*time"]
    episodes: Float[Array, "*time"]


@record
class Step:
    """What is read of a step, each `[*time, numbers]`: rewards in units of their running size; `boundary` ends an episode."""

    observation: Float[Array, "*time numbers"]
    action: Float[Array, "*time numbers"]
    reward: Float[Array, "*time 1"]
    successor: Float[Array, "*time numbers"]
    boundary: Float[Array, "*time 1"]


class EnergyNetwork(eqx.Module):
    """The trained weights: what a step says (λ, μ, h and b), how ridges lie, how policy and value read the particles."""

    per_step: Perceptron
    directions: Float[Array, "ridges size"]
    offsets: Float[Array, " ridges"]
    from_particle: Dense
    from_observation: Dense
    shared: Dense
    policy: Dense
    value: Dense

    def __init__(self, spec: Spec, config: EnergyNetworkConfig, *, key: PRNGKeyArray):
        """The belief starts close to the prior, the policy close to uniform, the value at zero."""
        keys = jax.random.split(key, 8)
        seen, done = flat_size(spec.observation_space), flat_size(spec.action_space)
        size, ridges, hidden = config.embedding_size, config.ridges, config.hidden_size
        said = 2 * size + ridges + 1
        self.per_step = Perceptron(2 * seen + done + 2, config.step_sizes, said, gain=0.1, key=keys[0])
        self.directions = 1.5 * size**-0.5 * jax.random.normal(keys[1], (ridges, size))
        self.offsets = jax.random.uniform(keys[2], (ridges,), minval=-2.0, maxval=2.0)
        self.from_particle = Dense(size, hidden, gain=1.0, key=keys[3])
        self.from_observation = Dense(seen, hidden, gain=1.0, key=keys[4])
        self.shared = Dense(hidden + 2 * size + 2 + seen, hidden, gain=2.0**0.5, key=keys[5])
        self.policy = Dense(hidden, policy_parameters(spec.action_space), gain=0.01, key=keys[6])
        self.value = Dense(hidden, 1, gain=0.1, key=keys[7])

    def says(self, step: Step) -> tuple[Array, Array, Array, Array]:
        """λ, λ μ `[*time, size]`, h `[*time, ridges]` and b `[*time]` of steps."""
        size, ridges = self.directions.shape[1], self.offsets.size
        said = self.per_step(step.observation, step.action, step.reward, step.successor, step.boundary)
        precision, mean, heights, base = jnp.split(said, (size, 2 * size, 2 * size + ridges), axis=-1)
        precision = jax.nn.softplus(precision + _FIRST_PRECISION)
        return precision, precision * mean, heights, base[..., 0]


def no_evidence(config: EnergyNetworkConfig, *lifetimes: int) -> Evidence:
    """The memory at the start of a lifetime."""
    embedding, count = jnp.zeros((*lifetimes, config.embedding_size)), jnp.zeros(lifetimes)
    heights = jnp.zeros((*lifetimes, config.ridges))
    return Evidence(precision=embedding, weighted=embedding, heights=heights, steps=count, episodes=count)
