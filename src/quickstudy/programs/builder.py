"""Builds a program operation by operation, and leaves out what need not be computed.

- An operation on constants becomes a constant.
- An operation that changes nothing becomes its input: adding 0, multiplying by 1, reshaping to the same shape.
- The same operation on the same inputs is done once.
- An elementwise operation on inputs that are all broadcast is done before the broadcast.
"""

import math
from typing import Any

import numpy as np

from quickstudy.programs.numpy_operations import evaluate
from quickstudy.programs.program import ELEMENTWISE, OTHERS, Constant, Operation, Shape, Value

_LARGEST_FOLDED = 4_000_000
"""Numbers of a constant that is computed beforehand."""
_NEUTRAL_RIGHT = {"add": 0, "sub": 0, "mul": 1, "div": 1, "or": 0, "xor": 0, "shift_left": 0, "shift_right": 0, "pow": 1}
_NEUTRAL_LEFT = {"add": 0, "mul": 1, "or": 0, "xor": 0}
_PREDICATES = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "is_finite"))


class Builder:
    """The operations so far. Every method returns the value that it stands for."""

    def __init__(self) -> None:
        self.definitions: dict[Value, Operation] = {}
        self._same: dict[Any, Value] = {}

    def input(self, shape: Shape, dtype: Any) -> Value:
        """A value that the caller of the program gives."""
        return Value(shape, np.dtype(dtype))

    def constant(self, array: Any) -> Constant:
        """A known array; its axes of length one are dropped."""
        array = np.asarray(array)
        array = np.ascontiguousarray(array).reshape(tuple(length for length in array.shape if length != 1))
        key = ("constant", array.shape, array.dtype.str, array.tobytes())
        if key not in self._same:
            self._same[key] = Constant(array.shape, array.dtype, array)
        return self._same[key]  # type: ignore[return-value]

    def apply(self, kind: str, *inputs: Value, shape: Shape, dtype: Any, **settings: Any) -> Value:
        """The output of an operation.

        Args:
          kind: as `Operation` names it. A kind that no form knows is kept, and refused only if the output is needed.
          inputs: of the operation.
          shape: of the output.
          dtype: of the output.
          settings: of the operation.
        """
        output_type, shape = np.dtype(dtype), tuple(map(int, shape))
        inputs = self._with_scalars(inputs, shape) if kind in ELEMENTWISE else inputs
        simple = self._simplified(kind, inputs, shape, output_type, settings)
        if simple is not None:
            return simple
        key = (kind, inputs, shape, output_type.str, tuple(sorted(settings.items())))
        if key in self._same:
            return self._same[key]
        op = Operation(kind, inputs, Value(shape, output_type), settings)
        known = all(isinstance(value, Constant) for value in inputs)
        if known and inputs and kind in ELEMENTWISE | OTHERS and op.output.size <= _LARGEST_FOLDED:
            folded = evaluate(op, *(value.array for value in inputs if isinstance(value, Constant)))
            return self.constant(folded)
        self.definitions[op.output] = op
        self._same[key] = op.output
        return op.output

    def elementwise(self, kind: str, *inputs: Value, dtype: Any = None) -> Value:
        """An elementwise operation; the type is that of the last input if it is not given."""
        shape = max((value.shape for value in inputs), key=len)
        kind_type = np.bool_ if kind in _PREDICATES else inputs[-1].dtype
        return self.apply(kind, *inputs, shape=shape, dtype=kind_type if dtype is None else dtype)

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same numbers in another shape without axes of length one."""
        return self.apply("reshape", value, shape=shape, dtype=value.dtype)

    def transpose(self, value: Value, axes: tuple[int, ...]) -> Value:
        """Axes in another order."""
        return self.apply(
            "transpose", value, shape=tuple(value.shape[axis] for axis in axes), dtype=value.dtype, axes=tuple(axes)
        )

    def slice(self, value: Value, ranges: tuple[tuple[int, int, int], ...]) -> Value:
        """A part: start, stop and step for each axis; an axis of which one place is taken is dropped."""
        ranges = tuple((int(start), int(stop), int(step)) for start, stop, step in ranges)
        lengths = (-(-(stop - start) // step) for start, stop, step in ranges)
        shape = tuple(length for length in lengths if length != 1)
        return self.apply("slice", value, shape=shape, dtype=value.dtype, ranges=ranges)

    def broadcast(self, value: Value, shape: Shape, axes: tuple[int, ...]) -> Value:
        """A value along more axes; `axes` are those of the output that its own become."""
        return self.apply("broadcast", value, shape=shape, dtype=value.dtype, axes=tuple(axes))

    def reduce(self, kind: str, value: Value, axes: tuple[int, ...]) -> Value:
        """A reduction over some axes."""
        shape = tuple(length for axis, length in enumerate(value.shape) if axis not in axes)
        return self.apply(kind, value, shape=shape, dtype=value.dtype, axes=tuple(axes)) if axes else value

    def _with_scalars(self, inputs: tuple[Value, ...], shape: Shape) -> tuple[Value, ...]:
        """Inputs of an elementwise operation, scalars where one number is everywhere; one input keeps the whole shape."""
        scalars = []
        for value in inputs:
            op, same = self.definitions.get(value), _uniform(value) if value.shape else None
            if op is not None and op.kind == "broadcast" and not op.inputs[0].shape:
                scalars.append(op.inputs[0])
            else:
                scalars.append(value if same is None else self.constant(np.asarray(same, value.dtype)))
        return tuple(scalars) if any(value.shape == shape for value in scalars) else inputs

    def _simplified(
        self, kind: str, inputs: tuple[Value, ...], shape: Shape, dtype: np.dtype, settings: dict[str, Any]
    ) -> Value | None:
        """What an operation is equal to without computing; None if it must be computed."""
        if kind in ELEMENTWISE:
            return self._simple_elementwise(kind, inputs, shape, dtype)
        if kind in ("reshape", "broadcast") and inputs[0].shape == shape:
            return inputs[0]
        if kind == "transpose" and settings["axes"] == tuple(range(len(shape))):
            return inputs[0]
        if kind == "slice":
            return self._simple_slice(inputs[0], settings["ranges"])
        if kind == "concatenate" and len(inputs) == 1:
            return inputs[0]
        source = self.definitions.get(inputs[0]) if inputs else None
        if kind == "reshape" and source is not None and source.kind == "reshape":
            return self.reshape(source.inputs[0], shape)
        if kind == "transpose" and source is not None and source.kind == "transpose":
            return self.transpose(source.inputs[0], tuple(source.settings["axes"][axis] for axis in settings["axes"]))
        if kind == "broadcast" and source is not None and source.kind == "broadcast":
            return self.broadcast(source.inputs[0], shape, tuple(settings["axes"][axis] for axis in source.settings["axes"]))
        return None

    def _simple_slice(self, value: Value, ranges: tuple[tuple[int, int, int], ...]) -> Value | None:
        if all(cut == (0, length, 1) for cut, length in zip(ranges, value.shape, strict=True)):
            return value
        source = self.definitions.get(value)
        if source is not None and source.kind == "concatenate":
            axis = source.settings["axis"]
            start = 0
            for part, size in zip(source.inputs, source.settings["sizes"], strict=True):
                if ranges[axis] == (start, start + size, 1):
                    others = (*ranges[:axis], *ranges[axis + 1 :])
                    within = others if size == 1 else (*ranges[:axis], (0, size, 1), *ranges[axis + 1 :])
                    return self.slice(part, within)
                start += size
        return None

    def _simple_elementwise(self, kind: str, inputs: tuple[Value, ...], shape: Shape, dtype: np.dtype) -> Value | None:
        first = inputs[0]
        if kind == "cast" and first.dtype == dtype:
            return first
        if kind == "select":
            if inputs[1] is inputs[2]:
                return self._spread(inputs[1], shape)
            truth = _uniform(first)
            if truth is not None:
                return self._spread(inputs[1 if truth else 2], shape)
        if len(inputs) == 2:
            simple = self._simple_pair(kind, *inputs)
            if simple is not None:
                return self._spread(simple, shape)
        return self._before_broadcast(kind, inputs, shape, dtype)

    def _simple_pair(self, kind: str, left: Value, right: Value) -> Value | None:
        on_left, on_right = _uniform(left), _uniform(right)
        if on_right is not None and kind in _NEUTRAL_RIGHT and on_right == _NEUTRAL_RIGHT[kind]:
            return left
        if on_left is not None and kind in _NEUTRAL_LEFT and on_left == _NEUTRAL_LEFT[kind]:
            return right
        # Inputs are finite: steps with other numbers are never handed to a program.
        if kind == "mul" and 0 in (on_left, on_right):
            return self.constant(np.zeros((), left.dtype))
        if kind == "and" and left.dtype == np.bool_ and (on_left is not None or on_right is not None):
            known, other = (on_left, right) if on_left is not None else (on_right, left)
            return other if known else self.constant(np.False_)
        if kind == "or" and left.dtype == np.bool_ and True in (on_left, on_right):
            return self.constant(np.True_)
        if kind in ("max", "min", "and", "or") and left is right:
            return left
        if kind in ("max", "min"):
            least = -np.inf if kind == "max" else np.inf
            return left if on_right == least else (right if on_left == least else None)
        return None

    def _spread(self, value: Value, shape: Shape) -> Value:
        """A value of an elementwise operation in the operation's shape: it has it, or is a scalar."""
        return value if value.shape == shape else self.broadcast(value, shape, ())

    def _before_broadcast(self, kind: str, inputs: tuple[Value, ...], shape: Shape, dtype: np.dtype) -> Value | None:
        """The operation on what was broadcast, and then broadcast; None if inputs are not scalars or broadcast all alike."""
        if not shape:
            return None
        axes: set[tuple[int, ...]] = set()
        sources = []
        for value in inputs:
            op, same = self.definitions.get(value), _uniform(value)
            if same is not None or not value.shape:
                sources.append(value if not value.shape else self.constant(np.asarray(same, value.dtype)))
            elif op is not None and op.kind == "broadcast":
                axes.add(op.settings["axes"])
                sources.append(op.inputs[0])
            else:
                return None
        axes.discard(())
        if len(axes) > 1 or all(value.shape == shape for value in sources):
            return None
        kept = axes.pop() if axes else ()
        smaller = tuple(shape[axis] for axis in kept)
        return self.broadcast(self.apply(kind, *sources, shape=smaller, dtype=dtype), shape, kept)


def _uniform(value: Value) -> Any:
    """The number that a constant holds everywhere; None if it holds several, or is not known."""
    if not isinstance(value, Constant) or not value.size:
        return None
    first = value.array.ravel()[0]
    return first.item() if math.prod(value.shape) == 1 or bool((value.array == first).all()) else None
