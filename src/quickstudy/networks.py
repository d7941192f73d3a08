"""Layers of agents: recurrent cores, input encodings, heads. Every module holds arrays and static settings only."""

from typing import Literal

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.numerics.sequences import scan, where
from quickstudy.records import Space, flat_size, record


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

    def __call__(self, x: Float[Array, "*time inputs"]) -> Float[Array, "*time outputs"]:
        """Written as one product over all leading axes, so that a whole lifetime is projected at once."""
        return x @ self.weight.T + self.bias.reshape((1,) * (x.ndim - 1) + (-1,))


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

    def initial(self) -> Float[Array, " hidden"]:
        """The hidden state before anything was lived."""
        return jnp.zeros_like(self.candidate_bias)

    def gate(self, recurrent: tuple[Array, ...], projected: tuple[Array, ...], hidden: Array) -> Float[Array, " hidden"]:
        """The next state from the recurrent and the input's share of each gate."""
        h_reset, h_update, h_new = recurrent
        x_reset, x_update, x_new = projected
        reset = jax.nn.sigmoid(x_reset + h_reset)
        update = jax.nn.sigmoid(x_update + h_update)
        new = jnp.tanh(x_new + reset * (h_new + self.candidate_bias))
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

    def initial(self) -> LSTMState:
        """The state before anything was lived."""
        zeros = jnp.zeros(self.recurrent.shape[0])
        return LSTMState(output=zeros, cell=zeros)

    def gate(self, recurrent: tuple[Array, ...], projected: tuple[Array, ...], hidden: LSTMState) -> LSTMState:
        """The next state from the recurrent and the input's share of each gate."""
        write, keep, new, show = (x + h for x, h in zip(projected, recurrent, strict=True))
        cell = jax.nn.sigmoid(keep) * hidden.cell + jax.nn.sigmoid(write) * jnp.tanh(new)
        return LSTMState(output=jax.nn.sigmoid(show) * jnp.tanh(cell), cell=cell)

    def output(self, hidden: LSTMState) -> Float[Array, "*time hidden"]:
        """What the heads and the recurrence read."""
        return hidden.output


Core = GRU | LSTM


def recurrent_core(kind: Literal["gru", "lstm"], inputs: int, hidden_size: int, *, key: PRNGKeyArray) -> Core:
    """A recurrent core by name."""
    return GRU(inputs, hidden_size, key=key) if kind == "gru" else LSTM(inputs, hidden_size, key=key)


def run_core(core: Core, hidden: PyTree, inputs: Float[Array, "T inputs"], valid: Array) -> tuple[PyTree, PyTree]:
    """The core along a sequence; where a step is not valid its state stands still.

    Returns:
      The state after the last step, and the states `[T]` after each.
    """

    def step(hidden: PyTree, x: tuple[tuple[Array, ...], Array]) -> tuple[PyTree, PyTree]:
        projected, valid = x
        recurrent = _by_gate(core.output(hidden) @ core.recurrent, core)
        hidden = where(valid, core.gate(recurrent, projected, hidden), hidden)
        return hidden, hidden

    return scan(step, hidden, (_by_gate(core.input(inputs), core), valid))


def encode(element: Array, space: Space) -> Float[Array, "*time size"]:
    """An element of a space as `flat_size` numbers: one-hot for Discrete, bounded Box scaled to [-1, 1], others as they are.

    Args:
      element: with or without leading time axis.
      space: its space.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.nn.one_hot(element - jnp.asarray(int(space.start), element.dtype), int(space.n))
    size = flat_size(space)
    flat = element.astype(jnp.float32).reshape(*element.shape[: element.ndim - len(space.shape or ())], size)
    if not space.is_bounded():
        return flat
    shape = (1,) * (flat.ndim - 1) + (size,)
    low, high = (jnp.asarray(bound, jnp.float32).reshape(shape) for bound in (space.low, space.high))
    return (2 * flat - low - high) / jnp.maximum(high - low, 1e-8)


def _by_gate(shares: Float[Array, "*time gates"], core: Core) -> tuple[Array, ...]:
    """Cuts the last axis gate by gate: slices of one wide array within a loop would keep XLA from using vector instructions."""
    return tuple(jnp.split(shares, core.recurrent.shape[1] // core.recurrent.shape[0], axis=-1))


def _orthogonal_gates(key: PRNGKeyArray, *, gates: int, hidden_size: int) -> Float[Array, "hidden gates"]:
    orthogonal = jax.nn.initializers.orthogonal()
    square = (hidden_size, hidden_size)
    return jnp.concatenate([orthogonal(k, square, jnp.float32) for k in jax.random.split(key, gates)], axis=1)
