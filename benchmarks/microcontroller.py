"""Bytes of agents in C by their hidden size: weights, code, and working memory.

    python benchmarks/microcontroller.py

RL² agents with a GRU that observe ten numbers and choose among four actions, with matrices of 32 and of 8 bits. They are
built for an ARM Cortex-M4 with `arm-none-eabi-gcc -Os`. Nothing is run. Numbers go to `benchmarks/microcontroller.json`,
and the table of `docs/on-a-microcontroller.md` is drawn from them.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import gymnasium
import jax
import numpy as np

from quickstudy import algorithms
from quickstudy.export.export import export_bundle
from quickstudy.protocol.records import Spec
from quickstudy.storage.bundle import Bundle

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "microcontroller.json", HERE.parent / "docs" / "on-a-microcontroller.md"
SIZES = (16, 32, 64, 128, 256)
MARKS = ("<!-- measured: python benchmarks/microcontroller.py -->\n", "<!-- end of what was measured -->")
TARGET = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
COMPILER = ("arm-none-eabi-gcc", *TARGET, "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror")


def agent_of(hidden_size):
    """An untrained agent of this size, as a bundle."""
    box = gymnasium.spaces.Box(-1.0, 1.0, (10,), np.float32)
    spec = Spec(observation_space=box, action_space=gymnasium.spaces.Discrete(4), horizon=100, episodes=5)
    make = lambda spec: algorithms.make("rl2", spec, cell="gru", hidden_size=hidden_size).agent  # noqa: E731
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], make(spec).init(jax.random.key(0)))
    return Bundle(
        agent=make(spec), params=params, card={"algorithm": {"name": "rl2"}, "parameters_sha256": "untrained"}, make=make
    )


def written(hidden_size, quantise, folder):
    """The C form in a folder, and bytes of its weights."""
    done = export_bundle(agent_of(hidden_size), to="c", folder=folder, name="gru", quantise=quantise, check=0)
    return done.weight_bytes


def built(folder):
    """Bytes of what the compiler made: constants and code, and memory that steps write."""
    target = str(Path(folder) / "agent.o")
    subprocess.run([*COMPILER, "-c", "-o", target, str(Path(folder) / "agent.c")], check=True)
    said = subprocess.run(["arm-none-eabi-size", target], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, said.splitlines()[1].split()[:3])
    return {"flash": text + data, "working": data + bss, "state": state_bytes(folder)}


def state_bytes(folder):
    """Bytes of `agent_state`, by a program that does not compile and says the number."""
    probe = Path(folder) / "probe.c"
    probe.write_text('#include "agent.h"\nchar (*size)[sizeof(agent_state)] = 1;\n')
    said = subprocess.run([*COMPILER, "-c", "-o", "/dev/null", str(probe)], capture_output=True, text=True).stderr
    return int(re.search(r"char \(\*\)\[(\d+)\]", said)[1])


def measured(hidden_size):
    """Bytes of one agent with matrices of 32 and of 8 bits."""
    found = {}
    for name, quantise in (("float32", None), ("int8", "int8")):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = {"weights": written(hidden_size, quantise, folder)} | built(folder)
    return found


def table(results):
    """The table of the page, in Markdown."""
    head = ["hidden size", "weights", "weights, 8 bits", "code", "code, 8 bits", "working memory", "one state"]
    rows = [head, ["---"] * len(head)]
    for size, found in results.items():
        whole, few = found["float32"], found["int8"]
        code = [f"{one['flash'] - one['weights']:,}" for one in (whole, few)]
        working = f"{max(whole['working'], few['working']):,}"
        rows.append([size, f"{whole['weights']:,}", f"{few['weights']:,}", *code, working, f"{whole['state']:,}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def page_with(text, results):
    """The page with the table of these results in the place of the old one."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(results) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main():
    """Builds every size, and writes numbers and table."""
    results = {str(size): measured(size) for size in SIZES}
    NUMBERS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page_with(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
