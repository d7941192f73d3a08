"""Merges operations on neighbouring parts of an array into one operation on the whole.

The gates of a recurrent network are slices of one product, and several of them go through the same function:

    σ(x[0:64] + h[0:64])  and  σ(x[64:128] + h[64:128])      become      σ(x[0:128] + h[0:128]), in two slices
"""

import dataclasses
import itertools

from quickstudy.programs.builder import Builder
from quickstudy.programs.program import Operation, Program, Value, needed


def merged(program: Program) -> Program:
    """The same program with fewer operations."""
    while True:
        group = _neighbours(program)
        if group is None:
            return program
        program = _with_one(program, group)


def _neighbours(program: Program) -> list[Operation] | None:
    """The first operations, two or more, that are one operation on neighbouring parts."""
    definitions = {op.output: op for op in program.operations}
    alike: dict[tuple, list[tuple[int, Operation]]] = {}
    for op in program.operations:
        parts = _parts(op, definitions)
        if parts is None:
            continue
        first = parts[0]
        # Where the other inputs start, as seen from the first one.
        sources = tuple((part[0], part[1] - first[1]) if isinstance(part, tuple) else part for part in parts)
        alike.setdefault((op.kind, op.output.dtype.str, sources), []).append((first[1], op))
    for found in alike.values():
        found.sort(key=lambda one: one[0])
        run = [found[0]]
        for start, op in found[1:]:
            if start == run[-1][0] + run[-1][1].output.size:
                run.append((start, op))
        if len(run) > 1:
            return [op for _, op in run]
    return None


def _parts(op: Operation, definitions: dict[Value, Operation]) -> list | None:
    """The part that each input of an elementwise operation is, scalars as they are; None if the first is none."""
    if not op.elementwise or len(op.output.shape) != 1 or op.kind in ("bits", "select"):
        return None
    parts: list = []
    for value in op.inputs:
        made = definitions.get(value)
        if not value.shape:
            parts.append(value)
        elif (
            made is not None and made.kind == "slice" and len(made.inputs[0].shape) == 1 and made.settings["ranges"][0][2] == 1
        ):
            start, stop, _ = made.settings["ranges"][0]
            parts.append((made.inputs[0], start, stop))
        else:
            return None
    return parts if isinstance(parts[0], tuple) else None


def _with_one(program: Program, group: list[Operation]) -> Program:
    """The program with one operation in the place of a group, where the first of the group was."""
    builder, members = Builder(), set(group)
    definitions = {op.output: op for op in program.operations}
    replaced: dict[Value, Value] = {}
    for op in program.operations:
        if op in members and not replaced:
            replaced = _merged_outputs(builder, group, _parts(group[0], definitions) or [])
        if op not in members:
            inputs = tuple(replaced.get(value, value) for value in op.inputs)
            builder.definitions[op.output] = dataclasses.replace(op, inputs=inputs)
    outputs = {name: replaced.get(value, value) for name, value in program.outputs.items()}
    return Program(inputs=program.inputs, operations=needed(builder.definitions, outputs), outputs=outputs)


def _merged_outputs(builder: Builder, group: list[Operation], parts: list) -> dict[Value, Value]:
    """The one operation; from the output of each operation of the group to its part of the one output."""
    first, size = group[0], sum(op.output.size for op in group)
    inputs = [builder.slice(part[0], ((part[1], part[1] + size, 1),)) if isinstance(part, tuple) else part for part in parts]
    one = builder.apply(first.kind, *inputs, shape=(size,), dtype=first.output.dtype)
    ends = list(itertools.accumulate(op.output.size for op in group))
    return {op.output: builder.slice(one, ((end - op.output.size, end, 1),)) for op, end in zip(group, ends, strict=True)}
