"""Layers of agents: recurrent cores, a policy without memory, input encodings.

Every module holds arrays and static settings only.
"""

import itertools
from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.networks.normalisation import Statistics
from quickstudy.numerics.distributions import Policy, policy_over, policy_parameters
from quickstudy.numerics.linear_algebra import orthogonalised
from quickstudy.numerics.recurrence import Shares, run_gated, run_linear
from quickstudy.protocol.records import Space, Spec, flat_size, record


class Dense(eqx.Module):
    """y = W x + b, over the last axis of an input with any number of leading axes."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, gain: float, key: PRNGKeyArray):
        """Independent normal weights of deviation gain / √inputs, bias zero.

        Not orthogonal: with few inputs and many gates that makes each weight so small that a core hardly hears its input.
        """
        self.weight = gain * inputs**-0.5 * jax.random.normal(key, (outputs, inputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, *parts: Float[Array, "*time part"]) -> Float[Array, "*time outputs"]:
        """The parts make up the input, one after another along the last axis; none is copied to join the others."""
        ends = list(itertools.accumulate(part.shape[-1] for part in parts))
        shares = [part @ self.weight[:, end - part.shape[-1] : end].T for part, end in zip(parts, ends, strict=True)]
        return add_bias(sum(shares[1:], start=shares[0]), self.bias)


def add_bias(x: Float[Array, "*time size"], bias: Float[Array, " size"]) -> Float[Array, "*time size"]:
    """x + b, as a product with ones: its gradient is then a product too, where a sum over rows is slow on processors."""
    return x + jnp.ones((*x.shape[:-1], 1)) @ bias[None]


class GRU(eqx.Module):
    """Gated recurrent unit, with the input's share of the gates computed apart from the recurrence.

        r = σ(x_r + h U_r)    z = σ(x_z + h U_z)    n = tanh(x_n + r ⊙ (h U_n + b_n))    h' = n + z ⊙ (h − n)

    Source: Cho et al. 2014, in the form of cuDNN (reset after the product), as in `equinox.nn.GRUCell`.
    """

    input: Dense
    recurrent: Float[Array, "hidden gates"]
    candidate_bias: Float[Array, " hidden"]

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        """Orthogonal recurrent weights, gate by gate."""
        key_input, key_recurrent = jax.random.split(key)
        self.input = Dense(inputs, 3 * hidden_size, gain=1.0, key=key_input)
        self.recurrent = _orthogonal_gates(key_recurrent, gates=3, hidden_size=hidden_size)
        self.candidate_bias = jnp.zeros(hidden_size)

    def initial(self, *lifetimes: int) -> Float[Array, "*lifetimes hidden"]:
        """The hidden state before anything was lived."""
        return jnp.zeros((*lifetimes, self.recurrent.shape[0]))

    def run(
        self, hidden: PyTree, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, PyTree]:
        """The state after the last step and after each `[T, *lifetimes, hidden]`; a step that is not valid changes nothing."""
        return run_gated(self, hidden, inputs, valid)

    def products(self, output: Array, input: Array) -> tuple[Shares, Shares]:
        """Shares of reset, update and candidate, of the last state and of the input."""
        reset, update, new = jnp.split(output @ self.recurrent, 3, axis=-1)
        return (reset, update, add_bias(new, self.candidate_bias)), tuple(jnp.split(self.input(input), 3, axis=-1))

    def gate(self, recurrent: Shares, projected: Shares, hidden: Array) -> Float[Array, "*time hidden"]:
        """The next state from the recurrent and the input's share of each gate."""
        h_reset, h_update, h_new = recurrent
        x_reset, x_update, x_new = projected
        reset = jax.nn.sigmoid(x_reset + h_reset)
        update = jax.nn.sigmoid(x_update + h_update)
        new = jnp.tanh(x_new + reset * h_new)
        return new + update * (hidden - new)

    def output(self, hidden: Float[Array, "*time hidden"]) -> Float[Array, "*time hidden"]:
        """What the heads and the recurrence read."""
        return hidden


@record
class LSTMState:
    """`output` and `cell`, each `[hidden]`."""

    output: Float[Array, "*time hidden"]
    cell: Float[Array, "*time hidden"]


