"""Programs in C99: every array has its place in memory beforehand, and every loop its length.

A number of an elementwise operation is an expression. Where only one operation reads it, that expression stands in the loop of
the operation that reads it, so a gate of a recurrent network is one loop. Slices, transposes and broadcasts are other ways to
count through the array that they read; they copy nothing. Known arrays of another type are read in their own.
"""

from collections.abc import Callable, Mapping

from quickstudy.export.c_indices import Index, flat, indices_of, within_slice
from quickstudy.export.c_operations import c_expression, c_literal, c_type
from quickstudy.export.c_products import whole_product_lines
from quickstudy.programs.program import Constant, Operation, Program, Value

_VIEWS = ("broadcast", "slice", "transpose")
_LONGEST_EXPRESSION = 400
"""Characters; longer ones are computed in a loop of their own."""
_STARTS = {"sum": "0", "largest": None, "least": None, "all": "1", "any": "0"}
_STEPS = {"sum": "{0} += {1};", "largest": "if ({1} > {0}) {0} = {1};", "least": "if ({1} < {0}) {0} = {1};",
          "all": "{0} = {0} && {1};", "any": "{0} = {0} || {1};"}  # fmt: skip


class CWriter:
    """Writes the body of one program.

    Args:
      program: all of whose operations are supported.
      names: expressions in C for its inputs and constants: arrays, or numbers where the shape is `()`.
    """

    def __init__(self, program: Program, names: Mapping[Value, str]):
        self._program = program
        self._names = dict(names)
        self._definitions = {op.output: op for op in program.operations}
        self._lines: list[str] = []
        self._arrays: list[str] = []
        self._uses = self._count_uses()

    def body(self, targets: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """The statements that compute the outputs and copy them, and the arrays that they need.

        Args:
          targets: where each output goes: an array, or a variable where the shape is `()`.
        """
        for op in self._program.operations:
            if not self._is_inline(op):
                self._write(op)
        for name, value in self._program.outputs.items():
            if value is not self._program.inputs.get(name):
                self._keep(value)
        for name, value in self._program.outputs.items():
            if value is not self._program.inputs.get(name):
                self._write_output(value, targets[name])
        return self._lines, self._arrays

    def _write_output(self, value: Value, target: str) -> None:
        if value.shape:
            self._loops(value.shape, lambda index: f"{target}[{flat(value.shape, index)}] = {self._element(value, index)};")
        else:
            self._lines.append(f"{target} = {self._element(value, ())};")

    def _count_uses(self) -> dict[Value, int]:
        uses: dict[Value, int] = {}
        for op in self._program.operations:
            for value in op.inputs:
                uses[value] = uses.get(value, 0) + 1
        return uses

    def _is_inline(self, op: Operation) -> bool:
        """Whether an operation's output is an expression where it is read, and no array."""
        if op.kind in _VIEWS or (op.kind == "cast" and isinstance(op.inputs[0], Constant)):
            return True
        if op.kind == "reshape":
            return self._stored(op.inputs[0])
        if not op.elementwise or not op.output.shape or op.output in self._program.outputs.values():
            return False
        if self._uses.get(op.output, 0) != 1 or op.kind in ("max", "min", "abs", "sign"):
            return False
        (reader,) = [other for other in self._program.operations if op.output in other.inputs]
        if not reader.elementwise or reader.output.shape != op.output.shape or reader.kind in ("max", "min", "abs", "sign"):
            return False
        return len(self._element(op.output, tuple("i" for _ in op.output.shape))) < _LONGEST_EXPRESSION

    def _stored(self, value: Value) -> bool:
        """Whether a value lies in memory in its own order."""
        if value in self._names:
            return True
        op = self._definitions[value]
        return op.kind == "reshape" and self._stored(op.inputs[0])

    def _keep(self, value: Value) -> None:
        """Makes sure that an output is not read from an array that another output overwrites."""
        if (
            value not in self._names and value in self._definitions and self._definitions[value].kind in (*_VIEWS, "reshape")
        ) or (value.shape and value in self._program.inputs.values()):
            self._materialise(value)

    def _materialise(self, value: Value) -> None:
        if not value.shape:
            text = self._element(value, ())
            self._lines.append(f"const {c_type(value)} {self._scalar(value)} = {text};")
            return
        source = {index: self._element(value, index) for index in [indices_of(value.shape)]}
        name = self._array(value)
        self._loops(value.shape, lambda index: f"{name}[{flat(value.shape, index)}] = {source[index]};")

    def _array(self, value: Value) -> str:
        name = f"v{len(self._names)}"
        self._names[value] = name
        self._arrays.append(f"static {c_type(value)} {name}[{value.size}];")
        return name

    def _scalar(self, value: Value) -> str:
        self._names[value] = f"v{len(self._names)}"
        return self._names[value]

    def _element(self, value: Value, index: Index) -> str:
        """One number of a value, as an expression."""
        if isinstance(value, Constant) and not value.shape:
            return c_literal(value.array)
        if value in self._names:
            name = self._names[value]
            return f"{name}[{flat(value.shape, index)}]" if value.shape else name
        op = self._definitions[value]
        source = op.inputs[0]
        if op.kind == "broadcast":
            return self._element(source, tuple(index[axis] for axis in op.settings["axes"]))
        if op.kind == "transpose":
            places = {axis: index[place] for place, axis in enumerate(op.settings["axes"])}
            return self._element(source, tuple(places[axis] for axis in range(len(source.shape))))
        if op.kind == "slice":
            return self._element(source, within_slice(op, index))
        if op.kind == "reshape":
            return f"{self._name_of(source)}[{flat(value.shape, index)}]"
        return c_expression(op, [self._element(one, index if one.shape else ()) for one in op.inputs])

    def _name_of(self, value: Value) -> str:
        """The array of a stored value."""
        return self._names[value] if value in self._names else self._name_of(self._definitions[value].inputs[0])

    def _loops(self, shape: tuple[int, ...], statement: Callable[[Index], str], *, prefix: str = "i") -> None:
        """A statement for every place of a shape."""
        indices = indices_of(shape, prefix)
        for depth, (index, length) in enumerate(zip(indices, shape, strict=True)):
            self._lines.append("    " * depth + f"for (int32_t {index} = 0; {index} < {length}; {index}++) {{")
        self._lines.append("    " * len(shape) + statement(indices))
        for depth in reversed(range(len(shape))):
            self._lines.append("    " * depth + "}")

    def _write(self, op: Operation) -> None:
        if op.kind == "reshape":
            # The source is an expression: it is stored first, in its own order.
            self._materialise(op.inputs[0])
        elif op.elementwise:
            self._write_elementwise(op)
        else:
            getattr(self, f"_write_{op.kind}", self._write_reduction)(op)

    def _write_elementwise(self, op: Operation) -> None:
        if not op.output.shape:
            text = self._element(op.output, ())
            self._lines.append(f"const {c_type(op.output)} {self._scalar(op.output)} = {text};")
            return
        indices = indices_of(op.output.shape)
        text, name = self._element(op.output, indices), self._array(op.output)
        self._loops(op.output.shape, lambda index: f"{name}[{flat(op.output.shape, index)}] = {text};")

    def _write_vecmat(self, op: Operation) -> None:
        vector, matrix = op.inputs
        if not op.output.shape:
            name = self._scalar(op.output)
            self._lines.append(f"float {name} = 0.0f;")
            self._loops(
                vector.shape, lambda k: f"{name} += {self._element(vector, k)} * {self._element(matrix, k)};", prefix="k"
            )
            return
        name, (inner, columns) = self._array(op.output), matrix.shape
        self._loops(op.output.shape, lambda index: f"{name}[{index[0]}] = 0.0f;")
        # Four rows at a time, added in their order: the output is read and written a quarter as often, and no bit changes.
        for start, stop, rows in ((0, inner - inner % 4, 4), (inner - inner % 4, inner, 1)):
            if start < stop:
                places = [f"k + {row}" if row else "k" for row in range(rows)]
                factors = [f"x{row} = {self._element(vector, (place,))}" for row, place in enumerate(places)]
                terms = [f"x{row} * {self._element(matrix, (place, 'i'))}" for row, place in enumerate(places)]
                total = f"{name}[i] + {terms[0]}"
                for term in terms[1:]:
                    total = f"({total}) + {term}"
                self._lines += [
                    f"for (int32_t k = {start}; k < {stop}; k += {rows}) {{",
                    f"    const float {', '.join(factors)};",
                    f"    for (int32_t i = 0; i < {columns}; i++) {name}[i] = {total};",
                    "}",
                ]

    def _write_whole_product(self, op: Operation) -> None:
        vector, matrix = op.inputs
        element = lambda place: self._element(vector, (place,) if vector.shape else ())  # noqa: E731
        lines, arrays = whole_product_lines(op, element, self._names[matrix], self._array(op.output))
        self._lines += lines
        self._arrays += arrays

    def _write_matmul(self, op: Operation) -> None:
        left, right = op.inputs
        name, shape = self._array(op.output), op.output.shape
        self._loops(shape, lambda index: f"{name}[{flat(shape, index)}] = 0.0f;")
        batch, rows, columns, inner = shape[:-2], shape[-2], shape[-1], left.shape[-1]
        before = indices_of(batch, "b")
        pad = "    " * len(batch)
        lines = [
            f"{'    ' * d}for (int32_t {b} = 0; {b} < {n}; {b}++) {{"
            for d, (b, n) in enumerate(zip(before, batch, strict=True))
        ]
        lines += [
            f"{pad}for (int32_t i = 0; i < {rows}; i++) {{",
            f"{pad}    for (int32_t k = 0; k < {inner}; k++) {{",
            f"{pad}        const float x = {self._element(left, (*before, 'i', 'k'))};",
            f"{pad}        for (int32_t j = 0; j < {columns}; j++)",
            f"{pad}            {name}[{flat(shape, (*before, 'i', 'j'))}] += x * {self._element(right, (*before, 'k', 'j'))};",
            f"{pad}    }}",
            f"{pad}}}",
        ]
        self._lines += lines + ["    " * depth + "}" for depth in reversed(range(len(batch)))]

    def _write_reduction(self, op: Operation) -> None:
        source, axes = op.inputs[0], op.settings["axes"]
        step = _STEPS[op.kind]
        kept = [axis for axis in range(len(source.shape)) if axis not in axes]
        zeros = tuple("0" if axis in axes else f"i{axis}" for axis in range(len(source.shape)))
        start = _STARTS[op.kind] or self._element(source, zeros)
        indices = indices_of(source.shape)
        target = self._scalar(op.output) if not op.output.shape else self._array(op.output)
        if not op.output.shape:
            self._lines.append(f"{c_type(op.output)} {target} = {start};")
        else:
            place = flat(op.output.shape, tuple(f"i{axis}" for axis in kept))
            target = f"{target}[{place}]"
            self._nest([(f"i{axis}", source.shape[axis]) for axis in kept], f"{target} = {start};")
        order = [*kept, *axes]
        self._nest(
            [(f"i{axis}", source.shape[axis]) for axis in order], step.format(target, self._element(source, indices))
        )  # fmt: skip

    def _nest(self, loops: list[tuple[str, int]], statement: str) -> None:
        for depth, (index, length) in enumerate(loops):
            self._lines.append("    " * depth + f"for (int32_t {index} = 0; {index} < {length}; {index}++) {{")
        self._lines.append("    " * len(loops) + statement)
        self._lines += ["    " * depth + "}" for depth in reversed(range(len(loops)))]

    def _write_argmax(self, op: Operation) -> None:
        source, axis = op.inputs[0], op.settings["axis"]
        kept = [a for a in range(len(source.shape)) if a != axis]
        if op.output.shape:
            name = self._array(op.output)
            target = f"{name}[{flat(op.output.shape, tuple(f'i{a}' for a in kept))}]"
        else:
            target = self._scalar(op.output)
            self._lines.append(f"{c_type(op.output)} {target} = 0;")
        here = self._element(source, indices_of(source.shape))
        best = self._element(source, tuple(target if a == axis else f"i{a}" for a in range(len(source.shape))))
        loops = [(f"i{a}", source.shape[a]) for a in kept]
        if op.output.shape:
            self._nest(loops, f"{target} = 0;")
        self._nest([*loops, (f"i{axis}", source.shape[axis])], f"if ({here} > {best}) {target} = i{axis};")

    def _write_concatenate(self, op: Operation) -> None:
        axis, shape, start = op.settings["axis"], op.output.shape, 0
        for value in op.inputs:
            if value.shape and not self._stored(value) and self._definitions[value].kind not in _VIEWS:
                self._materialise(value)
        name = self._array(op.output)
        for value, size in zip(op.inputs, op.settings["sizes"], strict=True):
            part = (*shape[:axis], *([size] if size > 1 else []), *shape[axis + 1 :])

            def statement(index: Index, value: Value = value, size: int = size, start: int = start) -> str:
                along = f"{start} + {index[axis]}" if size > 1 else str(start)
                rest = index[axis + 1 :] if size > 1 else index[axis:]
                return f"{name}[{flat(shape, (*index[:axis], along, *rest))}] = {self._element(value, index)};"

            self._loops(part, statement)
            start += size

    def _write_pad(self, op: Operation) -> None:
        source, padding = op.inputs
        name, shape = self._array(op.output), op.output.shape
        self._loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {self._element(padding, ())};")
        before = op.settings["before"]

        def statement(index: Index) -> str:
            moved = tuple(f"{i} + {by}" for i, by in zip(index, before, strict=True))
            return f"{name}[{flat(shape, moved)}] = {self._element(source, index)};"

        self._loops(source.shape, statement)

    def _write_take(self, op: Operation) -> None:
        table, numbers = op.inputs
        name, shape, last = self._array(op.output) if op.output.shape else None, op.output.shape, table.shape[0] - 1

        def row(index: Index) -> str:
            number = f"(int32_t){self._element(numbers, index[: len(numbers.shape)])}"
            return f"({number} < 0 ? 0 : ({number} > {last} ? {last} : {number}))"

        def element(index: Index) -> str:
            return self._element(table, (row(index), *index[len(numbers.shape) :]))

        if name is None:
            text = element(())
            self._lines.append(f"const {c_type(op.output)} {self._scalar(op.output)} = {text};")
        else:
            self._loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {element(index)};")

    def _write_cumsum(self, op: Operation) -> None:
        self._write_running(op, "{0} += {1};")

    def _write_cummax(self, op: Operation) -> None:
        self._write_running(op, "if ({1} > {0}) {0} = {1};")

    def _write_running(self, op: Operation, step: str) -> None:
        source, axis, shape = op.inputs[0], op.settings["axis"], op.output.shape
        indices, name = indices_of(shape), self._array(op.output)
        self._loops(shape, lambda index: f"{name}[{flat(shape, index)}] = {self._element(source, index)};")
        before = tuple(f"{i} - 1" if a == axis else i for a, i in enumerate(indices))
        text = step.format(f"{name}[{flat(shape, indices)}]", f"{name}[{flat(shape, before)}]")
        self._loops(shape, lambda index: f"if ({index[axis]} > 0) {{ {text} }}")

    def _write_random_bits(self, op: Operation) -> None:
        key = self._key(op.inputs[0])
        if not op.output.shape:
            name = self._scalar(op.output)
            self._lines += [f"uint32_t {name}_words[2];", f"threefry({key}, 0u, 0u, {name}_words);"]
            self._lines.append(f"const uint32_t {name} = {name}_words[0] ^ {name}_words[1];")
            return
        name = self._array(op.output)
        self._lines += [
            f"for (int32_t i = 0; i < {op.output.size}; i++) {{",
            "    uint32_t words[2];",
            f"    threefry({key}, 0u, (uint32_t)i, words);",
            f"    {name}[i] = words[0] ^ words[1];",
            "}",
        ]

    def _write_fold_in(self, op: Operation) -> None:
        key, number = self._key(op.inputs[0]), self._element(op.inputs[1], ())
        self._lines.append(f"threefry({key}, 0u, (uint32_t){number}, {self._array(op.output)});")

    def _key(self, value: Value) -> str:
        if not self._stored(value):
            self._materialise(value)
        return self._name_of(value)
