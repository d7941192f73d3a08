"""The ONNX form of an agent: one graph of a whole step, and a Python file that runs it with ONNX Runtime."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quickstudy.export.numpy_export import graph_runtime
from quickstudy.export.onnx_form import write_program
from quickstudy.export.onnx_graph import OnnxGraph, type_number
from quickstudy.export.step_graph import step_graph
from quickstudy.programs.program import Program
from quickstudy.rollout.step_programs import StepPrograms

_OPSET, _FORMAT = 18, 8
"""Of the operators and of the file. They are the oldest that have every operator, so that old runtimes read the file too."""


def onnx_files(
    programs: StepPrograms, initial: Mapping[str, np.ndarray], contract: Mapping[str, Any], *, title: str
) -> dict[str, bytes]:
    """The files `agent.onnx` and `agent.py`.

    Args:
      programs: of the agent, all of whose operations have a form in ONNX.
      initial: memory at the start of a lifetime, by name, without axes of length one.
      contract: of the exported agent, with its `graph_terms`.
      title: what the agent is, for the heads of the files.
    """
    graph, outputs = _written(step_graph(programs, initial, contract), contract["graph"])
    model = _model(graph, contract["graph"], outputs, title=title)
    model.metadata_props.add(key="bundle_parameters_sha256", value=contract["bundle"]["parameters_sha256"])
    onnx.checker.check_model(model, full_check=True)
    return {"agent.onnx": model.SerializeToString(deterministic=True), "agent.py": graph_runtime("onnx_runtime", title=title)}


def _written(program: Program, ports: Mapping[str, Any]) -> tuple[OnnxGraph, dict[str, str]]:
    """The graph of a step, and the names in it of what comes out."""
    graph, names = OnnxGraph(), {}
    for one in ports["inputs"]:
        value = program.inputs[one["name"]]
        names[value] = _shaped(graph, one["name"], value.shape, one["shape"])
    written = write_program(graph, program, names)
    outputs = {
        one["name"]: _shaped(graph, written[one["name"]], one["shape"], program.outputs[one["name"]].shape)
        for one in ports["outputs"]
    }
    return graph, outputs


def _shaped(graph: OnnxGraph, name: str, shape: Sequence[int], given: Sequence[int]) -> str:
    """The same numbers with or without axes of length one."""
    return name if tuple(given) == tuple(shape) else graph.reshaped(name, tuple(shape))


def _model(graph: OnnxGraph, ports: Mapping[str, Any], outputs: Mapping[str, str], *, title: str) -> onnx.ModelProto:
    nodes = [helper.make_node(one.kind, one.inputs, [one.output], **one.attributes) for one in graph.nodes]
    nodes += [helper.make_node("Identity", [source], [name]) for name, source in outputs.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    taken, told = (
        [helper.make_tensor_value_info(one["name"], type_number(one["dtype"]), one["shape"]) for one in ports[side]]
        for side in ("inputs", "outputs")
    )
    made = helper.make_graph(nodes, "step", taken, told, initializer=constants, doc_string=title)
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_FORMAT,
        producer_name="quickstudy",
        producer_version=metadata.version("quickstudy"),
    )
