"""What matrices of 8 bits change: bytes, time of a step in C, numbers of the policy, and the return.

    python benchmarks/quantised.py
    python benchmarks/quantised.py --only mdp-n10      # measures some agents anew and keeps what was measured of the others

The return is that of the program which the exported forms are written from, in JAX (`rollout/program_agent.py`). The forms
repeat it within the deviation that `export` checks. Both agents play the same held-out tasks with common random numbers.
Steps in C are timed with gcc -O3 -march=native. Numbers go to `benchmarks/quantised.json`, and the table of
`docs/export.md` is drawn from them.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

import jax
import tyro
from exported import LARGE, large_gru

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


def returns_of(bundle, tasks):
    """Mean returns on held-out tasks with 95 % intervals, by form."""
    agent, params = with_nonfinite_guard(bundle.agent), bundle.params_of(0)
    programs = in_fewer_bits(step_programs(agent, params), "int8")
    one = jax.tree.map(lambda leaf: leaf[None], params)
    forms = {"float32": agent, "int8": program_agent(agent, programs)}
    contenders = {name: Contender(agent=form, params=one, trained=True) for name, form in forms.items()}
    found = evaluate(contenders, bundle.distribution(), split="test", tasks=tasks)
    return {name: dataclasses.asdict(result.lifetime_return) for name, result in found.results.items()}


def measured(bundle, name, settings):
    """Everything about one agent."""
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
    if name != LARGE:  # which is not trained
        for form, estimate in returns_of(bundle, settings.tasks).items():
            found[form]["return"] = estimate
    return found


def table(results):
    """The table of the page, in Markdown."""
    head = ["agent", "weights", "weights, 8 bits", "C", "C, 8 bits", "change of the policy", "return", "return, 8 bits"]
    rows = [head, ["---"] * len(head)]
    for name, found in results.items():
        whole, few = found["float32"], found["int8"]
        rows.append(
            [name, f"{whole['bytes']:,}", f"{few['bytes']:,}", _time(whole), _time(few), f"{few['of_trained']:.2g}",
             _return(whole), _return(few)]
        )  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _time(found):
    return "{median:.1f}".format(**found["microseconds"])


def _return(found):
    return "{value:.4g} [{low:.4g}, {high:.4g}]".format(**found["return"]) if "return" in found else "–"


def page_with(text, results):
    """The page with the table of these results in the place of the old one."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(results) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main():
    """Measures everything, and writes numbers and table."""
    settings = tyro.cli(Settings, description=__doc__)
    results = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for name in settings.only or (LARGE, *BUNDLES):
        bundle = large_gru() if name == LARGE else load_bundle(HERE.parent / "bundles" / name)
        results[name] = measured(bundle, name, settings)
        print(table({name: results[name]}), flush=True)
        NUMBERS.write_text(
            json.dumps(results, indent=1) + "\n"
        )  # after every agent: what was measured stays if a later one fails
        PAGE.write_text(page_with(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
