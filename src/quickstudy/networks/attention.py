"""An attention core: the last steps are kept as keys and values, and the present observation is the query.

Every step that happened becomes one token, which attends to the tokens before it. A read sends a token of the present
observation and of the clock through the same layers (attention_layer.py). It attends to all kept tokens and is not kept. Of
Discrete actions, it also reads what happened after each (recall.py). The cache is a ring of `window` slots; an older step is
overwritten.

Source: Vaswani et al. 2017. Changed: the token of the present observation, which is a query only, and the read of every action.
"""

import dataclasses
import functools
from typing import Annotated, ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.networks.attention_layer import Layer, normalised
from quickstudy.networks.core import CoreInputs
from quickstudy.networks.layers import Dense
from quickstudy.networks.recall import Kept, Recall
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import scan, shift_right
from quickstudy.protocol.setting_values import Range
from quickstudy.protocol.settings import check_above_zero
from quickstudy.protocol.spaces import flat_size

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

    `length` `[*lifetimes]`: steps of the lifetime. `recall` `[*lifetimes, window, ...]`: a ring for the read of every
    Discrete action, or None.
    """

    keys: Float[Array, "*lifetimes layers window heads size"]
    values: Float[Array, "*lifetimes layers window heads size"]
    count: Int[Array, "*lifetimes"]
    length: Float[Array, "*lifetimes"]
    recall: Kept | None


class Attention(eqx.Module):
    """Layers, and what makes tokens of steps and of observations."""

    exchangeable: ClassVar[bool] = False

    of_step: Dense
    of_seen: Dense
    layers: tuple[Layer, ...]
    recall: Recall | None
    window: int | None = eqx.field(static=True)

    def __init__(
        self, spec: Spec, config: AttentionConfig, *, inputs: int, seen: int, rewards: int, size: int, key: PRNGKeyArray
    ):
        """The layers, close to passing their input on.

        Args:
          spec: of the tasks.
          config: its settings.
          inputs: numbers that are taken in of each step.
          seen: numbers in an encoded observation.
          rewards: numbers that a reward is read as.
          size: of a token.
          key: of the first weights.
        Raises:
          UsageError: heads that do not fit the size of a token.
        """
        heads = config.attention_heads
        if size % (2 * heads):
            raise UsageError(f"hidden_size must be a multiple of twice attention_heads ({2 * heads}); came {size}.")
        keys = jax.random.split(key, config.attention_layers + 2)
        discrete = isinstance(spec.action_space, gymnasium.spaces.Discrete)
        make = functools.partial(Recall, spec, seen=seen, size=size, heads=heads, rewards=rewards)
        self.recall = make(key=jax.random.fold_in(key, 0)) if discrete else None
        self.of_step = Dense(inputs, size, gain=2.0, key=keys[0])
        self.of_seen = Dense(seen + 1, size, gain=2.0, key=keys[1])
        self.layers = tuple(Layer(size, heads, key=key) for key in keys[2:])
        self.window = config.window

    @property
    def each(self) -> int:
        """Numbers about each Discrete action."""
        return self.recall.each if self.recall is not None else 0

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        return self.each * flat_size(spec.action_space) + self.of_seen.bias.size

    def initial(self, spec: Spec, *lifetimes: int) -> AttentionState:
        """The state before anything has happened."""
        heads, window = self.layers[0].nothing.size, self.window or min(spec.lifetime_steps, _WIDEST_WINDOW)
        ring = jnp.zeros((*lifetimes, len(self.layers), window, heads, self.of_seen.bias.size // heads))
        length = jnp.full(lifetimes, float(spec.lifetime_steps))
        recall = None if self.recall is None else self.recall.initial(spec, *lifetimes, window)
        return AttentionState(keys=ring, values=ring, count=jnp.zeros(lifetimes, jnp.int32), length=length, recall=recall)

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""

        def step(state: AttentionState, now: tuple[Array, Array, CoreInputs]) -> tuple[AttentionState, None]:
            token, happened, inputs = now
            window = state.keys.shape[-3]
            slots = jnp.arange(window).reshape(-1, *(1,) * happened.ndim)
            newest = slots == state.count[None] % window  # [window, *lifetimes]
            written = newest & happened[None]
            keys, values = _time_first(state.keys), _time_first(state.values)  # [layers, window, *lifetimes, heads, part]
            older = (self._numbers(state) >= 0) & ~newest
            write = lambda ring, new: jnp.where(written[..., None, None], new, ring)  # noqa: E731
            x, kept = token[None], []
            for layer, ring_keys, ring_values in zip(self.layers, keys, values, strict=True):
                key, value = layer.stored(x, state.count[None])
                all_keys, all_values = (jnp.concatenate(pair) for pair in ((ring_keys, key), (ring_values, value)))
                itself = jnp.ones_like(older[:1])
                x = layer.after(
                    x, layer.queries(x, state.count[None]), all_keys, all_values, jnp.concatenate([older, itself])[None]
                )
                kept.append((write(ring_keys, key), write(ring_values, value)))
            keys, values = (_lifetimes_first(jnp.stack(part)) for part in zip(*kept, strict=True))
            recall = None
            if self.recall is not None:
                new = self.recall.stored(jax.tree.map(lambda part: part[None], inputs), normalised(x))
                recall = _lifetimes_before(jax.tree.map(write, _steps_before(state.recall), new))
            count = state.count + happened.astype(jnp.int32)
            return dataclasses.replace(state, keys=keys, values=values, count=count, recall=recall), None

        return scan(step, state, (self.of_step(inputs.flat()), valid, inputs))[0]

    def read(self, state: PyTree, seen: Float[Array, "*time seen"]) -> Float[Array, "*time features"]:
        """What is recalled of each Discrete action, and the last layer's token of the present observation."""
        count, seen = state.count[None], seen[None]
        x, kept = self._asking(seen, count, state.length[None]), (self._numbers(state) >= 0)[None]
        for layer, keys, values in zip(self.layers, _time_first(state.keys), _time_first(state.values), strict=True):
            x = layer.after(x, layer.queries(x, count), keys, values, kept)
        return self._features(x, seen, _steps_before(state.recall), kept, count, state.length[None])[0]

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
        newest = lambda ring, new: _newest(ring, new, number, after[-1], valid)  # noqa: E731
        tokens, asks, rings = self.of_step(inputs.flat()), self._asking(seen, number, lengths), []
        for layer, *ring in zip(self.layers, _time_first(state.keys), _time_first(state.values), strict=True):
            stored = layer.stored(tokens, number)
            keys, values = (jnp.concatenate(pair) for pair in zip(ring, stored, strict=True))
            asks = layer.after(asks, layer.queries(asks, number), keys, values, asked)
            tokens = layer.after(tokens, layer.queries(tokens, number), keys, values, before)
            rings.append([newest(*pair) for pair in zip(ring, stored, strict=True)])
        keys, values = (_lifetimes_first(jnp.stack(part)) for part in zip(*rings, strict=True))
        recall, recalled = None, None
        if self.recall is not None:
            earlier, new = _steps_before(state.recall), self.recall.stored(inputs, normalised(tokens))
            recalled = jax.tree.map(lambda *both: jnp.concatenate(both), earlier, new)
            recall = _lifetimes_before(jax.tree.map(newest, earlier, new))
        features = self._features(asks, seen, recalled, asked, number, lengths)
        return AttentionState(keys=keys, values=values, count=after[-1], length=state.length, recall=recall), features

    def _features(
        self,
        asks: Float[Array, "T *lifetimes size"],
        seen: Float[Array, "T *lifetimes seen"],
        recalled: Kept | None,
        kept: Bool[Array, "T kept *lifetimes"],
        number: Int[Array, "T *lifetimes"],
        length: Float[Array, "T *lifetimes"],
    ) -> Float[Array, "T *lifetimes features"]:
        """What is recalled of each Discrete action, and the token that asked."""
        token = normalised(asks)
        if self.recall is None or recalled is None:
            return token
        left = jnp.maximum(1 - number.astype(jnp.float32) / length, 0.0)
        return jnp.concatenate([self.recall.read(seen, token, recalled, kept, left), token], axis=-1)

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


def _time_first(
    ring: Float[Array, "*lifetimes layers window heads part"],
) -> Float[Array, "layers window *lifetimes heads part"]:
    return jnp.moveaxis(ring, (-4, -3), (0, 1))


def _lifetimes_first(
    ring: Float[Array, "layers window *lifetimes heads part"],
) -> Float[Array, "*lifetimes layers window heads part"]:
    return jnp.moveaxis(ring, (0, 1), (-4, -3))


def _steps_before(kept: Kept | None) -> Kept | None:
    """`[*lifetimes, window, ...]` as `[window, *lifetimes, ...]`."""
    return jax.tree.map(lambda part: jnp.moveaxis(part, -3, 0), kept)


def _lifetimes_before(kept: Kept | None) -> Kept | None:
    return jax.tree.map(lambda part: jnp.moveaxis(part, 0, -3), kept)
