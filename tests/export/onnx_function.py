"""Programs as functions that ONNX Runtime runs, for tests."""

import numpy as np
from onnx import checker, helper, numpy_helper

from quickstudy.export.onnx_form import write_program
from quickstudy.export.onnx_graph import OnnxGraph, type_number


def onnx_function(program, folder):
    """The program as a graph of its own: takes arrays by name, returns arrays by name."""
    from quickstudy.export.onnx_runtime import open_session

    graph = OnnxGraph()
    sources = write_program(graph, program, {value: name for name, value in program.inputs.items()})
    nodes = [helper.make_node(one.kind, one.inputs, [one.output], **one.attributes) for one in graph.nodes]
    nodes += [helper.make_node("Identity", [source], [f"out {name}"]) for name, source in sources.items()]
    given = [helper.make_tensor_value_info(n, type_number(v.dtype), v.shape) for n, v in program.inputs.items()]
    made = [helper.make_tensor_value_info(f"out {n}", type_number(v.dtype), v.shape) for n, v in program.outputs.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "f", given, made, initializer=constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    checker.check_model(model, full_check=True)
    (folder / "f.onnx").write_bytes(model.SerializeToString())
    session = open_session(folder / "f.onnx")

    def call(**inputs):
        arrays = {name: np.asarray(inputs[name], value.dtype).reshape(value.shape) for name, value in program.inputs.items()}
        return dict(zip(program.outputs, session.run(None, arrays), strict=True))

    return call
