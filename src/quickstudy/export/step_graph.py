"""A whole step of an agent as one program, for forms that are one graph.

Beside the two programs of the agent, it holds what the contract says of episodes: their number, their end after `horizon`
steps, and the initial memory. So a caller only carries arrays from one call to the next.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.export.graph_terms import NEXT, STATE
from quickstudy.programs.builder import Builder
from quickstudy.programs.program import Program, Value, needed
from quickstudy.rollout.step_programs import StepPrograms


def step_graph(programs: StepPrograms, initial: Mapping[str, np.ndarray], contract: Mapping[str, Any]) -> Program:
    """The program of a step. Its inputs and outputs are those of the contract's `graph`, without axes of length one.

    Args:
      programs: of the agent.
      initial: memory at the start of a lifetime, by name, without axes of length one.
      contract: of the exported agent, with its `graph_terms`.
    """
    builder, taken, seen = Builder(), programs.take_in.inputs, programs.decide.inputs["observation"]
    inputs = {STATE + name: taken[name] for name in programs.memory}
    inputs |= {STATE + "observation": taken["observation"], STATE + "slot": builder.input((), np.int32)}
    inputs |= {"begins": builder.input((), np.bool_)} | {name: taken[name] for name in contract["feedback"]}
    # The feedback says whether something else ended the episode. `truncated` is also true where `horizon` steps ended it.
    inputs |= {"truncated": builder.input((), np.bool_), "observation": builder.input(seen.shape, seen.dtype)}
    slot, begins, terminated = inputs[STATE + "slot"], inputs["begins"], inputs["terminated"]
    apply, number = builder.elementwise, lambda value: builder.constant(np.int32(value))
    horizon = number(contract["horizon"])
    episode = apply("div", slot, horizon)
    next_slot, next_episode = apply("add", slot, number(1)), apply("mul", apply("add", episode, number(1)), horizon)
    last = apply("eq", next_slot, next_episode)
    truncated = apply("and", apply("not", terminated), apply("or", inputs["truncated"], last))
    after = apply("select", apply("or", terminated, truncated), next_episode, next_slot)
    given = {taken["truncated"]: truncated, taken["episode"]: episode}
    learned = _inlined(builder, programs.take_in, given)
    memory = {}
    for name in programs.memory:
        start = inputs[STATE + name] if name in programs.drawn_at_start else builder.constant(initial[name])
        memory[name] = apply("select", begins, start, learned[name])
    names: dict[Value, Value] = {programs.decide.inputs[name]: memory[name] for name in programs.memory}
    decided = _inlined(builder, programs.decide, names | {seen: inputs["observation"]})
    outputs = {NEXT + name: value for name, value in memory.items()}
    outputs[NEXT + "observation"] = inputs["observation"]
    outputs[NEXT + "slot"] = apply("select", begins, number(0), after)
    outputs |= {one["name"]: decided[one["name"]] for one in contract["decision"]}
    return Program(inputs=inputs, operations=needed(builder.definitions, outputs), outputs=outputs)


def _inlined(builder: Builder, program: Program, given: Mapping[Value, Value]) -> dict[str, Value]:
    """The outputs of a program whose operations are added as they are, with other values in the place of its inputs."""
    for op in program.operations:
        inputs = tuple(given.get(value, value) for value in op.inputs)
        builder.definitions[op.output] = dataclasses.replace(op, inputs=inputs)
    return {name: given.get(value, value) for name, value in program.outputs.items()}
