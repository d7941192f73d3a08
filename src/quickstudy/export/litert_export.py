"""The LiteRT form of an agent: one graph of a whole step, and a Python file that runs it with LiteRT."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.export.litert_file import file_of
from quickstudy.export.litert_form import write_program
from quickstudy.export.litert_graph import LiteRTGraph
from quickstudy.export.numpy_export import graph_runtime
from quickstudy.export.step_graph import step_graph
from quickstudy.rollout.step_programs import StepPrograms


def litert_files(
    programs: StepPrograms, initial: Mapping[str, np.ndarray], contract: Mapping[str, Any], *, title: str
) -> dict[str, bytes]:
    """The files `agent.tflite` and `agent.py`.

    Args:
      programs: of the agent, all of whose operations have a form in LiteRT.
      initial: memory at the start of a lifetime, by name, without axes of length one.
      contract: of the exported agent, with its `graph_terms`.
      title: what the agent is, for the heads of the files.
    """
    program, graph, tensors = step_graph(programs, initial, contract), LiteRTGraph(), {}
    ports = contract["graph"]
    inputs = [graph.input(one["name"], one["shape"], one["dtype"]) for one in ports["inputs"]]
    for one, port in zip(ports["inputs"], inputs, strict=True):
        value = program.inputs[one["name"]]
        tensors[value] = graph.reshaped(port, value.shape)
    written = write_program(graph, program, tensors)
    outputs = [graph.named(one["name"], written[one["name"]], one["shape"]) for one in ports["outputs"]]
    said = f"{title}; parameters_sha256 of the bundle: {contract['bundle']['parameters_sha256']}"
    file = file_of(graph, inputs, outputs, title=said)
    return {"agent.tflite": file, "agent.py": graph_runtime("litert_runtime", title=title)}
