"""How far exported agents are from the agents in JAX, how many bytes they are, and how long one of their steps takes.

    python benchmarks/exported.py
    python benchmarks/exported.py --forms onnx      # measures one form anew and keeps what was measured of the others
    python benchmarks/exported.py --only mdp-n10    # the same for one agent

For a GRU of 256 units on bandits of five arms, and for shipped bundles of different kinds: the NumPy form, the C form
(gcc -O3 -march=native), the ONNX form (ONNX Runtime, one thread), the LiteRT form (one thread; also its graph without the
Python around it), and `quickstudy.Actor` on both of its backends. Every time stands beside an empty call of the same run. The
numbers go to `benchmarks/exported.json`, and the table of `docs/export.md` is drawn from them.
"""

import dataclasses
import json
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.export.export import export_bundle
from quickstudy.protocol.printable import file_word
from quickstudy.storage.bundle import Bundle, load_bundle

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "exported.json", HERE.parent / "docs" / "export.md"
LARGE = "GRU, 256 units"
TARGETS, ACTORS = ("numpy", "c", "onnx", "litert"), ("actor numpy", "actor jax")
BUNDLES = ("bandit-n10-k10", "mdp-n10", "half-cheetah-rl2", "grid-navigation-varibad", "cart-pole-hybrid")
MARKS = ("<!-- measured: python benchmarks/exported.py -->\n", "<!-- end of what was measured -->")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    check: int = 10_000
    """Steps of each comparison."""
    decisions: int = 10_000
    """Timed decisions of each `Actor`."""
    only: tuple[str, ...] = ()
    """Bundles; those of the table if not given."""
    forms: tuple[str, ...] = (*TARGETS, *ACTORS)
    """What is measured of each agent."""


def large_gru():
    """An untrained RL² agent with 256 units, as a bundle."""
    spec = qs.tasks.make("bernoulli-bandit", arms=5, pulls=100).spec
    make = lambda spec: qs.algorithms.make("rl2", spec, cell="gru", hidden_size=256).agent  # noqa: E731
    agent = make(spec)
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], agent.init(jax.random.key(0)))
    card = {"algorithm": {"name": "rl2"}, "parameters_sha256": "untrained"}
    return Bundle(agent=agent, params=params, card=card, make=make)


