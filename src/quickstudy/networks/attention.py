"""An attention core: the last steps are kept as keys and values, and the present observation is the query.

Every step that happened becomes one token, which attends to the tokens before it. A read sends a token of the present
observation and of the clock through the same layers. It attends to all kept tokens and is not kept.

    x ← x + O Σ_s α_s v_s        α = softmax over kept steps s of q · k_s, and over nothing (a learned logit with value zero)
    x ← x + D gelu(U norm(x))    queries, keys and values are made of norm(x)

The weight of nothing shows how many kept steps match. Keys and queries are turned by their step's number (rotary positions), so
attention depends on the time since a step. The cache is a ring of `window` slots; an older step is overwritten.

Source: Vaswani et al. 2017; normalisation before each part, Xiong et al. 2020; rotary positions, Su et al. 2021. Changed: the
attention to nothing, and the token of the present observation, which is a query only.
"""

import dataclasses
import math
from typing import Annotated, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.networks.core import CoreInputs
from quickstudy.networks.layers import Dense
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import scan, shift_right
from quickstudy.protocol.setting_values import Range
from quickstudy.protocol.settings import check_above_zero

_NEVER = -1e9
_SLOWEST_TURN = 1000.0
_WIDEST_WINDOW = 256
"""Steps that are kept at most, where no window is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Settings of the attention core."""

    attention_layers: Annotated[int, Range(least=1, most=64)] = 2
    """Number of layers. Each has attention and two dense layers."""
    attention_heads: int = 4
    """Heads of each layer. The hidden size must be a multiple of twice this number."""
    window: int | None = None
    """Number of latest steps that are kept. If not given: the whole lifetime, but at most 256."""

    def __post_init__(self) -> None:
        check_above_zero(self, "attention_heads", "window")


@record
class AttentionState:
    """`keys`, `values` `[*lifetimes, layers, window, heads, size]`, a ring; `count` `[*lifetimes]`: steps that happened.

    `length` `[*lifetimes]`: steps of the lifetime.
    """

    keys: Float[Array, "*lifetimes layers window heads size"]
    values: Float[Array, "*lifetimes layers window heads size"]
    count: Int[Array, "*lifetimes"]
    length: Float[Array, "*lifetimes"]


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
        return _turned(self._cut(self.ask(_normalised(x))), at)

    def stored(self, x: Float[Array, "*time size"], at: Int[Array, "*time"]) -> tuple[Array, Array]:
        """Key and value of a token `[*time, heads, part]`, of the step of this number."""
        keys, values = jnp.split(self.store(_normalised(x)), 2, axis=-1)
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
        logits = jnp.einsum("t...hd,s...hd->ts...h", queries, keys) / math.sqrt(queries.shape[-1])
        logits = jnp.where(seen[..., None], logits, _NEVER)
        nothing = jnp.broadcast_to(self.nothing, (len(x), 1, *logits.shape[2:]))
        shares = jax.nn.softmax(jnp.concatenate([nothing, logits], axis=1), axis=1)[:, 1:]
        mixed = jnp.einsum("ts...h,s...hd->t...hd", shares, values)
        x = x + self.out(mixed.reshape(*x.shape))
        return x + self.down(jax.nn.gelu(self.up(_normalised(x))))

    def _cut(self, x: Float[Array, "*time size"]) -> Float[Array, "*time heads part"]:
        return x.reshape(*x.shape[:-1], self.nothing.size, -1)


