"""Runs a graph with ONNX Runtime.

The part below the mark goes into `agent.py` of an exported folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

# The graph.


def open_graph(folder: Path) -> Callable[[list], list]:
    """The graph in a folder: a function from arrays in the order of its inputs to arrays in the order of its outputs."""
    session = open_session(folder / "agent.onnx")
    names = [one.name for one in session.get_inputs()]
    return lambda feeds: session.run(None, dict(zip(names, feeds, strict=True)))


def open_session(path: Path) -> Any:
    """A graph in ONNX Runtime, with one thread that sleeps between calls: a step is too short to share it out."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