class LSTM(eqx.Module):
    """Long short-term memory, with the input's share of the gates computed apart from the recurrence.

        i, f, g, o = x + h U    c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g)    h' = σ(o) ⊙ tanh(c')

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000. The forget gate's bias starts at 1 (Jozefowicz et al. 2015).
    """

    input: Dense
    recurrent: Float[Array, "hidden gates"]

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        """Orthogonal recurrent weights, gate by gate."""
        key_input, key_recurrent = jax.random.split(key)
        dense = Dense(inputs, 4 * hidden_size, gain=1.0, key=key_input)
        remember = jnp.zeros(4 * hidden_size).at[hidden_size : 2 * hidden_size].set(1.0)
        self.input = eqx.tree_at(lambda d: d.bias, dense, remember)
        self.recurrent = _orthogonal_gates(key_recurrent, gates=4, hidden_size=hidden_size)

    def initial(self, *lifetimes: int) -> LSTMState:
        """The state before anything was lived."""
        zeros = jnp.zeros((*lifetimes, self.recurrent.shape[0]))
        return LSTMState(output=zeros, cell=zeros)

    def run(
        self, hidden: PyTree, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, PyTree]:
        """The state after the last step and after each `[T, *lifetimes, hidden]`; a step that is not valid changes nothing."""
        return run_gated(self, hidden, inputs, valid)

    def products(self, output: Array, input: Array) -> tuple[Shares, Shares]:
        """Shares of write, keep, new and show, of the last output and of the input."""
        return tuple(jnp.split(output @ self.recurrent, 4, axis=-1)), tuple(jnp.split(self.input(input), 4, axis=-1))

    def gate(self, recurrent: Shares, projected: Shares, hidden: LSTMState) -> LSTMState:
        """The next state from the recurrent and the input's share of each gate."""
        write, keep, new, show = (x + h for x, h in zip(projected, recurrent, strict=True))
        cell = jax.nn.sigmoid(keep) * hidden.cell + jax.nn.sigmoid(write) * jnp.tanh(new)
        return LSTMState(output=jax.nn.sigmoid(show) * jnp.tanh(cell), cell=cell)

    def output(self, hidden: LSTMState) -> Float[Array, "*time hidden"]:
        """What the heads and the recurrence read."""
        return hidden.output


class Linear(eqx.Module):
    """A linear recurrence: each unit takes in what it is told and forgets at a rate that it is told.

        z = σ(A x + a)    h' = (1 − z) ⊙ h + √z ⊙ relu(B x + b)    output = relu(C h / |h| + c)

    |h| is the root mean square over units. Gates that read no state let whole lifetimes run in parallel along time, and keep
    gradients alive over a thousand steps: at the start the units forget within 2 to 1,000 steps, evenly on a logarithmic
    scale, so that some count over a lifetime and others know the last step alone.

    Source: gates and candidate of Feng et al. 2024 (minGRU); the scale √z, which keeps noise of one size at every rate, and
    the spread of rates of Orvieto et al. 2023 (LRU). Changed: the candidate is not signed, the output is normalised.
    """

    forget: Dense
    write: Dense
    read: Dense

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        """Twice as many units as outputs; the rates start almost alike for every input."""
        keys, units = jax.random.split(key, 3), 2 * hidden_size
        rates = jnp.exp(-jnp.linspace(0.7, 7.0, units))
        forget = Dense(inputs, units, gain=0.1, key=keys[0])
        self.forget = eqx.tree_at(lambda dense: dense.bias, forget, jnp.log(rates / (1 - rates)))
        self.write = Dense(inputs, units, gain=2.0, key=keys[1])
        self.read = Dense(units, hidden_size, gain=2.0**0.5, key=keys[2])

    def initial(self, *lifetimes: int) -> Float[Array, "*lifetimes units"]:
        """The state before anything was lived."""
        return jnp.zeros((*lifetimes, self.forget.bias.size))

    def run(
        self, hidden: PyTree, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, PyTree]:
        """The state after the last step and after each `[T, *lifetimes, units]`; a step that is not valid changes nothing."""
        rate = jax.nn.sigmoid(self.forget(inputs))
        # A little above zero, where the slope of the root would have no end.
        candidate = jnp.sqrt(rate + 1e-6) * jax.nn.relu(self.write(inputs))
        return run_linear(1 - rate, candidate, hidden, valid)

    def output(self, hidden: Float[Array, "*time units"]) -> Float[Array, "*time hidden"]:
        """What the heads read."""
        size = jnp.sqrt(jnp.square(hidden).mean(-1, keepdims=True) + 0.1)
        return jax.nn.relu(self.read(hidden / size))


