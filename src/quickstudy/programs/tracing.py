"""From a function of JAX to a program: the function is traced, and every operation is rewritten.

Calls are inlined, and short loops are unrolled. A branch whose condition is known is followed. Of others, both sides are
computed, and one is selected.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.programs.axes_of_jax import canonical, key_aware_type
from quickstudy.programs.builder import Builder
from quickstudy.programs.operations_of_jax import RULES
from quickstudy.programs.program import ELEMENTWISE, OTHERS, Constant, Program, Value, needed

_LONGEST_LOOP = 64
"""Turns of a loop that is unrolled."""


def trace(function: Callable[..., dict[str, Any]], inputs: dict[str, Any]) -> Program:
    """The program of a function.

    Args:
      function: takes the inputs by name and returns arrays by name. Arrays that it holds become constants.
      inputs: an array of the shape and type of each, or a `jax.ShapeDtypeStruct`.
    Returns:
      The program. Inputs and outputs have no axes of length one, and keys are words `[2]` of their data.
    """
    names = list(inputs)
    shapes = [jax.ShapeDtypeStruct(np.shape(value), _dtype_of(value)) for value in inputs.values()]
    traced, result = jax.make_jaxpr(lambda *arrays: function(**dict(zip(names, arrays, strict=True))), return_shape=True)(
        *shapes
    )
    builder = Builder()
    given = {name: builder.input(canonical(leaf), key_aware_type(leaf)) for name, leaf in zip(names, shapes, strict=True)}
    outputs = _run(builder, traced.jaxpr, traced.consts, list(given.values()))
    named = dict(zip(sorted(result), outputs, strict=True))
    kept = {name: named[name] for name in result}
    return Program(inputs=given, operations=needed(builder.definitions, kept), outputs=kept)


def named_leaves(tree: PyTree, *, root: str) -> dict[str, Any]:
    """Leaves of a tree by their path, as in `memory.table`; a tree that is one leaf has the name of the root."""
    text = lambda path: "".join(f".{_key_text(part)}" for part in path)  # noqa: E731
    return {root + text(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _key_text(part: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _dtype_of(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _run(builder: Builder, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
    """The outputs of a traced function on these inputs."""
    values: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    values.update({name: _constant(builder, array) for name, array in zip(jaxpr.constvars, consts, strict=True)})

    def read(atom: Any) -> Value:
        return builder.constant(np.asarray(atom.val, atom.aval.dtype)) if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        outputs = _equation(builder, equation, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _constant(builder: Builder, array: Any) -> Value:
    if jax.dtypes.issubdtype(getattr(array, "dtype", np.float32), jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return builder.constant(np.asarray(array))


def _equation(builder: Builder, equation: Any, inputs: list[Value]) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _loop(builder, equation, inputs)
    if name == "cond":
        return _branch(builder, equation, inputs)
    for inner in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if inner in params and name not in ("while", "custom_root", "custom_linear_solve"):
            closed = params[inner]
            # Some calls hold their constants, others have none.
            return _run(builder, getattr(closed, "jaxpr", closed), getattr(closed, "consts", ()), inputs)
    if name in RULES:
        outputs = RULES[name](builder, equation, *inputs)
        if outputs is not None:
            return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    # A form of an operation that no rule knows must not pass for the operation of a program that has the same name.
    foreign = f"{name} of this form" if name in ELEMENTWISE | OTHERS else name
    return [
        builder.apply(
            foreign, *inputs, shape=canonical(output.aval), dtype=key_aware_type(output.aval), place=place, at=id(equation)
        )
        for place, output in enumerate(equation.outvars)
    ]


def _loop(builder: Builder, equation: Any, inputs: list[Value]) -> list[Value]:
    params, body = equation.params, equation.params["jaxpr"]
    length, held = params["length"], params["num_consts"]
    if length > _LONGEST_LOOP:
        return [
            builder.apply(
                f"loop of {length} turns", *inputs, shape=canonical(o.aval), dtype=o.aval.dtype, place=p, at=id(equation)
            )
            for p, o in enumerate(equation.outvars)
        ]
    constants, carry = inputs[:held], inputs[held : held + params["num_carry"]]
    along = inputs[held + params["num_carry"] :]
    shapes = [atom.aval.shape for atom in equation.invars[held + params["num_carry"] :]]
    every: list[list[Value]] = []
    turns = range(length)
    for turn in reversed(turns) if params["reverse"] else turns:
        now = [_at(builder, value, turn, length) if shape[0] > 1 else value for value, shape in zip(along, shapes, strict=True)]
        after = _run(builder, body.jaxpr, body.consts, [*constants, *carry, *now])
        carry = after[: params["num_carry"]]
        every.append(after[params["num_carry"] :])
    if params["reverse"]:
        every.reverse()
    stacked = [_stacked(builder, list(parts)) for parts in zip(*every, strict=True)]
    return [*carry, *stacked]


def _branch(builder: Builder, equation: Any, inputs: list[Value]) -> list[Value]:
    branches, (index, *operands) = equation.params["branches"], inputs
    if isinstance(index, Constant):
        chosen = branches[min(max(int(index.array), 0), len(branches) - 1)]
        return _run(builder, chosen.jaxpr, chosen.consts, operands)
    results = [_run(builder, branch.jaxpr, branch.consts, operands) for branch in branches]
    outputs = results[-1]
    for number in range(len(branches) - 2, -1, -1):
        bound = builder.constant(np.asarray(number, index.dtype))
        here = builder.elementwise("le", index, bound) if index.dtype != np.bool_ else builder.elementwise("not", index)
        outputs = [
            builder.apply("select", here, one, other, shape=other.shape, dtype=other.dtype)
            for one, other in zip(results[number], outputs, strict=True)
        ]
    return outputs


def _at(builder: Builder, value: Value, place: int, length: int) -> Value:
    """One place along the first axis."""
    return builder.slice(value, ((place, place + 1, 1), *((0, size, 1) for size in value.shape[1:])))


def _stacked(builder: Builder, parts: list[Value]) -> Value:
    """Values along a new first axis."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    sizes = (1,) * len(parts)
    return builder.apply("concatenate", *parts, shape=(len(parts), *first.shape), dtype=first.dtype, axis=0, sizes=sizes)
