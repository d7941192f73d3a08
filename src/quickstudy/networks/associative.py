"""An associative core: a table of outer products that is addressed by the observation.

Every step is stored under a key, which is made of its observation. A read asks with the present observation:

    table += k(observation) ⊗ φ(action) ⊗ [1, reward, W (successor, boundary)]        read = q(present observation) · table

where φ is one-hot for Discrete actions. If keys of different observations are orthogonal, the read holds exactly how often each
action was taken under the present observation, and the sum of what followed. Sums have no order, so the memory is exchangeable.

A recurrent state must hand on all that may ever be asked. A table is asked for one thing at a time, so it may hold much more
than is read. docs/tabular-mdps.md shows what this is worth.

Source: outer products as fast weights, Schmidhuber 1992; linear attention, Katharopoulos et al. 2020; keys of experience and
values by action, Pritzel et al. 2017 (neural episodic control). Changed: counts are kept apart from sums, for each action.
"""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.networks.core import Core, CoreInputs
from quickstudy.networks.layers import Dense
from quickstudy.networks.recurrent import Linear
from quickstudy.numerics.addressed_sums import addressed_sums
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import shift_right
from quickstudy.protocol.settings import check_above_zero, check_at_least
from quickstudy.protocol.spaces import flat_size

_PSEUDO_COUNTS = (0.5, 1.0, 2.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssociativeConfig:
    """Settings of the associative core."""

    heads: int = 1
    """Tables side by side, each with its own keys."""
    addresses: int | None = None
    """Numbers in a key. If not given: as many as there are observations where they are at most 64 numbers, else 32."""
    stored: int = 0
    """Learned numbers of the successor that are stored beside count and reward."""
    beside: int = 0
    """Hidden size of a linear recurrence beside the table, for what the observation does not address; none if 0."""

    def __post_init__(self) -> None:
        check_above_zero(self, "heads")
        check_at_least(self, 0, "stored", "beside")
        if self.addresses is not None and self.addresses < 1:
            raise UsageError(f"addresses must be above zero; came {self.addresses}.")


@record
class AssociativeState:
    """`table` `[*lifetimes, heads, addresses, values]`; `sums` `[*lifetimes, 1 + rewards]`: steps, and sums of rewards.

    `beside`: the state of the recurrence beside the table, or None.
    """

    table: Float[Array, "*lifetimes heads addresses values"]
    sums: Float[Array, "*lifetimes sums"]
    beside: PyTree


class Associative(eqx.Module):
    """The table, the maps to keys, queries and stored values, and a recurrence beside it."""

    key: Dense
    query: Dense
    value: Dense
    beside: Core | None
    heads: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)
    rewards: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    discrete: bool = eqx.field(static=True)
    symbolic: bool = eqx.field(static=True)

    def __init__(self, spec: Spec, config: AssociativeConfig, *, seen: int, rewards: int, key: PRNGKeyArray):
        """The query map is the key map at first.

        Args:
          spec: of the tasks.
          config: its settings.
          seen: numbers in an encoded observation.
          rewards: numbers that a reward is read as.
          key: of the first weights.
        """
        self.symbolic = isinstance(spec.observation_space, gymnasium.spaces.Discrete)
        self.discrete = isinstance(spec.action_space, gymnasium.spaces.Discrete)
        self.actions, self.rewards, self.steps = flat_size(spec.action_space), rewards, spec.lifetime_steps
        self.heads = config.heads
        key_map, key_value, key_beside = jax.random.split(key, 3)
        addresses = config.addresses or (seen if self.symbolic and seen <= 64 else 32)
        keys = jax.random.split(key_map, config.heads)
        maps = [_orthogonal_map(one, addresses, seen) if self.symbolic else _random_map(one, addresses, seen) for one in keys]
        phase = 0.0 if self.symbolic else 2 * np.pi
        bias = phase * jax.random.uniform(key_map, (config.heads * addresses,))
        empty = Dense(seen, config.heads * addresses, gain=0.0, key=key_map)
        self.key = eqx.tree_at(lambda dense: (dense.weight, dense.bias), empty, (jnp.concatenate(maps), bias))
        self.query = jax.tree.map(jnp.copy, self.key)
        self.value = Dense(seen + 1, config.stored, gain=1.0, key=key_value)
        flat = 2 * seen + self.actions + rewards + 1
        self.beside = Linear(flat, config.beside, key=key_beside) if config.beside else None

    @property
    def each(self) -> int:
        """Numbers about each Discrete action."""
        return self.heads * _statistics(self.rewards, self._stored) if self.discrete else 0

    @property
    def size(self) -> int:
        """Numbers in what `read` gives."""
        beside = self.beside.size if self.beside is not None else 0
        table = self.actions * self.each if self.discrete else self.heads * (1 + self.actions) * self._columns
        return table + 2 + self.rewards + beside

    @property
    def exchangeable(self) -> bool:
        """A sum has no order; a recurrence has."""
        return self.beside is None

    def initial(self, *lifetimes: int) -> AssociativeState:
        """The state before anything has happened."""
        entries = self.actions if self.discrete else 1 + self.actions
        table = jnp.zeros((*lifetimes, self.heads, self.key.bias.size // self.heads, entries * self._columns))
        beside = self.beside.initial(*lifetimes) if self.beside is not None else None
        return AssociativeState(table=table, sums=jnp.zeros((*lifetimes, 1 + self.rewards)), beside=beside)

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        keys, values = self._stored_steps(inputs, valid)
        beside = self.beside.take_in(state.beside, inputs, valid) if self.beside is not None else None
        return AssociativeState(
            table=state.table + jnp.einsum("t...ha,t...v->...hav", keys, values),
            sums=state.sums + _counted(inputs, valid).sum(0),
            beside=beside,
        )

    def read(self, state: PyTree, seen: Float[Array, "*time seen"]) -> Float[Array, "*time features"]:
        """What the table holds about each action under this observation, the clock, and what the recurrence reads."""
        read = jnp.einsum("...ha,...hav->...hv", self._addresses(self.query, seen), state.table)
        beside = self.beside.read(state.beside, seen) if self.beside is not None else None
        return self._features(read, state.sums, beside)

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes seen"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes features"]]:
        """The state after the last step, and what was read before each step was taken in."""
        keys, values = self._stored_steps(inputs, valid)
        table, read = addressed_sums(state.table, self._addresses(self.query, seen), keys, values)
        sums = state.sums[None] + jnp.cumsum(_counted(inputs, valid), axis=0)
        last, beside = (None, None) if self.beside is None else self.beside.run(state.beside, inputs, seen, valid)
        features = self._features(read, shift_right(state.sums, sums), beside)
        return AssociativeState(table=table, sums=sums[-1], beside=last), features

    @property
    def _stored(self) -> int:
        return self.value.bias.size

    @property
    def _columns(self) -> int:
        """Numbers stored for each action: count, rewards, and learned ones."""
        return 1 + self.rewards + self._stored

    def _addresses(self, dense: Dense, seen: Float[Array, "*time seen"]) -> Float[Array, "*time heads addresses"]:
        """Keys or queries: linear for Discrete observations, random features of a kernel for others."""
        flat = dense(seen)
        if not self.symbolic:
            flat = jnp.sqrt(2 * self.heads / flat.shape[-1]) * jnp.cos(flat)
        return flat.reshape(*flat.shape[:-1], self.heads, -1)

    def _stored_steps(self, inputs: CoreInputs, valid: Array) -> tuple[Array, Array]:
        """Keys `[T, *lifetimes, heads, addresses]`, zero where nothing happened, and values `[T, *lifetimes, values]`."""
        keys = jnp.where(valid[..., None, None], self._addresses(self.key, inputs.observation), 0.0)
        one = jnp.ones_like(inputs.boundary)
        columns = [one, inputs.reward]
        if self._stored:
            columns.append(self.value(inputs.successor, inputs.boundary))
        entries = inputs.action if self.discrete else jnp.concatenate([one, inputs.action], axis=-1)
        values = entries[..., :, None] * jnp.concatenate(columns, axis=-1)[..., None, :]
        return keys, values.reshape(*values.shape[:-2], -1)

    def _features(
        self, read: Float[Array, "*time heads values"], sums: Float[Array, "*time sums"], beside: Array | None
    ) -> Float[Array, "*time features"]:
        """Counts and sums as numbers that a small network can use: means under several priors, and how sure they are."""
        entries = read.reshape(*read.shape[:-1], -1, self._columns)
        left = jnp.maximum(1 - sums[..., :1] / self.steps, 0.0)
        total = sums[..., 1:] / (1 + sums[..., :1])
        whole = [left, jnp.sqrt(left), total] + ([] if beside is None else [beside])
        if self.discrete:
            entries = jnp.moveaxis(entries, -3, -2)  # [*time, actions, heads, columns]
            numbers = _of_counts(entries, left[..., None, None, :], self.rewards)
        else:
            count = jnp.maximum(entries[..., :1, :1], 0.0)
            numbers = jnp.concatenate([entries[..., 1:] / (1 + count), jax.lax.rsqrt(1 + jnp.abs(entries[..., :1]))], axis=-1)
        return jnp.concatenate([numbers.reshape(*sums.shape[:-1], -1), *whole], axis=-1)


