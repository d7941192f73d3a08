"""How much a function of JAX computes and moves, counted from what was traced; nothing is run.

- A *multiply-add* is one product and its addition in a product of matrices or a convolution.
- Every other operation on one number is one *other* operation: an addition, a comparison, a choice. Exponentials, logarithms,
  roots, tangents and their like are `CURVE` of them, which is about what a polynomial for them takes. A word of random bits is
  `WORD`. Moving numbers is none.
- Bytes are those of the arrays that go in and are used, and of those that come out. What lies between counts as kept close by,
  so more is moved wherever it does not fit.

A loop counts as often as it turns. Of the two sides of a branch the larger one counts. What the outputs do not need is left
out.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

CURVE, WORD = 25, 120
"""Operations of one number of a curve, and of one word of random bits (Threefry, 20 rounds)."""

_MOVES = frozenset(
    ("reshape", "broadcast_in_dim", "squeeze", "expand_dims", "transpose", "slice", "dynamic_slice", "dynamic_update_slice",
     "concatenate", "pad", "gather", "scatter", "rev", "split", "copy", "copy_p", "stop_gradient", "iota", "random_wrap",
     "random_unwrap", "bitcast_convert_type", "convert_element_type", "reduce_precision", "optimization_barrier", "device_put",
     "sharding_constraint", "pvary", "platform_index", "unstack", "stack", "tile", "full")
)  # fmt: skip
_ELEMENTWISE = frozenset(
    ("add", "sub", "mul", "div", "rem", "neg", "abs", "sign", "floor", "ceil", "round", "max", "min", "clamp", "select_n",
     "eq", "ne", "lt", "le", "gt", "ge", "eq_to", "lt_to", "le_to", "and", "or", "xor", "not", "shift_left",
     "shift_right_logical", "shift_right_arithmetic", "is_finite", "square", "add_any", "nextafter")
)  # fmt: skip
_CURVES = frozenset(
    ("exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sqrt", "rsqrt", "cbrt", "sin", "cos", "tan", "atan2", "asin",
     "acos", "atan", "sinh", "cosh", "erf", "erfc", "erf_inv", "pow", "integer_pow", "lgamma", "digamma")
)  # fmt: skip
_WHOLE_INPUT = frozenset(
    ("reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_prod", "reduce_xor", "argmax", "argmin",
     "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "scatter-add", "scatter_add", "reduce")
)  # fmt: skip
_RANDOM = frozenset(("random_bits", "random_split", "random_fold_in", "random_seed", "threefry2x32"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted:
    """What one call computes and moves.

    Args:
      multiply_adds: in products of matrices.
      other: operations on one number.
      bytes_read: of arrays that go in and are used.
      bytes_written: of arrays that come out.
    """

    multiply_adds: int
    other: int
    bytes_read: int
    bytes_written: int


def count(function: Callable[..., PyTree], *inputs: PyTree) -> Counted:
    """Counts one call of a function.

    Args:
      function: of JAX.
      inputs: its arguments, or `jax.ShapeDtypeStruct`s in their place.
    Raises:
      NotImplementedError: a primitive that is not counted, or a loop whose turns are not known; says which.
    """
    traced = jax.make_jaxpr(function)(*inputs)
    jaxpr = traced.jaxpr
    passed = set(jaxpr.invars)  # what comes out as it went in is not written
    used, (multiply_adds, other) = _counted(jaxpr, [True] * len(jaxpr.outvars))
    read = [atom.aval for atom, is_used in zip(jaxpr.invars, used, strict=True) if is_used]
    written = [atom.aval for atom in jaxpr.outvars if not _is_literal(atom) and atom not in passed]
    constants = sum(np.asarray(array).nbytes for array in traced.consts if not _is_key(array))
    return Counted(
        multiply_adds=multiply_adds,
        other=other,
        bytes_read=constants + sum(map(_bytes, read)),
        bytes_written=sum(map(_bytes, written)),
    )


def used_inputs(function: Callable[..., PyTree], *inputs: PyTree) -> PyTree:
    """Which arrays of its arguments a function needs, as a tuple of trees of truth values."""
    jaxpr = jax.make_jaxpr(function)(*inputs).jaxpr
    used, _ = _counted(jaxpr, [True] * len(jaxpr.outvars))
    return jax.tree.unflatten(jax.tree.structure(inputs), used)


def _counted(jaxpr: Any, wanted: Sequence[bool]) -> tuple[list[bool], tuple[int, int]]:
    """Which inputs the wanted outputs need, and multiply-adds and other operations for them."""
    live = {id(atom) for atom, is_wanted in zip(jaxpr.outvars, wanted, strict=True) if is_wanted}
    total = [0, 0]
    for equation in reversed(jaxpr.eqns):
        outputs = [id(atom) in live for atom in equation.outvars]
        if not any(outputs):
            continue
        needs, found = _of_equation(equation, outputs)
        live.update(id(atom) for atom, is_needed in zip(equation.invars, needs, strict=True) if is_needed)
        total = [total[0] + found[0], total[1] + found[1]]
    return [id(atom) in live for atom in jaxpr.invars], (total[0], total[1])


def _of_equation(equation: Any, outputs: list[bool]) -> tuple[list[bool], tuple[int, int]]:
    name, params, every = equation.primitive.name, equation.params, [True] * len(equation.invars)
    if name == "scan":
        body = params["jaxpr"].jaxpr
        # Whatever a turn writes may be read by the next one.
        needs, found = _counted(body, [True] * len(body.outvars))
        carry = range(params["num_consts"], params["num_consts"] + params["num_carry"])
        needs = [needed or place in carry for place, needed in enumerate(needs)]
        return needs, (params["length"] * found[0], params["length"] * found[1])
    if name == "cond":
        sides = [_counted(branch.jaxpr, outputs)[1] for branch in params["branches"]]
        return every, max(sides, key=sum)
    if name == "while":
        raise NotImplementedError("a loop whose turns are not known beforehand is not counted")
    for inner in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if inner in params:
            called = getattr(params[inner], "jaxpr", params[inner])
            return _counted(called, outputs)
    return every, _of_primitive(name, equation)


def _of_primitive(name: str, equation: Any) -> tuple[int, int]:
    size = max((atom.aval.size for atom in equation.outvars), default=0)
    given = max((getattr(atom.aval, "size", 0) for atom in equation.invars), default=0)
    if name == "dot_general":
        (inner, _), _ = equation.params["dimension_numbers"]
        return size * math.prod(equation.invars[0].aval.shape[axis] for axis in inner), 0
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval, equation.params["dimension_numbers"]
        return size * kernel.size // kernel.shape[numbers.rhs_spec[0]], 0
    if name in _MOVES:
        return 0, 0
    if name in _ELEMENTWISE:
        return 0, size
    if name in _CURVES:
        return 0, CURVE * size
    if name in _WHOLE_INPUT:
        return 0, given
    if name in _RANDOM:
        return 0, WORD * max(size, 1)
    if name in ("sort", "top_k", "approx_top_k"):
        return 0, math.ceil(given * math.log2(max(given, 2)))
    raise NotImplementedError(f"{name} is not counted")


def _is_literal(atom: Any) -> bool:
    return hasattr(atom, "val")


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _bytes(aval: Any) -> int:
    """Of an array; keys are words that the caller could leave out."""
    return 0 if _is_key(aval) else int(aval.size) * aval.dtype.itemsize
