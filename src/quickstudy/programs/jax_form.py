"""Programs as functions of JAX again, so that what was changed in a program can be measured like any agent.

No form outside of JAX is written from this one. It computes operation by operation what `program.py` says.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from quickstudy.programs.program import Constant, Operation, Program, Value

_ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "neg": jnp.negative,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "sqrt": jnp.sqrt,
    "rsqrt": jax.lax.rsqrt,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "floor": jnp.floor,
    "cos": jnp.cos,
    "sin": jnp.sin,
    "erf": jax.lax.erf,
    "erfc": jax.lax.erfc,
    "erf_inv": jax.lax.erf_inv,
    "is_finite": jnp.isfinite,
    "not": jnp.invert,
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "pow": jnp.power,
    "rem": jnp.fmod,
    "and": jnp.bitwise_and,
    "or": jnp.bitwise_or,
    "xor": jnp.bitwise_xor,
    "shift_left": jnp.left_shift,
    "shift_right": jnp.right_shift,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "select": jnp.where,
}
_REDUCTIONS: dict[str, Callable[..., Array]] = {
    "sum": jnp.sum,
    "largest": jnp.max,
    "least": jnp.min,
    "all": jnp.all,
    "any": jnp.any,
}


def jax_function(program: Program) -> Callable[..., dict[str, Array]]:
    """The program as a function of JAX: takes its inputs by name, returns its outputs by name.

    Arrays go in and come out in the shapes and types of the program, without axes of length one.

    Raises:
      NotImplementedError: an operation of JAX that programs do not know.
    """
    if program.unsupported:
        raise NotImplementedError(f"no operation of programs: {', '.join(program.unsupported)}")

    def function(**inputs: Array) -> dict[str, Array]:
        values: dict[Value, Any] = {value: inputs[name] for name, value in program.inputs.items()}

        def read(value: Value) -> Array:
            return jnp.asarray(value.array) if isinstance(value, Constant) else values[value]

        for op in program.operations:
            result = _computed(op, [read(value) for value in op.inputs])
            values[op.output] = jnp.asarray(result, op.output.dtype).reshape(op.output.shape)
        return {name: read(value) for name, value in program.outputs.items()}

    return function


def _computed(op: Operation, arrays: list[Array]) -> Array:
    kind, first, settings = op.kind, arrays[0], op.settings
    if kind in _ELEMENTWISE:
        return _ELEMENTWISE[kind](*arrays)
    if kind in _REDUCTIONS:
        return _REDUCTIONS[kind](first, axis=settings["axes"])
    return _OTHERS[kind](op, *arrays)


def _divided(op: Operation, first: Array, second: Array) -> Array:
    if np.issubdtype(op.output.dtype, np.integer):  # towards zero
        return jax.lax.div(*jnp.broadcast_arrays(first, second))
    return first / second


def _broadcast(op: Operation, first: Array) -> Array:
    shape, axes = op.output.shape, op.settings["axes"]
    return jnp.broadcast_to(first.reshape([shape[axis] if axis in axes else 1 for axis in range(len(shape))]), shape)


def _concatenated(op: Operation, *parts: Array) -> Array:
    axis, shape = op.settings["axis"], op.output.shape
    lengths = [(*shape[:axis], size, *shape[axis + 1 :]) for size in op.settings["sizes"]]
    return jnp.concatenate([part.reshape(length) for part, length in zip(parts, lengths, strict=True)], axis=axis)


def _padded(op: Operation, first: Array, padding: Array) -> Array:
    widths = list(zip(op.settings["before"], op.settings["after"], strict=True))
    return jnp.pad(first, widths, constant_values=padding)


def _random_bits(op: Operation, key: Array) -> Array:
    return jax.random.bits(jax.random.wrap_key_data(key), op.output.shape)


def _folded(op: Operation, key: Array, number: Array) -> Array:
    del op
    return jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(key), number))


_OTHERS: dict[str, Callable[..., Array]] = {
    "cast": lambda op, first: first.astype(op.output.dtype),
    "bits": lambda op, first: jax.lax.bitcast_convert_type(first, op.output.dtype),
    "div": _divided,
    "broadcast": _broadcast,
    "reshape": lambda op, first: first.reshape(op.output.shape),
    "transpose": lambda op, first: first.transpose(op.settings["axes"]),
    "slice": lambda op, first: first[tuple(slice(*cut) for cut in op.settings["ranges"])],
    "concatenate": _concatenated,
    "pad": _padded,
    "matmul": lambda op, first, second: first @ second,
    "vecmat": lambda op, first, second: first @ second,
    "argmax": lambda op, first: first.argmax(op.settings["axis"]),
    "cumsum": lambda op, first: jnp.cumsum(first, axis=op.settings["axis"]),
    "cummax": lambda op, first: jax.lax.cummax(first, axis=op.settings["axis"]),
    "take": lambda op, table, numbers: table[jnp.clip(numbers, 0, op.inputs[0].shape[0] - 1)],
    "random_bits": _random_bits,
    "fold_in": _folded,
}
