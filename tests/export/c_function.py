"""Programs as functions of C that Python calls, and small programs of C around an exported agent, for tests."""

import ctypes
import os
import shutil
import subprocess

import numpy as np
import pytest

from quickstudy.export.c_form import c_body
from quickstudy.export.c_operations import HELPERS, c_literal, c_type
from quickstudy.export.parity import COMPILER_FLAGS

IN_CI = os.environ.get("CI") == "true"
"""There a missing compiler is a failure."""
without_gcc = shutil.which("gcc") is None and not IN_CI
needs_gcc = pytest.mark.skipif(without_gcc, reason="needs gcc")


def c_function(program, folder):
    """The program built by gcc: takes arrays by name, returns arrays by name."""
    names = {value: f"in_{name}" if value.shape else f"in_{name}[0]" for name, value in program.inputs.items()}
    names |= {constant: f"w{number}" for number, constant in enumerate(program.constants) if constant.shape}
    targets = {name: f"out_{name}" if value.shape else f"out_{name}[0]" for name, value in program.outputs.items()}
    lines, arrays = c_body(program, names, targets)
    weights = [
        f"static const {c_type(constant)} {names[constant]}[] = {{{', '.join(map(c_literal, constant.array.ravel()))}}};"
        for constant in program.constants
        if constant.shape
    ]
    given = [f"const {c_type(value)} *in_{name}" for name, value in program.inputs.items()]
    given += [f"{c_type(value)} *out_{name}" for name, value in program.outputs.items()]
    head = "#include <float.h>\n#include <math.h>\n#include <stdint.h>\n"
    body = "\n".join([*arrays, *lines])
    (folder / "f.c").write_text(
        f"{head}{HELPERS}\n{chr(10).join(weights)}\nvoid f({', '.join(given)});\nvoid f({', '.join(given)}) {{\n{body}\n}}\n"
    )
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(folder / "f.so"), str(folder / "f.c"), "-lm"], check=True)
    library = ctypes.CDLL(str(folder / "f.so"))

    def call(**inputs):
        arrays = [np.ascontiguousarray(np.asarray(inputs[name], value.dtype)) for name, value in program.inputs.items()]
        results = {name: np.zeros(value.shape, value.dtype) for name, value in program.outputs.items()}
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*arrays, *results.values())]
        library.f(*pointers)
        return results

    return call


def run_c(source, folder, built):
    """What a program prints that is compiled together with the agent exported to a folder; `built` takes its files."""
    (built / "main.c").write_text(source)
    files = [str(built / "main.c"), str(folder / "agent.c")]
    subprocess.run(["gcc", *COMPILER_FLAGS, f"-I{folder}", "-o", str(built / "main"), *files, "-lm"], check=True)
    return subprocess.run([str(built / "main")], capture_output=True, text=True, check=True).stdout
