"""One layer of attention: tokens attend to kept steps, or to nothing; then two dense parts.

    x ← x + O Σ_s α_s v_s        α = softmax over kept steps s of q · k_s, and over nothing (a learned logit with value zero)
    x ← x + D gelu(U norm(x))    queries, keys and values are made of norm(x)

The weight of nothing shows how many kept steps match. Keys and queries are turned by their step's number (rotary positions), so
attention depends on the time since a step.

Source: Vaswani et al. 2017; normalisation before each part, Xiong et al. 2020; rotary positions, Su et al. 2021. Changed: the
attention to nothing.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.networks.layers import Dense

_NEVER = -1e9
_SLOWEST_TURN = 1000.0


class Layer(eqx.Module):
    """One layer of attention and two dense parts."""

    ask: Dense
    store: Dense
    nothing: Float[Array, " heads"]
    out: Dense
    up: Dense
    down: Dense

    def __init__(self, size: int, heads: int, *, key: PRNGKeyArray):
        """The layer starts close to passing its input on."""
        keys = jax.random.split(key, 5)
        self.ask = Dense(size, size, gain=1.0, key=keys[0])
        self.store = Dense(size, 2 * size, gain=1.0, key=keys[1])
        self.nothing = jnp.zeros(heads)
        self.out = Dense(size, size, gain=0.5, key=keys[2])
        self.up = Dense(size, 2 * size, gain=2.0**0.5, key=keys[3])
        self.down = Dense(2 * size, size, gain=0.5, key=keys[4])

    def queries(self, x: Float[Array, "*time size"], at: Int[Array, "*time"]) -> Float[Array, "*time heads part"]:
        """The queries of a token, at the step of this number."""
        return _turned(self._cut(self.ask(normalised(x))), at)

    def stored(self, x: Float[Array, "*time size"], at: Int[Array, "*time"]) -> tuple[Array, Array]:
        """Key and value of a token `[*time, heads, part]`, of the step of this number."""
        keys, values = jnp.split(self.store(normalised(x)), 2, axis=-1)
        return _turned(self._cut(keys), at), self._cut(values)

    def after(
        self,
        x: Float[Array, "tokens *lifetimes size"],
        queries: Float[Array, "tokens *lifetimes heads part"],
        keys: Float[Array, "kept *lifetimes heads part"],
        values: Float[Array, "kept *lifetimes heads part"],
        seen: Bool[Array, "tokens kept *lifetimes"],
    ) -> Float[Array, "tokens *lifetimes size"]:
        """The tokens after this layer; each attends to the steps that it may see."""
        # With steps as the last axis the softmax is contiguous: the gradient of a run takes a quarter less time on processors.
        logits = jnp.einsum("t...hd,s...hd->...hts", queries, keys) / math.sqrt(queries.shape[-1])
        logits = jnp.where(steps_last(seen), logits, _NEVER)
        nothing = jnp.broadcast_to(self.nothing[:, None, None], (*logits.shape[:-1], 1))
        shares = jax.nn.softmax(jnp.concatenate([nothing, logits], axis=-1), axis=-1)[..., 1:]
        mixed = jnp.einsum("...hts,s...hd->t...hd", shares, values)
        x = x + self.out(mixed.reshape(*x.shape))
        return x + self.down(jax.nn.gelu(self.up(normalised(x))))

    def _cut(self, x: Float[Array, "*time size"]) -> Float[Array, "*time heads part"]:
        return x.reshape(*x.shape[:-1], self.nothing.size, -1)


def normalised(x: Float[Array, "*time size"]) -> Float[Array, "*time size"]:
    """Mean 0 and deviation 1 over the numbers of a token."""
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)


def steps_last(seen: Bool[Array, "tokens kept *lifetimes"]) -> Bool[Array, "*lifetimes 1 tokens kept"]:
    """The mask with tokens and kept steps as its last axes, and one axis for all heads before them."""
    return jnp.moveaxis(seen, (0, 1), (-2, -1))[..., None, :, :]


def _turned(x: Float[Array, "*time heads part"], at: Int[Array, "*time"]) -> Float[Array, "*time heads part"]:
    """Pairs of numbers, turned by an angle that grows with the step's number."""
    pairs = x.shape[-1] // 2
    speed = _SLOWEST_TURN ** -(jnp.arange(pairs) / pairs)
    angle = at[..., None, None].astype(jnp.float32) * speed.reshape((1,) * (x.ndim - 1) + (-1,))
    one, other = x[..., :pairs], x[..., pairs:]
    return jnp.concatenate([one * jnp.cos(angle) - other * jnp.sin(angle), one * jnp.sin(angle) + other * jnp.cos(angle)], -1)
