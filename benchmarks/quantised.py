"""What matrices of 8 bits change: bytes, time of a step in C, numbers of the policy, and the return.

    python benchmarks/quantised.py
    python benchmarks/quantised.py --only mdp-n10      # measures some agents anew and keeps what was measured of the others
    python benchmarks/quantised.py --forms litert      # measures one form anew and keeps what was measured of the other

The return is that of the program which the exported forms are written from, in JAX (`rollout/program_agent.py`). The C form
repeats it within the deviation that `export` checks. The LiteRT form does not: it also rounds what matrices are multiplied
with. So its return is measured with its file (`litert_agent.py`). All agents play the same held-out tasks with common random
numbers. Steps in C are timed with gcc -O3 -march=native, steps in LiteRT without the Python around the graph. Numbers go to
`benchmarks/quantised.json`, and the table of `docs/export.md` is drawn from them.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

import jax
import tyro
from exported import LARGE, large_gru, time_graph
from litert_agent import litert_agent

from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.export.export import export_bundle, in_fewer_bits
from quickstudy.protocol.printable import file_word
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.program_agent import program_agent
from quickstudy.rollout.step_programs import step_programs
from quickstudy.storage.bundle import load_bundle

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "quantised.json", HERE.parent / "docs" / "export.md"
BUNDLES = ("bandit-n10-k10", "mdp-n10", "pendulum-rl2", "grid-navigation-varibad", "cart-pole-hybrid")
MARKS = ("<!-- measured: python benchmarks/quantised.py -->\n", "<!-- end of what was measured in 8 bits -->")
FORMS = {"float32": None, "int8": "int8"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    tasks: int = 1000
    """Held-out tasks."""
    check: int = 10_000
    """Steps of each comparison."""
    only: tuple[str, ...] = ()
    """Agents; those of the table if not given."""
    forms: tuple[str, ...] = ("c", "litert")
    """What is measured of each agent."""
    returns: bool = True
    """Whether returns are measured too; those that are stored stay otherwise."""


def returns_of(bundle, contenders, tasks):
    """Mean returns on held-out tasks with 95 % intervals, by form; the first is the agent as it was trained."""
    agent, params = with_nonfinite_guard(bundle.agent), bundle.params_of(0)
    one = jax.tree.map(lambda leaf: leaf[None], params)
    forms = {"float32": agent} | contenders
    playing = {name: Contender(agent=form, params=one, trained=True) for name, form in forms.items()}
    found = evaluate(playing, bundle.distribution(), split="test", tasks=tasks)
    return {name: dataclasses.asdict(result.lifetime_return) for name, result in found.results.items()}


def measured_in_c(bundle, name, settings):
    """Bytes, time, deviation and return of the C form, in both forms of matrices."""
    found = {}
    for form, quantise in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            done = export_bundle(
                bundle, to="c", folder=folder, name=file_word(name), quantise=quantise, check=settings.check, bench=True
            )
        found[form] = {
            "bytes": done.weight_bytes,
            "deviation": done.parity.of_policy,
            "of_trained": done.parity.of_trained,
            "microseconds": dataclasses.asdict(done.parity.latency),
        }
    if settings.returns and name != LARGE:  # which is not trained
        agent = with_nonfinite_guard(bundle.agent)
        programs = in_fewer_bits(step_programs(agent, bundle.params_of(0)), "int8")
        returns = returns_of(bundle, {"int8": program_agent(agent, programs)}, settings.tasks)
        for form, estimate in returns.items():
            found[form]["return"] = estimate
    return found


def measured_in_litert(bundle, name, settings):
    """Time of the graph of the LiteRT form in both forms of matrices; deviation and return of the one in 8 bits."""
    found = {}
    for form, quantise in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            done = export_bundle(
                bundle, to="litert", folder=folder, name=file_word(name), quantise=quantise, check=settings.check
            )
            label = f"litert {form}"
            found[label] = {"deviation": done.parity.of_policy, "microseconds": time_graph(done.folder)}
            if quantise is not None and settings.returns and name != LARGE:
                agent = litert_agent(with_nonfinite_guard(bundle.agent), done.folder)
                returns = returns_of(bundle, {label: agent}, settings.tasks)
                found[label] |= {"return": returns[label], "return of float32": returns["float32"], "tasks": settings.tasks}
    return found


def table(results):
    """The table of the page, in Markdown."""
    head = ["agent", "weights", "weights, 8 bits", "C", "C, 8 bits", "LiteRT", "LiteRT, 8 bits", "change of the policy"]
    head += ["return", "return, 8 bits", "return, LiteRT in 8 bits"]
    rows = [head, ["---"] * len(head)]
    for name, found in results.items():
        whole, few = found.get("float32"), found.get("int8")
        in_litert = [found.get(f"litert {form}") for form in FORMS]
        cells = [f"{one['bytes']:,}" if one else "–" for one in (whole, few)]
        cells += [_time(one) for one in (whole, few, *in_litert)]
        cells.append(f"{few['of_trained']:.2g}" if few else "–")
        rows.append([name, *cells, *(_return(one) for one in (whole, few, in_litert[1]))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _time(found):
    return "{median:.1f}".format(**found["microseconds"]) if found else "–"


def _return(found):
    return "{value:.4g} [{low:.4g}, {high:.4g}]".format(**found["return"]) if found and "return" in found else "–"


def page_with(text, results):
    """The page with the table of these results in the place of the old one."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(results) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main():
    """Measures everything, and writes numbers and table."""
    settings = tyro.cli(Settings, description=__doc__)
    for name in settings.only or (LARGE, *BUNDLES):
        bundle = large_gru() if name == LARGE else load_bundle(HERE.parent / "bundles" / name)
        for one in settings.forms:
            found = {"c": measured_in_c, "litert": measured_in_litert}[one](bundle, name, settings)
            print(table({name: found}), flush=True)
            # At once, so that what was measured stays if a later one fails. Another form may be measured at the same time.
            results = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
            before = results.get(name, {})
            results[name] = before | {form: before.get(form, {}) | numbers for form, numbers in found.items()}
            NUMBERS.write_text(json.dumps(results, indent=1) + "\n")
            PAGE.write_text(page_with(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
