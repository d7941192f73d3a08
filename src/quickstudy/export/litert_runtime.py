"""Runs a graph with LiteRT.

The part below the mark goes into `agent.py` of an exported folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

# The graph.


def open_graph(folder: Path) -> Callable[[dict[str, Any]], list]:
    """The graph in a folder: a function from arrays by name to arrays in the order of its outputs."""
    interpreter = Interpreter(model_path=str(folder / "agent.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    inputs = [(one["name"], one["index"]) for one in interpreter.get_input_details()]
    outputs = [one["index"] for one in interpreter.get_output_details()]

    def run(feeds: dict[str, Any]) -> list:
        for name, index in inputs:
            interpreter.set_tensor(index, feeds[name])
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run
