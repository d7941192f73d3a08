"""An associative core: a table of outer products that is addressed by the observation.

Every step is stored under a key, which is made of its observation. A read asks with the present observation:

    table += k(observation) ⊗ φ(action) ⊗ [1, reward, W (successor, boundary)]        read = k(present observation) · table

where φ is one-hot for Discrete actions. If keys of different observations are orthogonal, the read holds exactly how often each
action was taken under the present observation, and the sum of what followed. Sums have no order, so the memory is exchangeable.

A recurrent state must carry everything that may be needed later. A read of the table needs one row, so the table may hold much
more than is read. docs/memory.md has measurements.

Source: outer products as fast weights, Schmidhuber 1992; linear attention, Katharopoulos et al. 2020; keys of experience and
values by action, Pritzel et al. 2017 (neural episodic control). Changed: counts are kept apart from sums, for each action.
"""

import dataclasses
from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.networks.addresses import MOST_EXACT, addresses_of, first_address_map
from quickstudy.networks.core import Core, CoreInputs
from quickstudy.networks.counts import Overview, numbers_of_counts, of_counts
from quickstudy.networks.layers import Dense
from quickstudy.networks.recurrent import Linear
from quickstudy.numerics.addressed_sums import addressed_sums, replaced_sums
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import shift_right
from quickstudy.protocol.settings import check_above_zero, check_at_least, check_at_most
from quickstudy.protocol.spaces import flat_size

