"""Programs in numbers of 64 bits, as a reference that hardly rounds."""

import dataclasses

import numpy as np

from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.program import Constant, Program, Value


def wide(program):
    """The same program with 64 bits in the place of 32."""
    made = {}

    def widened(value):
        if value not in made:
            dtype = np.dtype(np.float64) if value.dtype == np.float32 else value.dtype
            known = isinstance(value, Constant)
            made[value] = Constant(value.shape, dtype, value.array.astype(dtype)) if known else Value(value.shape, dtype)
        return made[value]

    operations = tuple(
        dataclasses.replace(op, inputs=tuple(map(widened, op.inputs)), output=widened(op.output)) for op in program.operations
    )
    inputs, outputs = ({name: widened(value) for name, value in side.items()} for side in (program.inputs, program.outputs))
    return Program(inputs=inputs, operations=operations, outputs=outputs)


def decided_in_64_bits(module, agent, programs, vectors):
    """The recorded steps with decisions in 64 bits in the place of those of JAX.

    Args:
      module, agent: the NumPy form; the agent is changed.
      programs: of the agent.
      vectors: recorded steps.
    """
    agent._take_in, agent._decide = numpy_function(wide(programs.take_in)), numpy_function(wide(programs.decide))
    agent._initial = tuple(part.astype(np.float64) if part.dtype == np.float32 else part for part in agent._initial)
    rows = {name: [] for name in vectors.decision}
    state = agent.begin()
    for row, begins in enumerate(vectors.begins):
        state = agent.begin() if begins else state
        after = None if begins else module.Feedback(*(vectors.feedback[name][row] for name in module.Feedback._fields))
        state, decision = agent.step(state, after, vectors.observation[row])
        for name, numbers in rows.items():
            numbers.append(decision[name])
    return dataclasses.replace(vectors, decision={name: np.asarray(numbers) for name, numbers in rows.items()})
