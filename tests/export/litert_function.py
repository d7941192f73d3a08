"""Programs as functions that LiteRT runs, for tests."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from quickstudy.export.litert_file import file_of
from quickstudy.export.litert_form import write_program
from quickstudy.export.litert_graph import LiteRTGraph


def litert_function(program):
    """The program as a graph of its own: takes arrays by name, returns arrays by name."""
    graph = LiteRTGraph()
    given = {value: graph.input(name, value.shape, value.dtype) for name, value in program.inputs.items()}
    made = write_program(graph, program, given)
    results = {name: graph.named(f"out {name}", made[name], value.shape) for name, value in program.outputs.items()}
    interpreter = Interpreter(
        model_content=file_of(graph, list(given.values()), list(results.values()), title="f"), num_threads=1
    )
    interpreter.allocate_tensors()
    places = {one["name"]: one["index"] for one in (*interpreter.get_input_details(), *interpreter.get_output_details())}

    def call(**inputs):
        for name, value in program.inputs.items():
            interpreter.set_tensor(places[name], np.asarray(inputs[name], value.dtype).reshape(value.shape))
        interpreter.invoke()
        return {name: interpreter.get_tensor(places[f"out {name}"]) for name in program.outputs}

    return call