_ADDRESSES, _BESIDE = 32, 32
"""Sizes, where none are given."""
_MOST_HEADS = 64
"""Tables side by side."""
_CORNER = 0.01
"""Counts up to which the positive part is rounded off."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssociativeConfig:
    """Settings of the associative core."""

    heads: int = 1
    """Number of tables. Each has its own keys, if keys are learned."""
    addresses: int | None = None
    """Size of a learned key.
    If not given: at most 64 possible observations have one address each, and no key is learned; otherwise 32."""
    rule: Literal["count", "forget", "replace"] = "count"
    """How a step is stored.
    `count` adds it: counts are exact, and the order of steps does not matter.
    `forget` adds it, and everything older fades at a learned rate: for tasks that drift.
    `replace` is the delta rule: for keys that overlap."""
    stored: int = 0
    """Size of a learned code of the next observation, which is stored with count and reward; 0 for none."""
    overview: int = 16
    """Size of a summary of the whole table, if each observation has an address of its own; 0 for none.
    The value head needs it, because information from one observation brings rewards at others."""
    beside: int | None = None
    """Hidden size of a linear recurrence beside the table, for what the observation does not address; 0 for none.
    If not given: 32 if an episode has more than one step, else 0."""

    def __post_init__(self) -> None:
        check_above_zero(self, "heads", "addresses")
        check_at_most(self, _MOST_HEADS, "heads")
        check_at_least(self, 0, "stored", "overview", "beside")


@record
class AssociativeState:
    """`table` `[*lifetimes, heads, addresses, values]`; `sums` `[*lifetimes, 1 + rewards]`: steps, and sums of rewards.

    `length` `[*lifetimes]`: steps of the lifetime. `survey` `[*lifetimes, overview]`: what the overview makes of each row of
    the table, summed over rows, or None. `beside`: the state of the recurrence beside the table, or None.
    """

    table: Float[Array, "*lifetimes heads addresses values"]
    sums: Float[Array, "*lifetimes sums"]
    length: Float[Array, "*lifetimes"]
    survey: Float[Array, "*lifetimes overview"] | None
    beside: PyTree


class Associative(eqx.Module):
    """The table, the maps to keys, queries and stored values, and a recurrence beside it."""

    key: Dense | None
    value: Dense
    gate: Dense | None
    overview: Overview | None
    beside: Core | None
    heads: int = eqx.field(static=True)
    rewards: int = eqx.field(static=True)
    observations: int = eqx.field(static=True)
    discrete: bool = eqx.field(static=True)
    symbolic: bool = eqx.field(static=True)
    rule: str = eqx.field(static=True)

    def __init__(self, spec: Spec, config: AssociativeConfig, *, seen: int, rewards: int, key: PRNGKeyArray):
        """Keys are orthogonal, or features of a kernel.

        Args:
          spec: of the tasks.
          config: its settings.
          seen: numbers in an encoded observation.
          rewards: numbers that a reward is read as.
          key: of the first weights.
        """
        self.symbolic = isinstance(spec.observation_space, gymnasium.spaces.Discrete)
        self.discrete = isinstance(spec.action_space, gymnasium.spaces.Discrete)
        exact = self.symbolic and seen <= MOST_EXACT and config.addresses is None
        self.heads, self.rewards, self.observations = 1 if exact else config.heads, rewards, seen
        self.rule = config.rule
        key_map, key_value, key_overview, key_beside, key_gate = jax.random.split(key, 5)
        addresses = config.addresses or _ADDRESSES
        self.key = None if exact else first_address_map(self.heads, addresses, seen, symbolic=self.symbolic, key=key_map)
        self.value = Dense(seen + 1, config.stored, gain=1.0, key=key_value)
        self.gate = None if config.rule == "count" else self._first_gate(key=key_gate)
        surveys = exact and self.discrete and seen > 1 and config.overview > 0 and config.rule == "count"
        self.overview = Overview(rewards, config.overview, key=key_overview) if surveys else None
        beside = _BESIDE * (spec.horizon > 1) if config.beside is None else config.beside
        inputs = 2 * seen + flat_size(spec.action_space) + rewards + 1
        self.beside = Linear(inputs, beside, key=key_beside) if beside else None

    def _first_gate(self, *, key: PRNGKeyArray) -> Dense:
        """At first a step fades to a half in about 760 steps; or half of what was stored is replaced."""
        gate = Dense(2 * self.observations + self.rewards + 1, self.heads, gain=0.1, key=key)
        bias = jnp.full(self.heads, 7.0 if self.rule == "forget" else 0.0)
        return eqx.tree_at(lambda dense: dense.bias, gate, bias)

    @property
    def each(self) -> int:
        """Numbers about each Discrete action."""
        return self.heads * numbers_of_counts(self.rewards, self._stored) if self.discrete else 0

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        beside = self.beside.size(spec) if self.beside is not None else 0
        actions = flat_size(spec.action_space)
        table = actions * self.each if self.discrete else self.heads * (1 + actions) * self._columns
        return table + 2 + self.rewards + beside + (self.overview.size if self.overview is not None else 0)

    @property
    def exchangeable(self) -> bool:
        """A sum has no order; a recurrence has."""
        return self.beside is None and self.rule == "count"

    def initial(self, spec: Spec, *lifetimes: int) -> AssociativeState:
        """The state before anything has happened."""
        entries = flat_size(spec.action_space) + (not self.discrete)
        addresses = self.observations if self.key is None else self.key.bias.size // self.heads
        table = jnp.zeros((*lifetimes, self.heads, addresses, entries * self._columns))
        beside = self.beside.initial(spec, *lifetimes) if self.beside is not None else None
        length = jnp.full(lifetimes, float(spec.lifetime_steps))
        survey = None
        if self.overview is not None:
            row = self.overview(jnp.zeros((*lifetimes, entries, self._columns)))
            survey = row * float(addresses)
        sums = jnp.zeros((*lifetimes, 1 + self.rewards))
        return AssociativeState(table=table, sums=sums, length=length, survey=survey, beside=beside)

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        keys, values = self._stored_steps(inputs, valid)
        beside = self.beside.take_in(state.beside, inputs, valid) if self.beside is not None else None
        return AssociativeState(
            table=self._written(state.table, keys, keys, values, inputs, valid)[0],
            sums=state.sums + _counted(inputs, valid).sum(0),
            length=state.length,
            survey=None if self.overview is None else state.survey + self._survey_changes(state.table, keys, values).sum(0),
            beside=beside,
        )

    def read(self, state: PyTree, seen: Float[Array, "*time seen"]) -> Float[Array, "*time features"]:
        """What the table holds about each action under this observation, the clock, the overview, and the recurrence's read."""
        read = jnp.einsum("...ha,...hav->...hv", self._addresses(seen), state.table)
        beside = self.beside.read(state.beside, seen) if self.beside is not None else None
        return self._features(read, state.sums, state.length, [self._mean_row(state.survey), beside])

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes seen"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes features"]]:
        """The state after the last step, and what was read before each step was taken in."""
        keys, values = self._stored_steps(inputs, valid)
        table, read = self._written(state.table, self._addresses(seen), keys, values, inputs, valid)
        sums = state.sums[None] + jnp.cumsum(_counted(inputs, valid), axis=0)
        last, beside = (None, None) if self.beside is None else self.beside.run(state.beside, inputs, seen, valid)
        survey, surveys = None, None
        if self.overview is not None:
            after = state.survey[None] + jnp.cumsum(self._survey_changes(state.table, keys, values), axis=0)
            survey, surveys = after[-1], self._mean_row(shift_right(state.survey, after))
        lengths = jnp.broadcast_to(state.length, valid.shape)
        features = self._features(read, shift_right(state.sums, sums), lengths, [surveys, beside])
        return AssociativeState(table=table, sums=sums[-1], length=state.length, survey=survey, beside=last), features

    def _written(
        self, table: Array, queries: Array, keys: Array, values: Array, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[Array, Array]:
        """The table after these steps, and what each step reads of those before it."""
        if self.gate is None:
            return addressed_sums(table, queries, keys, values)
        gate = self.gate(inputs.observation, inputs.successor, inputs.reward, inputs.boundary)
        if self.rule == "replace":
            return replaced_sums(table, queries, keys, values, jax.nn.sigmoid(gate))
        return addressed_sums(table, queries, keys, values, jnp.where(valid[..., None], jax.nn.log_sigmoid(gate), 0.0))

    def _survey_changes(
        self, table: Float[Array, "*lifetimes heads addresses values"], keys: Array, values: Array
    ) -> Float[Array, "T *lifetimes overview"]:
        """By how much each step changes the survey: a step changes one row, so the others are not computed."""
        assert self.overview is not None
        before = addressed_sums(table, keys, keys, values)[1][..., 0, :]
        happened = keys.sum((-2, -1))[..., None]
        rows = jnp.stack([before, before + happened * values])
        rows = rows.reshape(*rows.shape[:-1], -1, self._columns)
        return jnp.subtract(*self.overview(rows)[::-1])

    def _mean_row(self, survey: Float[Array, "*time overview"] | None) -> Float[Array, "*time overview"] | None:
        return None if survey is None else survey / self.observations

    @property
    def _stored(self) -> int:
        return self.value.bias.size

    @property
    def _columns(self) -> int:
        """Numbers stored for each action: count, rewards, and learned ones."""
        return 1 + self.rewards + self._stored

    def _addresses(self, seen: Float[Array, "*time seen"]) -> Float[Array, "*time heads addresses"]:
        """Keys, which are also queries. They have length one, so that every observation matches itself equally well."""
        return addresses_of(seen, self.key, heads=self.heads, symbolic=self.symbolic)

    def _stored_steps(self, inputs: CoreInputs, valid: Array) -> tuple[Array, Array]:
        """Keys `[T, *lifetimes, heads, addresses]`, zero where nothing happened, and values `[T, *lifetimes, values]`."""
        keys = jnp.where(valid[..., None, None], self._addresses(inputs.observation), 0.0)
        one = jnp.ones_like(inputs.boundary)
        columns = [one, inputs.reward]
        if self._stored:
            columns.append(self.value(inputs.successor, inputs.boundary))
        entries = inputs.action if self.discrete else jnp.concatenate([one, inputs.action], axis=-1)
        values = entries[..., :, None] * jnp.concatenate(columns, axis=-1)[..., None, :]
        return keys, values.reshape(*values.shape[:-2], -1)

    def _features(
        self,
        read: Float[Array, "*time heads values"],
        sums: Float[Array, "*time sums"],
        length: Float[Array, "*time"],
        more: list[Array | None],
    ) -> Float[Array, "*time features"]:
        """Counts and sums as numbers that a small network can use: means under several priors, and their certainty."""
        entries = read.reshape(*read.shape[:-1], -1, self._columns)
        left = jnp.maximum(1 - sums[..., :1] / length[..., None], 0.0)
        total = sums[..., 1:] / (1 + sums[..., :1])
        whole = [left, jnp.sqrt(left), total, *(part for part in more if part is not None)]
        if self.discrete:
            entries = jnp.moveaxis(entries, -3, -2)  # [*time, actions, heads, columns]
            numbers = of_counts(entries, left[..., None, None, :], self.rewards)
        else:
            # What overlapping keys read may be a little below zero, and is zero but for rounding where keys are orthogonal.
            # So the positive part is a smooth one: at a corner, rounding would decide the gradient.
            sizes = jnp.sqrt(jnp.square(entries[..., :1]) + _CORNER**2)
            count = (entries[..., :1, :1] + sizes[..., :1, :]) / 2
            numbers = jnp.concatenate([entries[..., 1:] / (1 + count), jax.lax.rsqrt(1 + sizes)], axis=-1)
        return jnp.concatenate([numbers.reshape(*sums.shape[:-1], -1), *whole], axis=-1)


def _counted(inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> Float[Array, "T *lifetimes sums"]:
    """One for each step, and its rewards; nothing where nothing happened."""
    counted = jnp.concatenate([jnp.ones_like(inputs.boundary), inputs.reward], axis=-1)
    return jnp.where(valid[..., None], counted, 0.0)
