"""How each operation of JAX is written with the operations of a program.

A rule takes the builder, the traced equation and its inputs. It returns the output or several, or None where it does not apply.
Axes of length one are dropped, so rules number the axes that are left.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quickstudy.programs.axes_of_jax import axes_of, canonical, places
from quickstudy.programs.builder import Builder
from quickstudy.programs.products_of_jax import product
from quickstudy.programs.program import BINARY, UNARY, Value

Rule = Callable[..., Any]


def _elementwise(kind: str) -> Rule:
    def rule(builder: Builder, equation: Any, *inputs: Value) -> Value:
        out = equation.outvars[0].aval
        return builder.apply(kind, *_aligned(builder, equation, inputs), shape=canonical(out), dtype=out.dtype)

    return rule


def _aligned(builder: Builder, equation: Any, inputs: Sequence[Value]) -> list[Value]:
    """The inputs of an elementwise operation in the shape of its output; scalars as they are.

    JAX lets an axis of length one stand against a longer one.
    """
    out, aligned = equation.outvars[0].aval.shape, []
    left = places(out)
    for value, atom in zip(inputs, equation.invars, strict=True):
        shape = atom.aval.shape
        if value.shape and tuple(shape) != tuple(out):
            axes = tuple(left[axis] for axis, length in enumerate(shape) if length != 1)
            value = builder.broadcast(value, canonical(equation.outvars[0].aval), axes)
        aligned.append(value)
    return aligned


def _same(builder: Builder, equation: Any, *inputs: Value) -> list[Value]:
    return list(inputs)


def _reshaped(builder: Builder, equation: Any, value: Value) -> Value | None:
    if equation.primitive.name == "reshape" and equation.params.get("dimensions") is not None:
        return None
    return builder.reshape(value, canonical(equation.outvars[0].aval))


def _broadcast(builder: Builder, equation: Any, value: Value, *sizes: Value) -> Value:
    out, shape = equation.outvars[0].aval, equation.invars[0].aval.shape
    left = places(out.shape)
    into = equation.params["broadcast_dimensions"]
    axes = tuple(left[place] for place, length in zip(into, shape, strict=True) if length != 1)
    return builder.broadcast(value, canonical(out), axes)


def _transposed(builder: Builder, equation: Any, value: Value) -> Value:
    return builder.transpose(value, axes_of(equation, equation.params["permutation"]))


def _reduction(kind: str) -> Rule:
    def rule(builder: Builder, equation: Any, value: Value) -> Value:
        return builder.reduce(kind, value, axes_of(equation, equation.params["axes"]))

    return rule


def _argmax(builder: Builder, equation: Any, value: Value) -> Value:
    out, axes = equation.outvars[0].aval, axes_of(equation, equation.params["axes"])
    if not axes:
        return builder.broadcast(builder.constant(np.zeros((), out.dtype)), canonical(out), ())
    return builder.apply("argmax", value, shape=canonical(out), dtype=out.dtype, axis=axes[0])


def _along(kind: str) -> Rule:
    def rule(builder: Builder, equation: Any, value: Value) -> Value | None:
        axes = axes_of(equation, (equation.params["axis"],))
        if not axes:
            return value
        if equation.params["reverse"]:
            return None
        return builder.apply(kind, value, shape=value.shape, dtype=value.dtype, axis=axes[0])

    return rule


def _sliced(builder: Builder, equation: Any, value: Value) -> Value:
    params, shape = equation.params, equation.invars[0].aval.shape
    steps = params["strides"] or (1,) * len(shape)
    cuts = zip(params["start_indices"], params["limit_indices"], steps, shape, strict=True)
    return builder.slice(value, tuple((int(start), int(stop), int(step)) for start, stop, step, length in cuts if length != 1))


def _split(builder: Builder, equation: Any, value: Value) -> list[Value]:
    shape, axis = equation.invars[0].aval.shape, equation.params["axis"]
    parts, start = [], 0
    for size in map(int, equation.params["sizes"]):
        cuts = [(start, start + size, 1) if place == axis else (0, length, 1) for place, length in enumerate(shape)]
        parts.append(builder.slice(value, tuple(cut for cut, length in zip(cuts, shape, strict=True) if length != 1)))
        start += size
    return parts


def _concatenated(builder: Builder, equation: Any, *inputs: Value) -> Value:
    out, axis = equation.outvars[0].aval, equation.params["dimension"]
    sizes = [atom.aval.shape[axis] for atom in equation.invars]
    filled = [(value, size) for value, size in zip(inputs, sizes, strict=True) if size]
    return _joined(builder, [value for value, _ in filled], [size for _, size in filled], out, axis)


def _stacked(builder: Builder, equation: Any, *inputs: Value) -> Value:
    return _joined(builder, list(inputs), [1] * len(inputs), equation.outvars[0].aval, equation.params["axis"])


def _joined(builder: Builder, parts: list[Value], sizes: list[int], out: Any, axis: int) -> Value:
    if len(parts) == 1:
        return parts[0]
    place = places(out.shape)[axis]
    return builder.apply("concatenate", *parts, shape=canonical(out), dtype=out.dtype, axis=place, sizes=tuple(sizes))


def _unstacked(builder: Builder, equation: Any, value: Value) -> list[Value]:
    if len(equation.outvars) == 1:
        return [value]
    place = places(equation.invars[0].aval.shape)[equation.params["axis"]]
    whole = tuple((0, length, 1) for length in value.shape)
    return [builder.slice(value, (*whole[:place], (at, at + 1, 1), *whole[place + 1 :])) for at in range(value.shape[place])]


def _reversed(builder: Builder, equation: Any, value: Value) -> Value:
    for axis in axes_of(equation, equation.params["dimensions"]):
        whole = [(0, length, 1) for length in value.shape]
        turned = reversed(range(value.shape[axis]))
        parts = [builder.slice(value, (*whole[:axis], (at, at + 1, 1), *whole[axis + 1 :])) for at in turned]
        value = builder.apply(
            "concatenate", *parts, shape=value.shape, dtype=value.dtype, axis=axis, sizes=(1,) * len(parts)
        )  # fmt: skip
    return value


def _padded(builder: Builder, equation: Any, value: Value, padding: Value) -> Value | None:
    asked = [(int(low), int(high), int(between)) for low, high, between in equation.params["padding_config"]]
    if any(between for _, _, between in asked):
        return None
    # Negative widths, which gradients of padding have, cut numbers off.
    before = equation.invars[0].aval.shape
    shape = [length + min(low, 0) + min(high, 0) for length, (low, high, _) in zip(before, asked, strict=True)]
    if min(shape, default=1) < 1:
        return None
    cuts = [(max(-low, 0), length - max(-high, 0), 1) for length, (low, high, _) in zip(before, asked, strict=True)]
    value = builder.slice(value, tuple(cut for cut, length in zip(cuts, before, strict=True) if length != 1))
    widths = [(max(low, 0), max(high, 0), 0) for low, high, _ in asked]
    long = [width for width, length in zip(widths, shape, strict=True) if length != 1]
    if any(before or after for before, after, _ in long):
        padded = tuple(length + before + after for length, (before, after, _) in zip(value.shape, long, strict=True))
        sides = {"before": tuple(low for low, _, _ in long), "after": tuple(high for _, high, _ in long)}
        value = builder.apply("pad", value, padding, shape=padded, dtype=value.dtype, **sides)
    lengths = [length + before + after for length, (before, after, _) in zip(shape, widths, strict=True)]
    for axis, (before, after, _) in enumerate(widths):
        if shape[axis] == 1 and before + after:
            now = [
                *lengths[: axis + 1],
                *(length if shape[other] != 1 else 1 for other, length in enumerate(lengths) if other > axis),
            ]
            value = _beside_padding(builder, value, padding, before, after, place=places(now)[axis])
    return value


def _beside_padding(builder: Builder, value: Value, padding: Value, before: int, after: int, *, place: int) -> Value:
    """A value with padding on both sides along a new axis."""
    block = lambda length: (*value.shape[:place], *([length] if length > 1 else []), *value.shape[place:])  # noqa: E731
    parts = [(builder.broadcast(padding, block(length), ()), length) for length in (before, after)]
    filled = [part for part in (parts[0], (value, 1), parts[1]) if part[1]]
    sizes = tuple(size for _, size in filled)
    shape = (*value.shape[:place], sum(sizes), *value.shape[place:])
    return builder.apply("concatenate", *(part for part, _ in filled), shape=shape, dtype=value.dtype, axis=place, sizes=sizes)


def _gathered(builder: Builder, equation: Any, value: Value, numbers: Value) -> Value | None:
    """Rows of a table, or the one row that there is."""
    dims, shape = equation.params["dimension_numbers"], equation.invars[0].aval.shape
    out = equation.outvars[0].aval
    sizes = equation.params["slice_sizes"]
    if all(shape[axis] == 1 for axis in dims.start_index_map) and value.size == int(np.prod(out.shape)):
        return builder.reshape(value, canonical(out))
    rows = dims.start_index_map == (0,) and dims.collapsed_slice_dims == (0,) and not dims.operand_batching_dims
    last = tuple(range(len(out.shape) - len(shape) + 1, len(out.shape)))
    if not rows or dims.offset_dims != last or tuple(sizes[1:]) != tuple(shape[1:]) or shape[0] == 1:
        return None
    return builder.apply("take", value, numbers, shape=canonical(out), dtype=out.dtype)


def _one_place(builder: Builder, equation: Any, value: Value, *starts: Value) -> Value | None:
    """One place along one axis, and everything along the others."""
    out, shape = equation.outvars[0].aval, equation.invars[0].aval.shape
    sizes = equation.params["slice_sizes"]
    cut = [axis for axis, (size, length) in enumerate(zip(sizes, shape, strict=True)) if size != length]
    if len(cut) != 1 or sizes[cut[0]] != 1:
        return None
    place = places(shape)[cut[0]]
    first = builder.transpose(value, (place, *(axis for axis in range(len(value.shape)) if axis != place)))
    return builder.apply("take", first, starts[cut[0]], shape=canonical(out), dtype=out.dtype)


def _select(builder: Builder, equation: Any, which: Value, *cases: Value) -> Value | None:
    if len(cases) != 2 or which.dtype != np.bool_:
        return None
    out = equation.outvars[0].aval
    which, other, chosen = _aligned(builder, equation, (which, *cases))
    return builder.apply("select", which, chosen, other, shape=canonical(out), dtype=out.dtype)


def _clamped(builder: Builder, equation: Any, low: Value, value: Value, high: Value) -> Value:
    raised = builder.apply("max", value, low, shape=value.shape, dtype=value.dtype)
    return builder.apply("min", raised, high, shape=value.shape, dtype=value.dtype)


def _power(builder: Builder, equation: Any, value: Value) -> Value:
    exponent = equation.params["y"]
    result = value
    for _ in range(abs(exponent) - 1):
        result = builder.elementwise("mul", result, value)
    if exponent < 0:
        result = builder.elementwise("div", builder.constant(np.ones((), value.dtype)), result)
    return result


def _squared(builder: Builder, equation: Any, value: Value) -> Value:
    return builder.elementwise("mul", value, value)


def _counting(builder: Builder, equation: Any) -> Value:
    params = equation.params
    shape, axis = params["shape"], params["dimension"]
    numbers = np.arange(shape[axis], dtype=params["dtype"]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return builder.constant(np.broadcast_to(numbers, shape))


def _platform(builder: Builder, equation: Any) -> Value:
    """The branch for processors."""
    platforms = equation.params["platforms"]
    number = next((n for n, names in enumerate(platforms) if names is None or "cpu" in names), len(platforms) - 1)
    return builder.constant(np.int32(number))


def _random_bits(builder: Builder, equation: Any, key: Value) -> Value | None:
    out = equation.outvars[0].aval
    if equation.params["bit_width"] != 32 or key.shape != (2,):
        return None
    return builder.apply("random_bits", key, shape=canonical(out), dtype=np.uint32)


def _folded_in(builder: Builder, equation: Any, key: Value, number: Value) -> Value | None:
    if key.shape != (2,) or number.shape:
        return None
    return builder.apply("fold_in", key, builder.apply("cast", number, shape=(), dtype=np.uint32), shape=(2,), dtype=np.uint32)


_SAME_NAME = (*UNARY[:-2], *(name for name in BINARY if not name.startswith("shift")))
"""Operations that have the same name in JAX."""

RULES: dict[str, Rule] = {
    **{name: _elementwise(name) for name in _SAME_NAME},
    "add_any": _elementwise("add"),
    "convert_element_type": _elementwise("cast"),
    "bitcast_convert_type": _elementwise("bits"),
    "shift_right_logical": _elementwise("shift_right"),
    "shift_left": _elementwise("shift_left"),
    **dict.fromkeys(("copy", "copy_p", "stop_gradient", "optimization_barrier", "random_wrap", "random_unwrap"), _same),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshaped),
    "broadcast_in_dim": _broadcast,
    "transpose": _transposed,
    "reduce_sum": _reduction("sum"),
    "reduce_max": _reduction("largest"),
    "reduce_min": _reduction("least"),
    "reduce_and": _reduction("all"),
    "reduce_or": _reduction("any"),
    "argmax": _argmax,
    "cumsum": _along("cumsum"),
    "cummax": _along("cummax"),
    "slice": _sliced,
    "split": _split,
    "concatenate": _concatenated,
    "stack": _stacked,
    "unstack": _unstacked,
    "rev": _reversed,
    "pad": _padded,
    "dot_general": product,
    "dynamic_slice": _one_place,
    "gather": _gathered,
    "select_n": _select,
    "clamp": _clamped,
    "integer_pow": _power,
    "square": _squared,
    "iota": _counting,
    "platform_index": _platform,
    "random_bits": _random_bits,
    "random_fold_in": _folded_in,
}
