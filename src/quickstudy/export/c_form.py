"""Programs in C99: every array has its place in memory beforehand, and every loop its length.

`c_values.py` says which values are arrays and which are expressions; here are the statements that compute the arrays.
"""

from collections.abc import Callable, Mapping
from functools import partial

from quickstudy.export.c_indices import Index, flat, indices_of
from quickstudy.export.c_operations import c_type
from quickstudy.export.c_products import WHOLE_PRODUCT, whole_product_lines
from quickstudy.export.c_values import CValues
from quickstudy.programs.program import Operation, Program, Value


def c_body(program: Program, names: Mapping[Value, str], targets: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The statements that compute the outputs of a program and copy them, and the arrays that they need.

    Args:
      program: all of whose operations are supported.
      names: expressions in C for its inputs and constants: arrays, or numbers where the shape is `()`.
      targets: where each output goes: an array, or a variable where the shape is `()`.
    """
    values = CValues(program, names)
    for op in program.operations:
        if not values.is_inline(op):
            _write(values, op)
    changed = {name: value for name, value in program.outputs.items() if value is not program.inputs.get(name)}
    for value in changed.values():
        values.store_output(value)
    for name, value in changed.items():
        _write_output(values, value, targets[name])
    return values.lines, values.arrays


def _write_output(values: CValues, value: Value, target: str) -> None:
    if value.shape:
        values.loops(value.shape, lambda index: f"{target}[{flat(value.shape, index)}] = {values.element(value, index)};")
    else:
        values.lines.append(f"{target} = {values.element(value, ())};")


def _write(values: CValues, op: Operation) -> None:
    if op.kind == "reshape":
        # The source is an expression: it is stored first, in its own order.
        values.store(op.inputs[0])
    elif op.elementwise:
        values.store(op.output)
    else:
        _STATEMENTS[op.kind](values, op)


def _vecmat(values: CValues, op: Operation) -> None:
    vector, matrix = op.inputs
    if not op.output.shape:
        name = values.variable(op.output)
        values.lines.append(f"float {name} = 0.0f;")
        values.loops(
            vector.shape, lambda k: f"{name} += {values.element(vector, k)} * {values.element(matrix, k)};", prefix="k"
        )
        return
    name, (inner, columns) = values.array(op.output), matrix.shape
    values.loops(op.output.shape, lambda index: f"{name}[{index[0]}] = 0.0f;")
    # Four rows at a time, added in their order: the output is read and written a quarter as often, and no bit changes.
    for start, stop, rows in ((0, inner - inner % 4, 4), (inner - inner % 4, inner, 1)):
        if start < stop:
            places = [f"k + {row}" if row else "k" for row in range(rows)]
            factors = [f"x{row} = {values.element(vector, (place,))}" for row, place in enumerate(places)]
            terms = [f"x{row} * {values.element(matrix, (place, 'i'))}" for row, place in enumerate(places)]
            total = f"{name}[i] + {terms[0]}"
            for term in terms[1:]:
                total = f"({total}) + {term}"
            values.lines += [
                f"for (int32_t k = {start}; k < {stop}; k += {rows}) {{",
                f"    const float {', '.join(factors)};",
                f"    for (int32_t i = 0; i < {columns}; i++) {name}[i] = {total};",
                "}",
            ]


def _whole_product(values: CValues, op: Operation) -> None:
    vector, matrix = op.inputs
    element = lambda place: values.element(vector, (place,) if vector.shape else ())  # noqa: E731
    lines, arrays = whole_product_lines(op, element, values.name_of(matrix), values.array(op.output))
    values.lines += lines
    values.arrays += arrays


def _matmul(values: CValues, op: Operation) -> None:
    left, right = op.inputs
    name, shape = values.array(op.output), op.output.shape
    values.loops(shape, lambda index: f"{name}[{flat(shape, index)}] = 0.0f;")
    batch, rows, columns, inner = shape[:-2], shape[-2], shape[-1], left.shape[-1]
    before = indices_of(batch, "b")
    values.nest(
        [*zip(before, batch, strict=True), ("i", rows), ("k", inner)],
        f"const float x = {values.element(left, (*before, 'i', 'k'))};",
        f"for (int32_t j = 0; j < {columns}; j++)",
        f"    {name}[{flat(shape, (*before, 'i', 'j'))}] += x * {values.element(right, (*before, 'k', 'j'))};",
    )


def _reduction(values: CValues, op: Operation, *, start: str | None, step: str) -> None:
    """A reduction that begins with a number, or with the first element where `start` is None."""
    source, axes = op.inputs[0], op.settings["axes"]
    kept = [axis for axis in range(len(source.shape)) if axis not in axes]
    zeros = tuple("0" if axis in axes else f"i{axis}" for axis in range(len(source.shape)))
    start = start or values.element(source, zeros)
    if not op.output.shape:
        target = values.variable(op.output)
        values.lines.append(f"{c_type(op.output)} {target} = {start};")
    else:
        target = f"{values.array(op.output)}[{flat(op.output.shape, tuple(f'i{axis}' for axis in kept))}]"
        values.nest([(f"i{axis}", source.shape[axis]) for axis in kept], f"{target} = {start};")
    loops = [(f"i{axis}", source.shape[axis]) for axis in (*kept, *axes)]
    values.nest(loops, step.format(target, values.element(source, indices_of(source.shape))))


def _argmax(values: CValues, op: Operation) -> None:
    source, axis = op.inputs[0], op.settings["axis"]
    loops = [(f"i{a}", length) for a, length in enumerate(source.shape) if a != axis]
    if op.output.shape:
        target = f"{values.array(op.output)}[{flat(op.output.shape, tuple(index for index, _ in loops))}]"
        values.nest(loops, f"{target} = 0;")
    else:
        target = values.variable(op.output)
        values.lines.append(f"{c_type(op.output)} {target} = 0;")
    here = values.element(source, indices_of(source.shape))
    best = values.element(source, tuple(target if a == axis else f"i{a}" for a in range(len(source.shape))))
    values.nest([*loops, (f"i{axis}", source.shape[axis])], f"if ({here} > {best}) {target} = i{axis};")


def _concatenate(values: CValues, op: Operation) -> None:
    axis, shape, start = op.settings["axis"], op.output.shape, 0
    for value in op.inputs:
        if value.shape and not values.is_stored(value) and not values.is_view(value):
            values.store(value)
    name = values.array(op.output)
    for value, size in zip(op.inputs, op.settings["sizes"], strict=True):
        part = (*shape[:axis], *([size] if size > 1 else []), *shape[axis + 1 :])

        def statement(index: Index, value: Value = value, size: int = size, start: int = start) -> str:
            along = f"{start} + {index[axis]}" if size > 1 else str(start)
            rest = index[axis + 1 :] if size > 1 else index[axis:]
            return f"{name}[{flat(shape, (*index[:axis], along, *rest))}] = {values.element(value, index)};"

        values.loops(part, statement)
        start += size


def _pad(values: CValues, op: Operation) -> None:
    source, padding = op.inputs
    name, shape = values.array(op.output), op.output.shape
    values.loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {values.element(padding, ())};")

    def statement(index: Index) -> str:
        moved = tuple(f"{i} + {by}" for i, by in zip(index, op.settings["before"], strict=True))
        return f"{name}[{flat(shape, moved)}] = {values.element(source, index)};"

    values.loops(source.shape, statement)


def _take(values: CValues, op: Operation) -> None:
    table, numbers = op.inputs
    name, shape, last = values.array(op.output) if op.output.shape else None, op.output.shape, table.shape[0] - 1

    def element(index: Index) -> str:
        number = f"(int32_t){values.element(numbers, index[: len(numbers.shape)])}"
        row = f"({number} < 0 ? 0 : ({number} > {last} ? {last} : {number}))"
        return values.element(table, (row, *index[len(numbers.shape) :]))

    if name is None:
        text = element(())
        values.lines.append(f"const {c_type(op.output)} {values.variable(op.output)} = {text};")
    else:
        values.loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {element(index)};")


def _running(values: CValues, op: Operation, *, step: str) -> None:
    source, axis, shape = op.inputs[0], op.settings["axis"], op.output.shape
    indices, name = indices_of(shape), values.array(op.output)
    values.loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {values.element(source, index)};")
    before = tuple(f"{i} - 1" if a == axis else i for a, i in enumerate(indices))
    text = step.format(f"{name}[{flat(shape, indices)}]", f"{name}[{flat(shape, before)}]")
    values.loops(shape, lambda index: f"if ({index[axis]} > 0) {{ {text} }}")


def _random_bits(values: CValues, op: Operation) -> None:
    key = values.stored(op.inputs[0])
    if not op.output.shape:
        name = values.variable(op.output)
        values.lines += [f"uint32_t {name}_words[2];", f"threefry({key}, 0u, 0u, {name}_words);"]
        values.lines.append(f"const uint32_t {name} = {name}_words[0] ^ {name}_words[1];")
        return
    name = values.array(op.output)
    values.nest(
        [("i", op.output.size)],
        "uint32_t words[2];",
        f"threefry({key}, 0u, (uint32_t)i, words);",
        f"{name}[i] = words[0] ^ words[1];",
    )


def _fold_in(values: CValues, op: Operation) -> None:
    key, number = values.stored(op.inputs[0]), values.element(op.inputs[1], ())
    values.lines.append(f"threefry({key}, 0u, (uint32_t){number}, {values.array(op.output)});")


_SUM, _LARGEST = "{0} += {1};", "if ({1} > {0}) {0} = {1};"
_STATEMENTS: dict[str, Callable[[CValues, Operation], None]] = {
    "vecmat": _vecmat,
    WHOLE_PRODUCT: _whole_product,
    "matmul": _matmul,
    "sum": partial(_reduction, start="0", step=_SUM),
    "largest": partial(_reduction, start=None, step=_LARGEST),
    "least": partial(_reduction, start=None, step="if ({1} < {0}) {0} = {1};"),
    "all": partial(_reduction, start="1", step="{0} = {0} && {1};"),
    "any": partial(_reduction, start="0", step="{0} = {0} || {1};"),
    "argmax": _argmax,
    "concatenate": _concatenate,
    "pad": _pad,
    "take": _take,
    "cumsum": partial(_running, step=_SUM),
    "cummax": partial(_running, step=_LARGEST),
    "random_bits": _random_bits,
    "fold_in": _fold_in,
}
"""The statements of each kind of operation that is not elementwise."""
