"""Joins products of vectors with known matrices, so that there are fewer of them.

A x + B y + b           becomes      [A B b] [x, y, 1]          one product, where a layer has several inputs and a bias
A x  and  B x           become       [A B] x, in two slices     one product, where two heads read the same layer
"""

import dataclasses
import itertools
from collections import Counter

import numpy as np

from quickstudy.programs.builder import Builder
from quickstudy.programs.program import Constant, Operation, Program, Value, needed

Term = tuple[Value, np.ndarray]
"""A vector or a number, and the rows that it is multiplied with."""


def joined(program: Program) -> Program:
    """The same program with fewer products; sums are in another order."""
    return _heads_joined(_sums_joined(program))


def _sums_joined(program: Program) -> Program:
    uses = _uses(program)
    definitions = {op.output: op for op in program.operations}
    within = {value for op in program.operations if _is_sum(op) for value in op.inputs if uses[value] == 1}
    builder, replaced = Builder(), dict[Value, Value]()
    for op in program.operations:
        if _is_sum(op) and op.output not in within:
            terms, others = _terms(op.output, definitions, uses, top=True)
            products = [term for term in terms if term[0].shape]
            if products and len(terms) > 1:
                replaced[op.output] = _sum_of(builder, terms, others, op, definitions, replaced, uses)
                continue
        inputs = tuple(replaced.get(value, value) for value in op.inputs)
        builder.definitions[op.output] = dataclasses.replace(op, inputs=inputs)
    return _rebuilt(program, builder, replaced)


def _is_sum(op: Operation) -> bool:
    return op.kind == "add" and len(op.output.shape) <= 1 and op.output.dtype == np.float32


def _terms(
    value: Value, definitions: dict[Value, Operation], uses: Counter, *, top: bool = False
) -> tuple[list[Term], list[Value]]:
    """What a sum adds: products with known rows, and everything else."""
    if isinstance(value, Constant):
        return [(_ONE, value.array)], []
    op = definitions.get(value)
    if op is not None and (top or uses[value] == 1):
        if _is_sum(op) and all(one.shape == value.shape or isinstance(one, Constant) for one in op.inputs):
            found = [_terms(one, definitions, uses) for one in op.inputs]
            return list(itertools.chain(*(terms for terms, _ in found))), list(itertools.chain(*(rest for _, rest in found)))
        left, right = op.inputs[0], op.inputs[-1]
        if op.kind == "vecmat" and isinstance(right, Constant):
            return [(left, right.array.reshape(left.size, -1))], []
        if op.kind == "mul" and not left.shape and isinstance(right, Constant) and right.shape == value.shape != ():
            return [(left, right.array)], []
    return [], [value]


_ONE = Constant((), np.dtype(np.float32), np.ones((), np.float32))


def _sum_of(
    builder: Builder,
    terms: list[Term],
    others: list[Value],
    op: Operation,
    definitions: dict[Value, Operation],
    replaced: dict[Value, Value],
    uses: Counter,
) -> Value:
    """One product of all vectors, and the other terms added to it."""
    known = [rows for value, rows in terms if value is _ONE]
    parts = [(value, rows.reshape(-1, op.output.size)) for value, rows in terms if value is not _ONE]
    if known:
        parts.append((_ONE, np.broadcast_to(sum(known), op.output.shape).reshape(1, -1)))
    vectors: list[Value] = []
    for value, _ in parts:
        made = definitions.get(value)
        # A vector that was joined before, only for this product, is joined with the others at once.
        alone = made is not None and made.kind == "concatenate" and uses[value] == 1
        vectors += made.inputs if made is not None and alone else [value]
    vectors = [replaced.get(value, value) for value in vectors]
    matrix = builder.constant(np.concatenate([rows for _, rows in parts]).astype(np.float32))
    sizes = tuple(max(1, value.size) for value in vectors)
    vector = builder.apply("concatenate", *vectors, shape=(sum(sizes),), dtype=np.float32, axis=0, sizes=sizes)
    total = builder.apply("vecmat", vector, matrix, shape=op.output.shape, dtype=np.float32)
    for other in others:
        total = builder.elementwise("add", total, replaced.get(other, other))
    return total


def _heads_joined(program: Program) -> Program:
    groups: dict[Value, list[Operation]] = {}
    for op in program.operations:
        if op.kind == "vecmat" and isinstance(op.inputs[1], Constant):
            groups.setdefault(op.inputs[0], []).append(op)
    groups = {vector: group for vector, group in groups.items() if len(group) > 1}
    builder, replaced = Builder(), dict[Value, Value]()
    for op in program.operations:
        if op.output in replaced:
            continue
        inputs = tuple(replaced.get(value, value) for value in op.inputs)
        if op.kind != "vecmat" or op.inputs[0] not in groups:
            builder.definitions[op.output] = dataclasses.replace(op, inputs=inputs)
            continue
        group = groups[op.inputs[0]]
        matrices = [one.inputs[1].array.reshape(inputs[0].size, -1) for one in group if isinstance(one.inputs[1], Constant)]
        matrix = builder.constant(np.concatenate(matrices, axis=1))
        whole = builder.apply("vecmat", inputs[0], matrix, shape=(matrix.shape[1],), dtype=op.output.dtype)
        ends = itertools.accumulate(max(1, one.output.size) for one in group)
        for one, end in zip(group, ends, strict=True):
            replaced[one.output] = builder.slice(whole, ((end - max(1, one.output.size), end, 1),))
    return _rebuilt(program, builder, replaced)


def _uses(program: Program) -> Counter:
    """How often each value is read; outputs are read once more."""
    return Counter([*(value for op in program.operations for value in op.inputs), *program.outputs.values()])


def _rebuilt(program: Program, builder: Builder, replaced: dict[Value, Value]) -> Program:
    outputs = {name: replaced.get(value, value) for name, value in program.outputs.items()}
    return Program(inputs=program.inputs, operations=needed(builder.definitions, outputs), outputs=outputs)
