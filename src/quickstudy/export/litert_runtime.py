"""Runs a graph with LiteRT.

The part below the mark goes into `agent.py` of an exported folder.
"""

from collections.abc import Callable
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

# The graph.


def open_graph(folder: Path) -> Callable[[list], list]:
    """The graph in a folder: a function from arrays in the order of its inputs to arrays in the order of its outputs."""
    interpreter = Interpreter(model_path=str(folder / "agent.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = (
        [one["index"] for one in side] for side in (interpreter.get_input_details(), interpreter.get_output_details())
    )

    def run(feeds: list) -> list:
        for index, array in zip(inputs, feeds, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run
