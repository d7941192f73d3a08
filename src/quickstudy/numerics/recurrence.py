"""Recurrences along time, for one lifetime or for many side by side, and their gradients.

JAX differentiates a scan by storing every intermediate of every step. On a processor, memory bandwidth limits the speed of a
recurrent network. So `run_gated` over many lifetimes has a backward pass of its own: it stores the states and the recurrent
products alone, computes the gates again in the backward pass, and adds up the weights' gradient in the cache.

`run_linear` has gates that read no state. All of them are made at once, and on an accelerator the steps run in parallel.
"""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.protocol.sequences import scan, shift_right

Shares = tuple[Array, ...]


class GatedRecurrence(Protocol):
    """What a core whose gates read its state offers; any leading axes, the last one is features."""

    def output(self, hidden: PyTree) -> Array:
        """The part of a state that heads and products read."""

    def products(self, output: Array, input: Array) -> tuple[Shares, Shares]:
        """All that is multiplied with weights, gate by gate: the share of the last output, and that of the input."""

    def gate(self, recurrent: Shares, projected: Shares, hidden: PyTree) -> PyTree:
        """The next state; reads no weights."""


def run_gated(
    core: GatedRecurrence, hidden: PyTree, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
) -> tuple[PyTree, PyTree]:
    """A gated core along a sequence; where a step is not valid its state does not change.

    Args:
      core: its weights are differentiated, as are `hidden` and `inputs`.
      hidden: the state before the first step, `[*lifetimes, hidden]`.
      inputs: time-major; with an axis of lifetimes or without.
      valid: steps that happened.
    Returns:
      The state after the last step, and the states `[T, *lifetimes, hidden]` after each.
    """
    run = _run_many if inputs.ndim == 3 else lambda *arguments: _run(*arguments)[0]
    states = run(core, hidden, inputs, valid)
    return jax.tree.map(lambda leaf: leaf[-1], states), states


def _advance(core: GatedRecurrence, recurrent: Shares, projected: Shares, hidden: PyTree, valid: Array) -> PyTree:
    def chosen(new: Array, old: Array) -> Array:
        return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)

    return jax.tree.map(chosen, core.gate(recurrent, projected, hidden), hidden)


def _run(core: GatedRecurrence, hidden: PyTree, inputs: Array, valid: Array) -> tuple[PyTree, Shares]:
    """States and recurrent shares after and at each step."""

    def step(hidden: PyTree, x: tuple[Array, Array]) -> tuple[PyTree, tuple[PyTree, Shares]]:
        # Projected step by step, not for all steps beforehand: staying in the cache saves more time than one large product.
        recurrent, projected = core.products(core.output(hidden), x[0])
        hidden = _advance(core, recurrent, projected, hidden, x[1])
        return hidden, (hidden, recurrent)

    return scan(step, hidden, (inputs, valid))[1]


@jax.custom_vjp
def _run_many(core: GatedRecurrence, hidden: PyTree, inputs: Array, valid: Array) -> PyTree:
    return _run(core, hidden, inputs, valid)[0]


def _forward(core: GatedRecurrence, hidden: PyTree, inputs: Array, valid: Array) -> tuple[PyTree, tuple]:
    states, recurrent = _run(core, hidden, inputs, valid)
    return states, (core, hidden, inputs, valid, states, recurrent)


def _backward(kept: tuple, sensitivity: PyTree) -> tuple[GatedRecurrence, PyTree, Array, None]:
    core, begin, inputs, valid, states, recurrent = kept
    add: Callable = lambda one, other: jax.tree.map(jnp.add, one, other)  # noqa: E731

    def step(carry: tuple, x: tuple) -> tuple[tuple, Array]:
        later, d_core = carry
        sensitivity, recurrent, hidden, input, valid = x
        _, projected = core.products(core.output(hidden), input)
        _, through_gate = jax.vjp(lambda r, p, h: _advance(core, r, p, h, valid), recurrent, projected, hidden)
        d_recurrent, d_projected, d_hidden = through_gate(add(later, sensitivity))
        _, through_products = jax.vjp(lambda c, h, i: c.products(c.output(h), i), core, hidden, input)
        d_weights, d_output, d_input = through_products((d_recurrent, d_projected))
        return (add(d_hidden, d_output), add(d_core, d_weights)), d_input

    nothing = jax.tree.map(jnp.zeros_like, (begin, core))
    steps = (sensitivity, recurrent, shift_right(begin, states), inputs, valid)
    (d_begin, d_core), d_inputs = jax.lax.scan(step, nothing, steps, reverse=True)
    return d_core, d_begin, d_inputs, None


_run_many.defvjp(_forward, _backward)


def run_linear(
    keep: Float[Array, "T *lifetimes units"],
    add: Float[Array, "T *lifetimes units"],
    hidden: Float[Array, "*lifetimes units"],
    valid: Bool[Array, "T *lifetimes"],
) -> tuple[Array, Array]:
    """h_t = keep_t ⊙ h_{t-1} + add_t; where a step is not valid the state stays the same.

    Args:
      keep: `[T, *lifetimes, units]`, factor of each unit of the old state.
      add: `[T, *lifetimes, units]`, added to each unit.
      hidden: `[*lifetimes, units]`, the state before the first step.
      valid: steps that happened.
    Returns:
      The state after the last step, and the states `[T, *lifetimes, units]` after each.
    Source: Blelloch 1990, section 1.4, for the parallel form, of depth log T.
    """
    keep, add = jnp.where(valid[..., None], keep, 1.0), jnp.where(valid[..., None], add, 0.0)
    # On a processor the parallel form needs more work without a gain.
    states = jax.lax.platform_dependent(keep, add, hidden, cpu=steps_in_turn, default=steps_in_parallel)
    return states[-1], states


def steps_in_turn(keep: Array, add: Array, hidden: Array) -> Array:
    """All states of a linear recurrence, one after another."""

    def step(hidden: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        hidden = x[0] * hidden + x[1]
        return hidden, hidden

    return scan(step, hidden, (keep, add))[1]


def steps_in_parallel(keep: Array, add: Array, hidden: Array) -> Array:
    """The same in parallel: two steps in sequence are one step with the product of factors and the sum of additions."""

    def join(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
        return one[0] * other[0], one[1] * other[0] + other[1]

    kept, added = jax.lax.associative_scan(join, (keep, add))
    return kept * hidden[None] + added
