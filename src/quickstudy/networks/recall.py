"""A read of every Discrete action by attention: kept steps are counted, and each counts as much as it is attended to.

    w_s = exp(β (a · a_s − 1) + q · k_s / √d)          counts = Σ_s w_s φ(action_s) ⊗ [1, reward_s]

where a is the address of the present observation, and q is made of its token; a_s and k_s belong to a kept step s. The weights
are those of softmax attention, but they are not divided by their sum. So the read holds counts. At first, a step with the same
observation counts almost fully, and one with an orthogonal address hardly. Training changes both parts of the exponent.

Source: attention, Vaswani et al. 2017. Changed: the weights are not normalised, and values are counts and rewards of actions.
"""

import functools
import math

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.networks.addresses import MOST_EXACT, addresses_of, first_address_map
from quickstudy.networks.attention_layer import steps_last
from quickstudy.networks.core import CoreInputs
from quickstudy.networks.counts import numbers_of_counts, of_counts
from quickstudy.networks.layers import Dense
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.spaces import flat_size

_FIRST_SHARPNESS = 5.0
"""β at first: a step with an orthogonal address then counts 0.7 %."""
_MOST = 3.0
"""Limit of the exponent's second part, so that no step counts more than 20 times."""


@record
class Kept:
    """What is kept of each step: its key, and its action times one and its rewards.

    In the state of a core the first axes are lifetimes and steps; wherever steps are read or stored, steps come first.
    """

    keys: Float[Array, "*kept heads key"]
    entries: Float[Array, "*kept actions columns"]


class Recall(eqx.Module):
    """The weights that make addresses, keys and queries, and the read."""

    address: Dense | None
    sharpness: Float[Array, " heads"]
    ask: Dense
    store: Dense
    address_size: int = eqx.field(static=True)
    rewards: int = eqx.field(static=True)
    symbolic: bool = eqx.field(static=True)

    def __init__(self, spec: Spec, *, seen: int, size: int, heads: int, rewards: int, key: PRNGKeyArray):
        """Only the addresses decide at first.

        Args:
          spec: of the tasks.
          seen: numbers in an encoded observation.
          size: of a token.
          heads: reads of each action.
          rewards: numbers that a reward is read as.
          key: of the first weights.
        """
        keys = jax.random.split(key, 3)
        self.symbolic = isinstance(spec.observation_space, gymnasium.spaces.Discrete)
        exact = self.symbolic and seen <= MOST_EXACT
        self.address_size = seen if exact else size // heads
        make = functools.partial(first_address_map, heads, self.address_size, seen, symbolic=self.symbolic)
        self.address = None if exact else make(key=keys[0])
        self.sharpness = jnp.full(heads, _FIRST_SHARPNESS)
        self.ask = Dense(size, size, gain=0.1, key=keys[1])
        self.store = Dense(size, size, gain=1.0, key=keys[2])
        self.rewards = rewards

    @property
    def each(self) -> int:
        """Numbers about each action."""
        return self.sharpness.size * numbers_of_counts(self.rewards, 0)

    def initial(self, spec: Spec, *kept: int) -> Kept:
        """Empty slots `[*kept]`, for tasks with these actions."""
        keys = jnp.zeros((*kept, self.sharpness.size, self.address_size + self.ask.bias.size // self.sharpness.size))
        return Kept(keys=keys, entries=jnp.zeros((*kept, flat_size(spec.action_space), 1 + self.rewards)))

    def stored(self, inputs: CoreInputs, token: Float[Array, "*time size"]) -> Kept:
        """What is kept of each step, given its token."""
        columns = jnp.concatenate([jnp.ones_like(inputs.boundary), inputs.reward], axis=-1)
        entries = inputs.action[..., :, None] * columns[..., None, :]
        return Kept(keys=self._joined(inputs.observation, self.store(token)), entries=entries)

    def read(
        self,
        seen: Float[Array, "T *lifetimes seen"],
        token: Float[Array, "T *lifetimes size"],
        kept: Kept,
        counts: Bool[Array, "T kept *lifetimes"],
        left: Float[Array, "T *lifetimes"],
    ) -> Float[Array, "T *lifetimes numbers"]:
        """`each` numbers about every action, one action after another.

        Args:
          seen: the present observation, encoded.
          token: its token.
          kept: the kept steps, which are the first axis.
          counts: which kept steps each token may count.
          left: the part of the lifetime that is left, in [0, 1].
        """
        parts = [jnp.split(x, [self.address_size], axis=-1) for x in (self._joined(seen, self.ask(token)), kept.keys)]
        (address, query), (stored, key) = parts
        alike = jnp.einsum("t...hd,s...hd->...hts", address, stored) - 1
        more = jnp.einsum("t...hd,s...hd->...hts", query, key) / math.sqrt(key.shape[-1])
        sharpness = jnp.broadcast_to(self.sharpness[:, None, None], alike.shape)
        weights = jnp.exp(sharpness * alike + _MOST * jnp.tanh(more / _MOST))
        weights = jnp.where(steps_last(counts), weights, 0.0)
        entries = jnp.einsum("...hts,s...ac->t...ahc", weights, kept.entries)
        return of_counts(entries, left[..., None, None, None], self.rewards).reshape(*left.shape, -1)

    def _joined(self, seen: Float[Array, "*time seen"], content: Float[Array, "*time size"]) -> Float[Array, "*time heads key"]:
        heads = self.sharpness.size
        address = addresses_of(seen, self.address, heads=heads, symbolic=self.symbolic)
        return jnp.concatenate([address, content.reshape(*content.shape[:-1], heads, -1)], axis=-1)
