"""From an observation to numbers: one encoder for each kind of observation space.

    Flat       Discrete and Box: the numbers of `networks.see`; nothing is trained
    Symbols    MultiDiscrete: the ids of every cell embedded, with one table for all cells, and a dense layer on all of them
    Images     Box of bytes `[height, width, channels]`: three strided convolutions and a dense layer

An encoder is called with running statistics, an observation with any number of leading axes, and the spec; it gives `size`
numbers. Statistics of single numbers are kept for what `Flat` reads, and not for symbols and pixels, whose size is known.
"""

import math
from collections.abc import Sequence

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.networks.layers import Dense, add_bias
from quickstudy.networks.normalisation import ObservationScale, Statistics, see
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import Space, cell_symbols, flat_size, one_hot_cells, symbol_cells

_CELL_SIZE = 8
_MOST_THINGS = 1024
_STRIDES = (4, 2, 2)
"""Of the convolutions; a window is twice as wide."""


class Flat(eqx.Module):
    """The observation itself, as networks read it."""

    size: int = eqx.field(static=True)

    def __init__(self, spec: Spec, *, allowed: bool = True):
        """Holds no parameters. `allowed`: what says which actions are allowed is read, too."""
        mask = 0 if allowed or not spec.action_mask else flat_size(spec.action_space)
        self.size = flat_size(spec.observation_space) - mask

    def __call__(self, statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
        """One observation, or many."""
        seen = see(statistics, observation, spec)
        return seen if self.size == seen.shape[-1] else seen[..., : self.size]


class Symbols(eqx.Module):
    """Ids of things: each cell is embedded by itself, all alike, and one layer reads them together.

        cell = relu(E one_hot(ids) + e)        features = relu(W [cell_1, ..., cell_n] + b)

    Where a cell can hold few things only, each of them is embedded once and looked up. On processors, rollouts are then eight
    times as fast as with products of one-hot ids, and learning is as fast.
    """

    cell: Dense
    together: Dense
    size: int = eqx.field(static=True)

    def __init__(self, spec: Spec, size: int, *, key: PRNGKeyArray):
        """`networks.symbol_cells` says what a cell is."""
        assert isinstance(spec.observation_space, gymnasium.spaces.MultiDiscrete)
        cells, kinds = symbol_cells(spec.observation_space)
        key_cell, key_together = jax.random.split(key)
        embedded = _CELL_SIZE if cells > 1 else size
        # As many inputs are one as there are ids; the rest are zero.
        self.cell = Dense(sum(kinds), embedded, gain=(2.0 * sum(kinds) / len(kinds)) ** 0.5, key=key_cell)
        self.together = Dense(cells * embedded, size, gain=2.0**0.5, key=key_together)
        self.size = size

    def __call__(self, statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
        """One observation, or many."""
        del statistics
        space = spec.observation_space
        assert isinstance(space, gymnasium.spaces.MultiDiscrete)
        things = things_of(space)
        if things is None:
            cells = jax.nn.relu(self.cell(one_hot_cells(observation, space)))
        else:
            table = jax.nn.relu(self.cell(jnp.asarray(things)))
            cells = table[thing_numbers(observation, space)]
        return jax.nn.relu(self.together(cells.reshape(*cells.shape[:-2], -1)))


def things_of(space: gymnasium.spaces.MultiDiscrete) -> Float[np.ndarray, "things ids"] | None:
    """Everything that a cell can hold, as one-hot ids; None where that is too much for a table."""
    cells, kinds = symbol_cells(space)
    if cells == 1 or math.prod(kinds) > _MOST_THINGS:
        return None
    numbers = np.indices(kinds).reshape(len(kinds), -1)
    return np.concatenate([np.eye(ids, dtype=np.float32)[places] for ids, places in zip(kinds, numbers, strict=True)], axis=1)


def thing_numbers(observation: Array, space: gymnasium.spaces.MultiDiscrete) -> Int[Array, "*time cells"]:
    """What every cell holds, by its row in `things_of`."""
    _, kinds = symbol_cells(space)
    symbols = cell_symbols(observation, space).astype(jnp.int32)
    number = symbols[..., 0]
    for place, ids in enumerate(kinds[1:], start=1):
        number = number * ids + symbols[..., place]
    return number


class Images(eqx.Module):
    """Strided convolutions in the manner of Mnih et al. 2015, with fewer channels, and a dense layer; pixels within 0 and 1.

    The brightest pixel is that of the space, which is 255 as a rule.

    Changed: the last convolution is strided too and its window is 4 x 4, and windows pass the border, so that images of any
    size fit.
    """

    windows: tuple[Float[Array, "side side channels_in channels_out"], ...]
    biases: tuple[Float[Array, " channels_out"], ...]
    together: Dense
    size: int = eqx.field(static=True)

    def __init__(self, spec: Spec, size: int, channels: Sequence[int], *, key: PRNGKeyArray):
        """Independent normal weights, as `Dense` has them."""
        height, width, inputs = spec.observation_space.shape or ()
        keys = jax.random.split(key, len(_STRIDES) + 1)
        windows = []
        for stride, outputs, key_window in zip(_STRIDES, channels, keys[1:], strict=True):
            side = 2 * stride
            gain = (2.0 / (side * side * inputs)) ** 0.5
            windows.append(gain * jax.random.normal(key_window, (side, side, inputs, outputs)))
            height, width, inputs = -(-height // stride), -(-width // stride), outputs
        self.windows = tuple(windows)
        self.biases = tuple(jnp.zeros(outputs) for outputs in channels)
        self.together = Dense(height * width * inputs, size, gain=2.0**0.5, key=keys[0])
        self.size = size

    def __call__(self, statistics: Statistics, observation: Array, spec: Spec) -> Float[Array, "*time size"]:
        """One observation, or many."""
        leading = observation.shape[:-3]
        brightest = 255 if statistics is None or statistics.scaled_by == "bounds" else int(spec.observation_space.high.max())  # type: ignore[union-attr]
        pixels = observation.astype(jnp.float32).reshape(-1, *observation.shape[-3:]) / max(1, brightest)
        for window, bias in zip(self.windows, self.biases, strict=True):
            pixels = jax.nn.relu(add_bias(convolved(pixels, window), bias))
        return jax.nn.relu(self.together(pixels.reshape(*leading, -1)))


def convolved(
    pixels: Float[Array, "images height width inputs"], window: Float[Array, "side side inputs outputs"]
) -> Float[Array, "images rows columns outputs"]:
    """A convolution whose stride is half of the window's side, with zeros beyond the right and the lower border.

    The image is cut into squares as wide as the stride, so that a window covers two by two of them and the whole is four
    products of matrices. On processors, in a compiled loop, gradients of JAX's own convolutions take many times as long.
    """
    images, height, width, inputs = pixels.shape
    stride, outputs = window.shape[0] // 2, window.shape[-1]
    rows, columns = -(-height // stride), -(-width // stride)
    beyond = ((rows + 1) * stride - height, (columns + 1) * stride - width)
    padded = jnp.pad(pixels, ((0, 0), (0, beyond[0]), (0, beyond[1]), (0, 0)))
    squares = padded.reshape(images, rows + 1, stride, columns + 1, stride, inputs).swapaxes(2, 3)
    squares = squares.reshape(images, rows + 1, columns + 1, -1)
    parts = window.reshape(2, stride, 2, stride, inputs, outputs).swapaxes(1, 2).reshape(2, 2, -1, outputs)
    share = lambda down, right: squares[:, down : down + rows, right : right + columns] @ parts[down, right]  # noqa: E731
    return share(0, 0) + share(0, 1) + share(1, 0) + share(1, 1)


Encoder = Flat | Symbols | Images


def encoder_for(spec: Spec, *, size: int, image_channels: Sequence[int], allowed: bool = True, key: PRNGKeyArray) -> Encoder:
    """The encoder for observations of this spec.

    Args:
      spec: of the tasks.
      size: of the encoding, where there is something to train.
      image_channels: of the three convolutions over images.
      allowed: what says which actions are allowed is read, too.
      key: for what is trained.
    Raises:
      SpecError: not three convolutions.
    """
    if is_image(spec.observation_space):
        if len(image_channels) != len(_STRIDES):
            raise SpecError(f"image_channels must name {len(_STRIDES)} numbers of channels; came {tuple(image_channels)}.")
        return Images(spec, size, image_channels, key=key)
    if isinstance(spec.observation_space, gymnasium.spaces.MultiDiscrete):
        return Symbols(spec, size, key=key)
    return Flat(spec, allowed=allowed)


def is_image(space: Space) -> bool:
    """A Box of bytes with three axes."""
    return isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8


def statistics_for(space: Space, *, changes: bool = False, scaled_by: ObservationScale = "seen") -> Statistics:
    """Running statistics before there is data: of every number of an observation that `Flat` reads, of no other.

    Args:
      space: of observations.
      changes: whether how rewards change is read, too.
      scaled_by: what the numbers of a Box are measured by.
    """
    counts = not (is_image(space) or isinstance(space, gymnasium.spaces.MultiDiscrete))
    # Ids are one-hot, whatever was seen.
    scaled_by = scaled_by if isinstance(space, gymnasium.spaces.Box) else "bounds"
    return Statistics.of_nothing(flat_size(space) if counts else None, changes=changes, scaled_by=scaled_by)
