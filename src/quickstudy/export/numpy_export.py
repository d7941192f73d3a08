"""The NumPy form of an agent: one Python file that imports NumPy alone, and its weights."""

import io
from collections.abc import Mapping
from importlib import resources

import numpy as np

from quickstudy.export.contract import in_a_comment
from quickstudy.export.weights import constant_names
from quickstudy.programs.numpy_form import numpy_source
from quickstudy.programs.numpy_operations import expression, helpers_for
from quickstudy.programs.program import Constant, Value
from quickstudy.rollout.step_programs import StepPrograms

_HEAD = '''"""{title}, exported by quickstudy: deciding and adapting in NumPy.

Bundle: {digest}
The first part of this file is generated from the agent, the second runs it. `python agent.py` replays `vectors.npz`.
"""

import math
import statistics
'''
_RUNTIMES = {"onnx_runtime": "ONNX Runtime", "litert_runtime": "LiteRT"}
_MAIN = '\n\nif __name__ == "__main__":\n    sys.exit(main(open_agent))\n'


def numpy_files(programs: StepPrograms, initial: Mapping[str, np.ndarray], *, title: str, digest: str) -> dict[str, bytes]:
    """The files `agent.py` and `weights.npz`.

    Args:
      programs: of the agent.
      initial: memory at the start of a lifetime, by name, without axes of length one.
      title: what the agent is, for the head of the file.
      digest: of the bundle's parameters.
    """
    names = constant_names(programs)
    arrays = {name: constant.array for constant, name in names.items()}
    loaded = "".join(f'    {name} = weights["{name}"]  # {array.dtype} {list(array.shape)}\n' for name, array in arrays.items())
    widened = _widened(programs, names)
    loaded += "".join(dict.fromkeys(f"    {name} = {text}\n" for name, text in widened.values()))
    known: dict[Value, str] = {value: name for value, (name, _) in widened.items()}
    known.update(names.items())
    take_in, decide = numpy_source(programs.take_in, "take_in", known), numpy_source(programs.decide, "decide", known)
    inner = "\n".join(f"    {line}" if line else "" for line in f"{take_in}\n{decide}".splitlines())
    code = _runtime()
    source = "".join((
        _HEAD.format(title=in_a_comment(title), digest=in_a_comment(digest)),
        code.partition("\n\n\nclass Feedback")[0],
        "\n\n",
        helpers_for(take_in + decide),
        '\n\ndef programs(weights):\n    """The two programs of the agent: what it takes in, and what it decides."""\n',
        loaded,
        f"\n{inner}\n\n    return take_in, decide\n\n\nclass Feedback",
        code.partition("\n\n\nclass Feedback")[2],
        '\n\ndef open_agent(folder):\n    """The agent in a folder."""\n    return Agent(folder, programs)\n',
        _MAIN,
    ))  # fmt: skip
    arrays |= {f"initial {number}": array for number, array in enumerate(initial.values())}
    return {"agent.py": source.encode(), "weights.npz": _packed(arrays)}


def _widened(programs: StepPrograms, names: Mapping[Constant, str]) -> dict[Value, tuple[str, str]]:
    """Constants as numbers of another type, which are computed when the weights are loaded: their names and expressions."""
    found = {}
    for op in (*programs.take_in.operations, *programs.decide.operations):
        source = op.inputs[0] if op.kind == "cast" else None
        if isinstance(source, Constant):
            found[op.output] = (f"{names[source]}_as_{op.output.dtype.name}", expression(op, [names[source]]))
    return found


def graph_runtime(name: str, *, title: str) -> bytes:
    """The file `agent.py` of a form that is one graph.

    Args:
      name: of the module of this room that opens the graph.
      title: what the agent is, for the head of the file.
    """
    head, _, opening = _source(name).partition("# The graph.\n")
    _, _, agent = _source("graph_runtime").partition("# The agent.\n")
    before, _, rest = _runtime().partition("class Agent:")
    imports = "\n".join(line for line in head.splitlines() if line.startswith(("import ", "from ")) and line not in before)
    before = before.replace("import numpy as np\n", f"import numpy as np\n{imports}\n").rstrip()
    return "".join((
        f'"""{in_a_comment(title)}, exported by quickstudy: deciding and adapting in {_RUNTIMES[name]}."""\n\n',
        before,
        opening.rstrip(),
        agent.rstrip(),
        f"\n\n\ndef _begun({rest.partition('def _begun(')[2]}",
        '\n\ndef open_agent(folder):\n    """The agent in a folder."""\n    return Agent(folder)\n',
        _MAIN,
    )).encode()  # fmt: skip


def _source(name: str) -> str:
    """The source of a module of this room."""
    return resources.files("quickstudy.export").joinpath(f"{name}.py").read_text(encoding="utf-8")


def _runtime() -> str:
    """The source of `numpy_runtime.py` without its first lines of text."""
    return "import json" + _source("numpy_runtime").partition('"""\n\nimport json')[2]


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
