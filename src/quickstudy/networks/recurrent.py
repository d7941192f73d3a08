"""Recurrent cores: gated recurrent unit, long short-term memory, linear recurrence.

They keep the interface of `core.py`. What they read is the same whatever is observed.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.networks.core import CoreInputs
from quickstudy.networks.layers import Dense, add_bias
from quickstudy.numerics.linear_algebra import orthogonalised
from quickstudy.numerics.recurrence import Shares, run_gated, run_linear
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import shift_right


class GRU(eqx.Module):
    """Gated recurrent unit, with the input's share of the gates computed apart from the recurrence.

        r = σ(x_r + h U_r)    z = σ(x_z + h U_z)    n = tanh(x_n + r ⊙ (h U_n + b_n))    h' = n + z ⊙ (h − n)

    Source: Cho et al. 2014, in the form of cuDNN (reset after the product), as in `equinox.nn.GRUCell`.
    """

    each: ClassVar[int] = 0
    exchangeable: ClassVar[bool] = False

    input: Dense
    recurrent: Float[Array, "hidden gates"]
    candidate_bias: Float[Array, " hidden"]

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        """Orthogonal recurrent weights, gate by gate."""
        key_input, key_recurrent = jax.random.split(key)
        self.input = Dense(inputs, 3 * hidden_size, gain=1.0, key=key_input)
        self.recurrent = _orthogonal_gates(key_recurrent, gates=3, hidden_size=hidden_size)
        self.candidate_bias = jnp.zeros(hidden_size)

    def initial(self, spec: Spec, *lifetimes: int) -> Float[Array, "*lifetimes hidden"]:
        """The state before anything has happened."""
        del spec
        return jnp.zeros((*lifetimes, self.recurrent.shape[0]))

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        del spec
        return self.recurrent.shape[0]

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        return run_gated(self, state, inputs.flat(), valid)[0]

    def read(self, state: PyTree, seen: Float[Array, "*time size"]) -> Float[Array, "*time hidden"]:
        """The output; it is the same whatever is observed."""
        del seen
        return self.output(state)

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes size"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes hidden"]]:
        """The state after the last step, and what was read before each step was taken in."""
        del seen
        last, states = run_gated(self, state, inputs.flat(), valid)
        return last, self.output(shift_right(state, states))

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

    each: ClassVar[int] = 0
    exchangeable: ClassVar[bool] = False

    input: Dense
    recurrent: Float[Array, "hidden gates"]

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        """Orthogonal recurrent weights, gate by gate."""
        key_input, key_recurrent = jax.random.split(key)
        dense = Dense(inputs, 4 * hidden_size, gain=1.0, key=key_input)
        remember = jnp.zeros(4 * hidden_size).at[hidden_size : 2 * hidden_size].set(1.0)
        self.input = eqx.tree_at(lambda d: d.bias, dense, remember)
        self.recurrent = _orthogonal_gates(key_recurrent, gates=4, hidden_size=hidden_size)

    def initial(self, spec: Spec, *lifetimes: int) -> LSTMState:
        """The state before anything has happened."""
        del spec
        zeros = jnp.zeros((*lifetimes, self.recurrent.shape[0]))
        return LSTMState(output=zeros, cell=zeros)

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        del spec
        return self.recurrent.shape[0]

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        return run_gated(self, state, inputs.flat(), valid)[0]

    def read(self, state: PyTree, seen: Float[Array, "*time size"]) -> Float[Array, "*time hidden"]:
        """The output; it is the same whatever is observed."""
        del seen
        return self.output(state)

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes size"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes hidden"]]:
        """The state after the last step, and what was read before each step was taken in."""
        del seen
        last, states = run_gated(self, state, inputs.flat(), valid)
        return last, self.output(shift_right(state, states))

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
    """A linear recurrence: the input alone decides what each unit takes in, and at which rate it forgets.

        z = σ(A x + a)    h' = (1 − z) ⊙ h + √z ⊙ relu(B x + b)    output = relu(C h / |h| + c)

    |h| is the root mean square over units. The gates read no state, so whole lifetimes run in parallel along time, and
    gradients survive a thousand steps. At the start the units forget within 2 to 1,000 steps, evenly on a logarithmic scale:
    some count over a whole lifetime, others hold the last step alone.

    With a layer before it, x is followed by relu(D x + d). A unit that counts products, such as action times context times
    reward, then has simple ones to begin with.

    Source: gates and candidate of Feng et al. 2024 (minGRU); the scale √z, which keeps noise of one size at every rate, and
    the spread of rates of Orvieto et al. 2023 (LRU). Changed: the candidate is not signed, the output is normalised.
    """

    each: ClassVar[int] = 0
    exchangeable: ClassVar[bool] = False

    forget: Dense
    write: Dense
    project: Dense
    layer: Dense | None

    def __init__(self, inputs: int, hidden_size: int, *, layer: int = 0, key: PRNGKeyArray):
        """Twice as many units as outputs; the rates start almost alike for every input.

        Args:
          inputs: numbers that a step is taken in as.
          hidden_size: outputs.
          layer: units of the layer before it; 0 for none.
          key: of the first weights.
        """
        keys, units = jax.random.split(key, 3), 2 * hidden_size
        self.layer = Dense(inputs, layer, gain=2.0**0.5, key=jax.random.fold_in(key, 3)) if layer else None
        inputs += layer
        rates = jnp.exp(-jnp.linspace(0.7, 7.0, units))
        forget = Dense(inputs, units, gain=0.1, key=keys[0])
        self.forget = eqx.tree_at(lambda dense: dense.bias, forget, jnp.log(rates / (1 - rates)))
        self.write = Dense(inputs, units, gain=2.0, key=keys[1])
        self.project = Dense(units, hidden_size, gain=2.0**0.5, key=keys[2])

    def initial(self, spec: Spec, *lifetimes: int) -> Float[Array, "*lifetimes units"]:
        """The state before anything has happened."""
        del spec
        return jnp.zeros((*lifetimes, self.forget.bias.size))

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        del spec
        return self.project.bias.size

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        return self._states(state, inputs.flat(), valid)[0]

    def read(self, state: PyTree, seen: Float[Array, "*time size"]) -> Float[Array, "*time hidden"]:
        """The output; it is the same whatever is observed."""
        del seen
        return self.output(state)

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes size"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes hidden"]]:
        """The state after the last step, and what was read before each step was taken in."""
        del seen
        last, states = self._states(state, inputs.flat(), valid)
        return last, self.output(shift_right(state, states))

    def _states(
        self, state: PyTree, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[Array, Array]:
        """The state after the last step, and after each `[T, *lifetimes, units]`."""
        if self.layer is not None:
            inputs = jnp.concatenate([inputs, jax.nn.relu(self.layer(inputs))], axis=-1)
        rate = jax.nn.sigmoid(self.forget(inputs))
        # A little above zero, where the slope of the root would have no end.
        candidate = jnp.sqrt(rate + 1e-6) * jax.nn.relu(self.write(inputs))
        return run_linear(1 - rate, candidate, state, valid)

    def output(self, hidden: Float[Array, "*time units"]) -> Float[Array, "*time hidden"]:
        """What the heads read."""
        size = jnp.sqrt(jnp.square(hidden).mean(-1, keepdims=True) + 0.1)
        return jax.nn.relu(self.project(hidden / size))


def _orthogonal_gates(key: PRNGKeyArray, *, gates: int, hidden_size: int) -> Float[Array, "hidden gates"]:
    square = (hidden_size, hidden_size)
    drawn = jax.vmap(lambda k: jax.random.normal(k, square))(jax.random.split(key, gates))
    return jnp.concatenate(list(jax.vmap(orthogonalised)(drawn)), axis=1)