Core = GRU | LSTM | Linear

CORES: dict[str, type[GRU] | type[LSTM] | type[Linear]] = {"gru": GRU, "lstm": LSTM, "linear": Linear}


def recurrent_core(kind: Literal["gru", "lstm", "linear"], inputs: int, hidden_size: int, *, key: PRNGKeyArray) -> Core:
    """A recurrent core by name."""
    return CORES[kind](inputs, hidden_size, key=key)


class Perceptron(eqx.Module):
    """Layers of relu, and a linear head."""

    layers: tuple[Dense, ...]
    head: Dense

    def __init__(self, inputs: int, hidden_sizes: tuple[int, ...], outputs: int, *, gain: float, key: PRNGKeyArray):
        """`gain` is that of the head."""
        keys = jax.random.split(key, len(hidden_sizes) + 1)
        pairs = itertools.pairwise((inputs, *hidden_sizes))
        self.layers = tuple(Dense(*pair, gain=2.0**0.5, key=key) for pair, key in zip(pairs, keys[1:], strict=True))
        self.head = Dense(hidden_sizes[-1], outputs, gain=gain, key=keys[0])

    def __call__(self, *parts: Float[Array, "*time part"]) -> Float[Array, "*time outputs"]:
        """The parts make up the input, one after another along the last axis."""
        hidden = jax.nn.relu(self.layers[0](*parts))
        for layer in self.layers[1:]:
            hidden = jax.nn.relu(layer(hidden))
        return self.head(hidden)


class PolicyNetwork(eqx.Module):
    """Layers of tanh, and a head; a context vector stands beside the observation.

    How far continuous actions scatter is the same at every observation, as in Schulman et al. 2015: were it a function of the
    observation, an outer step could shrink it wherever that makes inner steps longer, until nothing is tried any more.
    """

    layers: tuple[Dense, ...]
    head: Dense
    deviation: Float[Array, " scatter"]
    context: Float[Array, " context"]

    def __init__(
        self, spec: Spec, hidden_sizes: tuple[int, ...], *, context: int = 0, input_gain: float = 1.0, key: PRNGKeyArray
    ):
        """The policy starts close to uniform; the context is zero.

        `input_gain` is that of the first layer. Biases are drawn from [-1, 1], so that units bend at different places: where
        all of them bend at zero and inputs are small, the network is linear, and one inner step says the same everywhere.
        """
        keys = jax.random.split(key, len(hidden_sizes) + 1)
        gains = (input_gain, *[1.0] * (len(hidden_sizes) - 1))
        pairs = itertools.pairwise((flat_size(spec.observation_space) + context, *hidden_sizes))
        self.layers = tuple(
            _random_bias_dense(*pair, gain=gain, key=key) for pair, gain, key in zip(pairs, gains, keys[1:], strict=True)
        )
        deviation = 0 if isinstance(spec.action_space, gymnasium.spaces.Discrete) else flat_size(spec.action_space)
        self.head = Dense(hidden_sizes[-1], policy_parameters(spec.action_space) - deviation, gain=0.1, key=keys[0])
        self.deviation = jnp.zeros(deviation)
        self.context = jnp.zeros(context)

    def __call__(self, observation: Float[Array, "*time size"]) -> Float[Array, "*time numbers"]:
        """The numbers that make a policy, from flat observations."""
        context = jnp.broadcast_to(self.context, (*observation.shape[:-1], self.context.size))
        hidden = jnp.tanh(self.layers[0](observation, context))
        for layer in self.layers[1:]:
            hidden = jnp.tanh(layer(hidden))
        return with_deviation(self.head(hidden), self.deviation)

    def policy(self, observation: Array, spec: Spec) -> Policy:
        """The distribution over actions at an observation, or at many."""
        return policy_over(self(encode(observation, spec.observation_space)), spec.action_space)


