"""Layers that all networks are made of. A module holds arrays and static settings only."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Dense(eqx.Module):
    """y = W x + b, over the last axis of an input with any number of leading axes."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, gain: float, key: PRNGKeyArray):
        """Independent normal weights of deviation gain / √inputs, bias zero.

        Not orthogonal: with few inputs and many gates, orthogonal weights would be so small that a core hardly reacts to its
        input.
        """
        self.weight = gain * inputs**-0.5 * jax.random.normal(key, (outputs, inputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, *parts: Float[Array, "*time _"]) -> Float[Array, "*time outputs"]:
        """The parts are the input, one after another along the last axis; they are not copied to join them."""
        ends = list(itertools.accumulate(part.shape[-1] for part in parts))
        shares = [part @ self.weight[:, end - part.shape[-1] : end].T for part, end in zip(parts, ends, strict=True)]
        return add_bias(sum(shares[1:], start=shares[0]), self.bias)


def add_bias(x: Float[Array, "*time size"], bias: Float[Array, " size"]) -> Float[Array, "*time size"]:
    """x + b, as a product with ones. Its gradient is then a product too; a sum over rows would be slow on processors."""
    return x + jnp.ones((*x.shape[:-1], 1)) @ bias[None]


def largest(x: Float[Array, "*time things size"]) -> Float[Array, "*time size"]:
    """The largest of several arrays, number by number; the gradient flows to the first of those that tie.

    The gradient of `max` divides by the number of ties. If a compiler computes the inputs a second time with other rounding,
    none ties, and the gradient is NaN.
    """
    first = jax.nn.one_hot(jnp.argmax(jax.lax.stop_gradient(x), axis=-2), x.shape[-2], axis=-2)
    return (first * x).sum(-2)


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

    def __call__(self, *parts: Float[Array, "*time _"]) -> Float[Array, "*time outputs"]:
        """The parts make up the input, one after another along the last axis."""
        hidden = jax.nn.relu(self.layers[0](*parts))
        for layer in self.layers[1:]:
            hidden = jax.nn.relu(layer(hidden))
        return self.head(hidden)