def _counted(inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> Float[Array, "T *lifetimes sums"]:
    """One for each step, and its rewards; nothing where nothing happened."""
    counted = jnp.concatenate([jnp.ones_like(inputs.boundary), inputs.reward], axis=-1)
    return jnp.where(valid[..., None], counted, 0.0)


def _statistics(rewards: int, stored: int) -> int:
    """Numbers that `_of_counts` makes of one entry."""
    return len(_PSEUDO_COUNTS) * rewards + stored + 7


def _of_counts(
    entry: Float[Array, "*entries columns"], left: Float[Array, "*entries 1"], rewards: int
) -> Float[Array, "*entries numbers"]:
    """Numbers about one action, from its count and its sums.

    A posterior mean is (prior + sum) / (n + m), and an index adds what trying is still worth, which falls with the count n and
    with the part of the lifetime that is left. All of these are close to linear in the numbers given here.
    """
    count, sums, stored = entry[..., :1], entry[..., 1 : 1 + rewards], entry[..., 1 + rewards :]
    count = jnp.maximum(count, 0.0)
    unsure, root = 1 / (1 + count), jax.lax.rsqrt(1 + count)
    means = [sums / (count + pseudo) for pseudo in _PSEUDO_COUNTS]
    sure = [unsure, root, 1 / (2 + count), jnp.log1p(count) / 4, left * unsure, left * root, jnp.sqrt(left) * unsure]
    return jnp.concatenate([*means, *sure, stored * unsure], axis=-1)


def _orthogonal_map(key: PRNGKeyArray, addresses: int, seen: int) -> Float[Array, "addresses seen"]:
    """Columns, or rows if there are fewer, of length one and orthogonal to each other."""
    tall = jax.random.normal(key, (max(addresses, seen), min(addresses, seen)))
    basis = jnp.linalg.qr(tall)[0]
    return basis if addresses >= seen else basis.T


def _random_map(key: PRNGKeyArray, addresses: int, seen: int) -> Float[Array, "addresses seen"]:
    """Frequencies whose cosines approximate Gaussian kernels of several widths (Rahimi and Recht 2007)."""
    widths = jnp.exp(jnp.linspace(jnp.log(0.3), jnp.log(3.0), addresses)) * seen**0.5
    return jax.random.normal(key, (addresses, seen)) / widths[:, None]