def _random_bias_dense(inputs: int, outputs: int, *, gain: float, key: PRNGKeyArray) -> Dense:
    """A dense layer with biases within [-1, 1]."""
    key_weight, key_bias = jax.random.split(key)
    bias = jax.random.uniform(key_bias, (outputs,), minval=-1.0, maxval=1.0)
    return eqx.tree_at(lambda dense: dense.bias, Dense(inputs, outputs, gain=gain, key=key_weight), bias)


def with_deviation(
    outputs: Float[Array, "*time outputs"], deviation: Float[Array, " scatter"]
) -> Float[Array, "*time numbers"]:
    """The numbers that make a policy: what the head says at each observation, and what holds at all of them."""
    return jnp.concatenate([outputs, jnp.broadcast_to(deviation, (*outputs.shape[:-1], deviation.size))], axis=-1)


def encode(element: Array, space: Space) -> Float[Array, "*time size"]:
    """An element of a space as `flat_size` numbers: one-hot ids, a bounded Box scaled to [-1, 1], others as they are.

    Args:
      element: with or without leading time axis.
      space: its space.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.nn.one_hot(element - jnp.asarray(int(space.start), element.dtype), int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        cells = one_hot_cells(element, space)
        return cells.reshape(*cells.shape[:-2], -1)
    size = flat_size(space)
    flat = element.astype(jnp.float32).reshape(*element.shape[: element.ndim - len(space.shape or ())], size)
    if not space.is_bounded():
        return flat
    shape = (1,) * (flat.ndim - 1) + (size,)
    low, high = (jnp.asarray(bound, jnp.float32).reshape(shape) for bound in (space.low, space.high))
    return (2 * flat - low - high) / jnp.maximum(high - low, 1e-8)


def symbol_cells(space: gymnasium.spaces.MultiDiscrete) -> tuple[int, tuple[int, ...]]:
    """How many cells there are, and how many ids each of a cell's symbols has.

    Where `nvec` repeats itself along all but its last axis, the last axis is a cell; otherwise the whole element is one.
    """
    rows = space.nvec.reshape(-1, space.nvec.shape[-1])
    alike = space.nvec.ndim > 1 and bool((rows == rows[0]).all())
    return (len(rows), tuple(rows[0].tolist())) if alike else (1, tuple(space.nvec.ravel().tolist()))


def cell_symbols(element: Array, space: gymnasium.spaces.MultiDiscrete) -> Int[Array, "*time cells symbols"]:
    """The symbols of every cell, counted from zero."""
    cells, kinds = symbol_cells(space)
    start = jnp.asarray(space.start, element.dtype).reshape((1,) * (element.ndim - space.nvec.ndim) + space.nvec.shape)
    return (element - start).reshape(*element.shape[: element.ndim - space.nvec.ndim], cells, len(kinds))


def one_hot_cells(element: Array, space: gymnasium.spaces.MultiDiscrete) -> Float[Array, "*time cells ids"]:
    """The symbols of every cell, one-hot, one after another along the last axis."""
    _, kinds = symbol_cells(space)
    symbols = cell_symbols(element, space)
    return jnp.concatenate([jax.nn.one_hot(symbols[..., place], ids) for place, ids in enumerate(kinds)], axis=-1)


def see(statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
    """An observation, or many, as networks read it: encoded, and brought to a common size where it has no bounds."""
    flat = encode(observation, spec.observation_space)
    if isinstance(spec.observation_space, gymnasium.spaces.Box) and not spec.observation_space.is_bounded():
        return statistics.whiten(flat)
    return flat


def _orthogonal_gates(key: PRNGKeyArray, *, gates: int, hidden_size: int) -> Float[Array, "hidden gates"]:
    square = (hidden_size, hidden_size)
    drawn = jax.vmap(lambda k: jax.random.normal(k, square))(jax.random.split(key, gates))
    return jnp.concatenate(list(jax.vmap(orthogonalised)(drawn)), axis=1)