def time_actor(bundle, backend, decisions):
    """Microseconds from the call of `act` until the action is there, and of an empty call."""
    actor = qs.Actor(bundle.agent, bundle.params_of(0), endless=True, backend=backend)
    space, generator = bundle.agent.spec.observation_space, np.random.default_rng(0)
    drawn = [_observation(space, generator) for _ in range(256)]
    taken, empty = [], []

    def nothing(observation):
        return observation

    for number in range(decisions + decisions // 10):
        observation = drawn[number % 256]
        began = time.perf_counter()
        actor.act(observation)
        between = time.perf_counter()
        nothing(observation)
        ended = time.perf_counter()
        actor.observe(reward=1.0, observation=drawn[(number + 1) % 256])
        if number >= decisions // 10:
            taken.append(between - began)
            empty.append(ended - between)
    times = {"median": _percentile(taken, 50), "p99": _percentile(taken, 99)}
    return times | {"empty_median": _percentile(empty, 50), "empty_p99": _percentile(empty, 99)}


def time_graph(folder, *, turns=5):
    """Microseconds of the LiteRT graph in a folder by itself, along the recorded steps, and of an empty call."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "agent.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    ports, results = interpreter.get_input_details(), interpreter.get_output_details()
    with np.load(folder / "vectors.npz") as file:
        steps = {name.removeprefix("feedback."): file[name] for name in file.files}
    taken, empty = [], []
    for turn in range(turns):
        state = {one["name"]: np.zeros(one["shape"], one["dtype"]) for one in ports}
        for row in range(len(steps["begins"])):
            for one in ports:
                given = state[one["name"]] if one["name"].startswith("state.") else steps[one["name"]][row]
                interpreter.set_tensor(one["index"], np.asarray(given, one["dtype"]).reshape(one["shape"]))
            began = time.perf_counter()
            interpreter.invoke()
            between = time.perf_counter()
            _nothing()
            ended = time.perf_counter()
            state = {one["name"].removeprefix("next_"): interpreter.get_tensor(one["index"]) for one in results}
            if turn:  # the first turn warms up
                taken.append(between - began)
                empty.append(ended - between)
    times = {"median": _percentile(taken, 50), "p99": _percentile(taken, 99)}
    return times | {"empty_median": _percentile(empty, 50), "empty_p99": _percentile(empty, 99)}


def _nothing():
    return None


def _observation(space, generator):
    if hasattr(space, "n"):
        return int(space.start + generator.integers(space.n))
    return generator.uniform(-1, 1, space.shape).astype(space.dtype)


def _percentile(times, part):
    return round(1e6 * float(np.percentile(times, part)), 2)


def measured(bundle, name, settings):
    """Everything about one agent."""
    found = {}
    for target in (form for form in settings.forms if form in TARGETS):
        with tempfile.TemporaryDirectory() as folder:
            exported = export_bundle(bundle, to=target, folder=folder, name=name, check=settings.check, bench=True)
            alone = time_graph(exported.folder) if target == "litert" else None
        parity = exported.parity
        code = sum(size for file, size in exported.sizes.items() if "vectors" not in file and file != "replay.c")
        found[target] = {
            "steps": parity.steps,
            "deviation": parity.deviation,
            "absolute": parity.absolute,
            "bytes": code,
            "microseconds": dataclasses.asdict(parity.latency),
        }
        if alone is not None:
            found["litert graph"] = {"microseconds": alone}
    for form in (form for form in settings.forms if form in ACTORS):
        found[form] = {"microseconds": time_actor(bundle, form.removeprefix("actor "), settings.decisions)}
    return found


def table(results):
    """The table of the page, in Markdown."""
    names = {"numpy": "NumPy", "c": "C", "onnx": "ONNX", "litert": "LiteRT", "litert graph": "LiteRT, graph alone"}
    names |= {"actor numpy": "`Actor`, NumPy", "actor jax": "`Actor`, JAX"}
    head = ["agent", *(f"deviation, {names[target]}" for target in TARGETS), *names.values(), "empty call in Python"]
    rows = [head, ["---"] * len(head)]
    for name, found in results["agents"].items():
        cells = [_deviation(found[target]) if target in found else "–" for target in TARGETS]
        cells += [_time(found[form]) if form in found else "–" for form in names]
        empty = next((found[form]["microseconds"]["empty_median"] for form in ("actor numpy", "numpy") if form in found), None)
        rows.append([name, *cells, "–" if empty is None else f"{empty:.1f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _deviation(found):
    return "{:.1e} ({:.1e})".format(*(_of_policy(found[kind]) for kind in ("deviation", "absolute")))


def _time(found):
    return "{median:.0f} ({p99:.0f})".format(**found["microseconds"])


def _of_policy(deviations):
    return max(apart for name, apart in deviations.items() if name.startswith("policy"))


def page_with(text, results):
    """The page with the table of these results in the place of the old one."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(results) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main():
    """Measures everything, and writes numbers and table."""
    settings = tyro.cli(Settings, description=__doc__)
    versions = {
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; other work ran at the same time",
        "jax": jax.__version__,
        "numpy": np.__version__,
    }
    for name in settings.only or (LARGE, *BUNDLES):
        bundle = large_gru() if name == LARGE else load_bundle(HERE.parent / "bundles" / name)
        found = measured(bundle, file_word(name), settings)
        print(name, table({"agents": {name: found}}), sep="\n", flush=True)
        if name in (LARGE, *BUNDLES):  # at once, so that what was measured stays if a later one fails
            agents = json.loads(NUMBERS.read_text())["agents"]
            results = versions | {"agents": agents | {name: agents.get(name, {}) | found}}
            NUMBERS.write_text(json.dumps(results, indent=1) + "\n")
            PAGE.write_text(page_with(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