class Attention(eqx.Module):
    """Layers, and what makes tokens of steps and of observations."""

    each: ClassVar[int] = 0
    exchangeable: ClassVar[bool] = False

    of_step: Dense
    of_seen: Dense
    layers: tuple[Layer, ...]
    window: int | None = eqx.field(static=True)

    def __init__(self, inputs: int, seen: int, size: int, config: AttentionConfig, *, key: PRNGKeyArray):
        """The layers, close to passing their input on.

        Args:
          inputs: numbers that are taken in of each step.
          seen: numbers in an encoded observation.
          size: of a token.
          config: its settings.
          key: of the first weights.
        Raises:
          UsageError: heads that do not fit the size of a token.
        """
        heads = config.attention_heads
        if size % (2 * heads):
            raise UsageError(f"hidden_size must be a multiple of twice attention_heads ({2 * heads}); came {size}.")
        keys = jax.random.split(key, config.attention_layers + 2)
        self.of_step = Dense(inputs, size, gain=2.0, key=keys[0])
        self.of_seen = Dense(seen + 1, size, gain=2.0, key=keys[1])
        self.layers = tuple(Layer(size, heads, key=key) for key in keys[2:])
        self.window = config.window

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        del spec
        return self.of_seen.bias.size

    def initial(self, spec: Spec, *lifetimes: int) -> AttentionState:
        """The state before anything has happened."""
        heads, window = self.layers[0].nothing.size, self.window or min(spec.lifetime_steps, _WIDEST_WINDOW)
        ring = jnp.zeros((*lifetimes, len(self.layers), window, heads, self.of_seen.bias.size // heads))
        length = jnp.full(lifetimes, float(spec.lifetime_steps))
        return AttentionState(keys=ring, values=ring, count=jnp.zeros(lifetimes, jnp.int32), length=length)

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""

        def step(state: AttentionState, now: tuple[Array, Array]) -> tuple[AttentionState, None]:
            token, happened = now
            window = state.keys.shape[-3]
            slots = jnp.arange(window).reshape(-1, *(1,) * happened.ndim)
            newest = slots == state.count[None] % window  # [window, *lifetimes]
            written = newest & happened[None]
            keys, values = _time_first(state.keys), _time_first(state.values)  # [layers, window, *lifetimes, heads, part]
            older = (self._numbers(state) >= 0) & ~newest
            x, kept = token[None], []
            for layer, ring_keys, ring_values in zip(self.layers, keys, values, strict=True):
                key, value = layer.stored(x, state.count[None])
                all_keys, all_values = (jnp.concatenate(pair) for pair in ((ring_keys, key), (ring_values, value)))
                itself = jnp.ones_like(older[:1])
                x = layer.after(
                    x, layer.queries(x, state.count[None]), all_keys, all_values, jnp.concatenate([older, itself])[None]
                )
                write = lambda ring, new: jnp.where(written[..., None, None], new, ring)  # noqa: E731
                kept.append((write(ring_keys, key), write(ring_values, value)))
            keys, values = (_lifetimes_first(jnp.stack(part)) for part in zip(*kept, strict=True))
            return dataclasses.replace(state, keys=keys, values=values, count=state.count + happened.astype(jnp.int32)), None

        return scan(step, state, (self.of_step(inputs.flat()), valid))[0]

    def read(self, state: PyTree, seen: Float[Array, "*time seen"]) -> Float[Array, "*time features"]:
        """The last layer's token of the present observation."""
        count = state.count[None]
        x, kept = self._asking(seen[None], count, state.length[None]), (self._numbers(state) >= 0)[None]
        for layer, keys, values in zip(self.layers, _time_first(state.keys), _time_first(state.values), strict=True):
            x = layer.after(x, layer.queries(x, count), keys, values, kept)
        return _normalised(x[0])

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes seen"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes features"]]:
        """The state after the last step, and what was read before each step was taken in."""
        after = state.count[None] + jnp.cumsum(valid, axis=0, dtype=jnp.int32)
        number = shift_right(state.count, after)  # of every step, which is how many happened before it
        kept = jnp.concatenate([self._numbers(state), jnp.where(valid, number, -1)])
        window, steps = state.keys.shape[-3], len(valid)
        # What asks has no slot of its own, so one step more is open to it than to a step.
        asked = (kept[None] >= 0) & (kept[None] >= number[:, None] - window) & (kept[None] < number[:, None])
        itself = jnp.eye(steps, window + steps, window, dtype=bool).reshape(steps, window + steps, *(1,) * (valid.ndim - 1))
        before = (asked & (kept[None] > number[:, None] - window)) | itself
        lengths = jnp.broadcast_to(state.length, valid.shape)
        tokens, asks, rings = self.of_step(inputs.flat()), self._asking(seen, number, lengths), []
        for layer, *ring in zip(self.layers, _time_first(state.keys), _time_first(state.values), strict=True):
            stored = layer.stored(tokens, number)
            keys, values = (jnp.concatenate([old, new]) for old, new in zip(ring, stored, strict=True))
            asks = layer.after(asks, layer.queries(asks, number), keys, values, asked)
            tokens = layer.after(tokens, layer.queries(tokens, number), keys, values, before)
            rings.append([_newest(old, new, number, after[-1], valid) for old, new in zip(ring, stored, strict=True)])
        keys, values = (_lifetimes_first(jnp.stack(part)) for part in zip(*rings, strict=True))
        return dataclasses.replace(state, keys=keys, values=values, count=after[-1]), _normalised(asks)

    def _asking(
        self, seen: Float[Array, "*time seen"], number: Int[Array, "*time"], length: Float[Array, "*time"]
    ) -> Float[Array, "*time size"]:
        """The token of an observation, which also holds the clock."""
        return self.of_seen(seen, (number.astype(jnp.float32) / length)[..., None])

    def _numbers(self, state: AttentionState) -> Int[Array, "window *lifetimes"]:
        """The number of the step that each slot of the ring holds; -1 where it is empty."""
        window = state.keys.shape[-3]
        slots = jnp.arange(window).reshape(-1, *(1,) * state.count.ndim)
        last = state.count[None] - 1
        number = last - (last - slots) % window
        return jnp.where(number >= 0, number, -1)


