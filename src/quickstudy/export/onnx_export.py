"""The ONNX form of an agent: one graph of a whole step, and a Python file that runs it with ONNX Runtime.

Beside the two programs of the agent, the graph holds what the contract says of episodes: their number, their end after
`horizon` steps, and the initial memory. So a caller only carries arrays from one call to the next.
"""

from collections.abc import Mapping
from importlib import metadata, resources
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quickstudy.export.contract import in_a_comment
from quickstudy.export.numpy_export import shared_runtime
from quickstudy.export.onnx_form import write_program
from quickstudy.export.onnx_graph import OnnxGraph, type_number
from quickstudy.export.onnx_terms import NEXT, STATE
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
      contract: of the exported agent, with its `onnx_terms`.
      title: what the agent is, for the heads of the files.
    """
    graph, outputs = _step(programs, initial, contract)
    model = _model(graph, contract["graph"], outputs, title=title)
    model.metadata_props.add(key="bundle_parameters_sha256", value=contract["bundle"]["parameters_sha256"])
    onnx.checker.check_model(model, full_check=True)
    head = f'"""{in_a_comment(title)}, exported by quickstudy: deciding and adapting in ONNX Runtime."""\n'
    runtime = resources.files("quickstudy.export").joinpath("onnx_runtime.py").read_text(encoding="utf-8")
    _, _, code = runtime.partition("# The agent.\n")
    before, after = shared_runtime()
    before = before.replace("import numpy as np\n", "import numpy as np\nimport onnxruntime\n")
    source = f"{head}\n{before}{code}{after}"
    return {"agent.onnx": model.SerializeToString(deterministic=True), "agent.py": source.encode()}


def _step(
    programs: StepPrograms, initial: Mapping[str, np.ndarray], contract: Mapping[str, Any]
) -> tuple[OnnxGraph, dict[str, str]]:
    """The graph of a step, and the names in it of what comes out."""
    graph = OnnxGraph()
    inputs, node = programs.take_in.inputs, graph.node
    given = {inputs[name]: STATE + name for name in programs.memory}
    seen = {"observation": "state.observation", "action": "action", "successor": "successor"}
    for name, port in seen.items():
        shape = contract["lived"]["action"]["shape"] if name == "action" else contract["observation"]["shape"]
        given[inputs[name]] = _short(graph, port, inputs[name].shape, shape)
    one, horizon = graph.constant(1, np.int32), graph.constant(contract["horizon"], np.int32)
    episode = node("Div", "state.slot", horizon)
    last = node("Equal", node("Mod", "state.slot", horizon), graph.constant(contract["horizon"] - 1, np.int32))
    truncated = node("And", node("Not", "terminated"), node("Or", "truncated", last))
    ends = node("Or", "terminated", truncated)
    after = node("Where", ends, node("Mul", node("Add", episode, one), horizon), node("Add", "state.slot", one))
    given |= {inputs["reward"]: "reward", inputs["terminated"]: "terminated"}
    given |= {inputs["truncated"]: truncated, inputs["episode"]: episode}
    taken = write_program(graph, programs.take_in, given)
    memory = {}
    for name in programs.memory:
        drawn = name in programs.drawn_at_start
        start = STATE + name if drawn else graph.constant(initial[name].reshape(inputs[name].shape))
        memory[name] = graph.select("begins", start, taken[name], inputs[name].dtype)
    sees = programs.decide.inputs["observation"]
    names = {programs.decide.inputs[name]: memory[name] for name in programs.memory}
    names |= {sees: _short(graph, "observation", sees.shape, contract["observation"]["shape"])}
    decided = write_program(graph, programs.decide, names)
    outputs = {NEXT + name: result for name, result in memory.items()}
    outputs[NEXT + "observation"] = "observation"
    outputs[NEXT + "slot"] = node("Where", "begins", graph.constant(0, np.int32), after)
    for said in contract["decision"]:
        shape = programs.decide.outputs[said["name"]].shape
        same = shape == tuple(said["shape"])
        name = decided[said["name"]]
        outputs[said["name"]] = name if same else graph.reshaped(name, tuple(said["shape"]))
    return graph, outputs


def _short(graph: OnnxGraph, name: str, shape: tuple[int, ...], given: list[int]) -> str:
    """An input without its axes of length one."""
    return name if tuple(given) == shape else graph.reshaped(name, shape)


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
