"""The values of a program in C: which of them are arrays or variables, and which are expressions where they are read.

A number of an elementwise operation is an expression. Where only one operation reads it, that expression stands in the loop of
the operation that reads it, so a gate of a recurrent network is one loop. Slices, transposes and broadcasts are other ways to
count through the array that they read; they copy nothing. Known arrays of another type are read in their own.
"""

from collections.abc import Callable, Mapping, Sequence

from quickstudy.export.c_indices import Index, flat, indices_of, within_slice
from quickstudy.export.c_operations import c_expression, c_literal, c_type
from quickstudy.programs.program import Constant, Operation, Program, Value

_VIEWS = ("broadcast", "slice", "transpose")
_NEVER_INLINE = ("max", "min", "abs", "sign")
"""Their expressions name an operand more than once."""
_LONGEST_EXPRESSION = 400
"""Characters; longer ones are computed in a loop of their own."""


class CValues:
    """The values of one program, and the statements and arrays that were written so far.

    Args:
      program: all of whose operations are supported.
      names: expressions in C for its inputs and constants: arrays, or numbers where the shape is `()`.

    Attributes `lines` (statements) and `arrays` (their declarations).
    """

    def __init__(self, program: Program, names: Mapping[Value, str]):
        self._program = program
        self._names = dict(names)
        self._definitions = {op.output: op for op in program.operations}
        self._uses = _uses(program)
        self.lines: list[str] = []
        self.arrays: list[str] = []

    def element(self, value: Value, index: Index) -> str:
        """One number of a value, as an expression."""
        if isinstance(value, Constant) and not value.shape:
            return c_literal(value.array)
        if value in self._names:
            name = self._names[value]
            return f"{name}[{flat(value.shape, index)}]" if value.shape else name
        op = self._definitions[value]
        source = op.inputs[0]
        if op.kind == "broadcast":
            return self.element(source, tuple(index[axis] for axis in op.settings["axes"]))
        if op.kind == "transpose":
            places = {axis: index[place] for place, axis in enumerate(op.settings["axes"])}
            return self.element(source, tuple(places[axis] for axis in range(len(source.shape))))
        if op.kind == "slice":
            return self.element(source, within_slice(op, index))
        if op.kind == "reshape":
            return f"{self.name_of(source)}[{flat(value.shape, index)}]"
        return c_expression(op, [self.element(one, index if one.shape else ()) for one in op.inputs])

    def is_inline(self, op: Operation) -> bool:
        """Whether an operation's output is an expression where it is read, and no array."""
        if op.kind in _VIEWS or (op.kind == "cast" and isinstance(op.inputs[0], Constant)):
            return True
        if op.kind == "reshape":
            return self.is_stored(op.inputs[0])
        if not op.elementwise or not op.output.shape or op.output in self._program.outputs.values():
            return False
        if self._uses.get(op.output, 0) != 1 or op.kind in _NEVER_INLINE:
            return False
        (reader,) = [other for other in self._program.operations if op.output in other.inputs]
        if not reader.elementwise or reader.output.shape != op.output.shape or reader.kind in _NEVER_INLINE:
            return False
        return len(self.element(op.output, tuple("i" for _ in op.output.shape))) < _LONGEST_EXPRESSION

    def is_stored(self, value: Value) -> bool:
        """Whether a value lies in memory in its own order."""
        if value in self._names:
            return True
        op = self._definitions[value]
        return op.kind == "reshape" and self.is_stored(op.inputs[0])

    def is_view(self, value: Value) -> bool:
        """Whether a value is another way to count through an array."""
        return value not in self._names and self._definitions[value].kind in _VIEWS

    def name_of(self, value: Value) -> str:
        """The array of a stored value."""
        return self._names[value] if value in self._names else self.name_of(self._definitions[value].inputs[0])

    def stored(self, value: Value) -> str:
        """The array of a value, which is stored first where it is an expression."""
        if not self.is_stored(value):
            self.store(value)
        return self.name_of(value)

    def store(self, value: Value) -> None:
        """Writes an array or a variable of a value that is an expression; what reads it from now on reads that."""
        indices = indices_of(value.shape)
        text = self.element(value, indices)
        if not value.shape:
            self.lines.append(f"const {c_type(value)} {self.variable(value)} = {text};")
            return
        name = self.array(value)
        self.loops(value.shape, lambda index: f"{name}[{flat(value.shape, index)}] = {text};")

    def store_output(self, value: Value) -> None:
        """Makes sure that an output is not read from an array that another output overwrites."""
        operation = None if value in self._names else self._definitions.get(value)
        counts_through_another = operation is not None and operation.kind in (*_VIEWS, "reshape")
        if counts_through_another or (value.shape and value in self._program.inputs.values()):
            self.store(value)

    def array(self, value: Value) -> str:
        """The name of a new array for a value."""
        name = self.variable(value)
        self.arrays.append(f"static {c_type(value)} {name}[{value.size}];")
        return name

    def variable(self, value: Value) -> str:
        """The name of a new variable for a value."""
        self._names[value] = f"v{len(self._names)}"
        return self._names[value]

    def loops(self, shape: tuple[int, ...], statement: Callable[[Index], str], *, prefix: str = "i") -> None:
        """A statement for every place of a shape."""
        indices = indices_of(shape, prefix)
        self.nest(list(zip(indices, shape, strict=True)), statement(indices))

    def nest(self, loops: Sequence[tuple[str, int]], *statements: str) -> None:
        """Statements within loops, each of which has an index and a length."""
        for depth, (index, length) in enumerate(loops):
            self.lines.append("    " * depth + f"for (int32_t {index} = 0; {index} < {length}; {index}++) {{")
        self.lines += ["    " * len(loops) + statement for statement in statements]
        self.lines += ["    " * depth + "}" for depth in reversed(range(len(loops)))]


def _uses(program: Program) -> dict[Value, int]:
    """How often operations read a value."""
    uses: dict[Value, int] = {}
    for op in program.operations:
        for value in op.inputs:
            uses[value] = uses.get(value, 0) + 1
    return uses