def _newest(ring: Array, new: Array, number: Array, count: Array, valid: Array) -> Array:
    """The ring `[window, *lifetimes, heads, part]` after steps whose entries are `new` `[T, *lifetimes, heads, part]`."""
    window = len(ring)
    kept = valid & (number >= count[None] - window)
    slots = jnp.arange(window).reshape(-1, 1, *(1,) * (valid.ndim - 1))
    chosen = kept[None] & (number[None] % window == slots)  # [window, T, *lifetimes]
    written = jnp.einsum("wt...,t...hd->w...hd", chosen.astype(new.dtype), new)
    return jnp.where(chosen.any(1)[..., None, None], written, ring)


def _normalised(x: Float[Array, "*time size"]) -> Float[Array, "*time size"]:
    """Mean 0 and deviation 1 over the numbers of a token."""
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)


def _turned(x: Float[Array, "*time heads part"], at: Int[Array, "*time"]) -> Float[Array, "*time heads part"]:
    """Pairs of numbers, turned by an angle that grows with the step's number."""
    pairs = x.shape[-1] // 2
    speed = _SLOWEST_TURN ** -(jnp.arange(pairs) / pairs)
    angle = at[..., None, None].astype(jnp.float32) * speed.reshape((1,) * (x.ndim - 1) + (-1,))
    one, other = x[..., :pairs], x[..., pairs:]
    return jnp.concatenate([one * jnp.cos(angle) - other * jnp.sin(angle), one * jnp.sin(angle) + other * jnp.cos(angle)], -1)


def _time_first(
    ring: Float[Array, "*lifetimes layers window heads part"],
) -> Float[Array, "layers window *lifetimes heads part"]:
    return jnp.moveaxis(ring, (-4, -3), (0, 1))


def _lifetimes_first(
    ring: Float[Array, "layers window *lifetimes heads part"],
) -> Float[Array, "*lifetimes layers window heads part"]:
    return jnp.moveaxis(ring, (0, 1), (-4, -3))
