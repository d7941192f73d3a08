"""What the guard of an envelope costs in distribution, and what it saves out of distribution.

    python benchmarks/envelope.py

On each split of a distribution, one trained agent runs lifetimes on the same tasks three times: within its envelope,
without it, and the fallback alone. The envelope holds one rule, calibrated surprise. Its thresholds are the same everywhere.
They were chosen before anything was measured. Two of the readouts are the stored ones; the others are fitted here. In the
fields of decisions, the fallback is a usual method that does not know the prior of the tasks.

Targets: at most 5 % worse than the fallback on every split out of distribution, and at most 1 % worse than without the guard on
`test`. Differences are paired by task, in % of the other's mean return, with 95 % intervals over tasks (normal approximation).
The numbers go to `benchmarks/envelope.json`, and the table of docs/envelope.md is drawn from them.
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.rules import Envelope, SurpriseRule
from quickstudy.rollout.runner import run_on_tasks

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "envelope.json", HERE.parent / "docs" / "envelope.md"
FIRST, LAST = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
"""The lines of the page between which its table stands."""
BELIEFS = HERE.parent / "results" / "beliefs"
SUBJECTS = {
    "drifting-control": ("drifting-control-varibad", "certainty equivalence", BELIEFS / "drifting-control-varibad"),
    "grid-navigation": ("grid-navigation-varibad", "nearest-first sweep", BELIEFS / "grid-navigation-varibad"),
    "bernoulli-bandit": ("bandit-n100-k5-taught", "Gittins index", None),
    "ab-test": ("ab-test-regret", "O'Brien-Fleming", None),
    "pricing": ("pricing-30", "explore then exploit", None),
    "recommendation": ("recommendation-50", "item LinUCB", None),
    "assistant": ("assistant", "ask first", None),
    "forecasting": ("forecasting-shifts", "best single expert", None),
    "trading": ("trading", "momentum", None),
    "contextual-variants": ("contextual-variants", "variant LinUCB", None),
    "daily-variants": ("daily-variants", "daily Thompson", None),
}
"""Bundle, fallback, and where the readout is stored."""
SMALL_READOUT = qs.ReadoutConfig(tasks=200, updates=300)
RULE = SurpriseRule(p_value="last_steps", enter_below=0.002, enter_steps=2, leave_above=0.1, leave_steps=20)
WORST_OUTSIDE, WORST_INSIDE = -5.0, -1.0
"""Targets in %."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    folder: str = "bundles"
    tasks: int = 200
    parts: tuple[str, ...] = tuple(SUBJECTS)


def percent(ours, theirs):
    """Mean paired difference in % of the other's mean return, and its 95 % interval; zeros if returns never differ."""
    apart = ours - theirs
    if not apart.any():
        return [0.0, 0.0, 0.0]
    unit = abs(theirs.mean()) / 100
    width = 1.96 * apart.std(ddof=1) / len(apart) ** 0.5
    return [round(float(one / unit), 2) for one in (apart.mean(), apart.mean() - width, apart.mean() + width)]


def measured(name, settings):
    """Returns and differences on every split of a distribution but the training one."""
    folder, fallback, stored = SUBJECTS[name]
    bundle = qs.load_bundle(f"{settings.folder}/{folder}")
    distribution, params = bundle.distribution(), bundle.params_of(0)
    agent, baseline = bundle.agent_for(distribution.spec), distribution.baselines[fallback]()
    path = None if stored is None else stored / "readout.safetensors"
    readout = qs.load_readout(path) if path else qs.fit_readout(agent, params, distribution, SMALL_READOUT)
    envelope = Envelope(fallback=fallback, surprise=RULE)
    guarded = with_envelope(qs.with_readout(agent, readout), envelope, fallback=baseline)
    contenders = {
        "guarded": (guarded, params),
        "unguarded": (agent, params),
        "fallback": (baseline, baseline.init(jax.random.key(0))),
    }
    found = {}
    for split in distribution.splits[1:]:
        drawn, keys = draw_tasks(distribution, split=split, tasks=settings.tasks, seed=0)
        returns = {
            label: run_on_tasks(one, distribution, given, drawn, keys)[0].sum(-1, dtype=np.float64)
            for label, (one, given) in contenders.items()
        }
        against = {label: percent(returns["guarded"], returns[label]) for label in ("unguarded", "fallback")}
        outside = split.startswith("ood:")
        found[split] = {
            "returns": {label: round(float(each.mean()), 3) for label, each in returns.items()},
            "percent_against": against,
            "reached": against["fallback"][0] >= WORST_OUTSIDE if outside else against["unguarded"][0] >= WORST_INSIDE,
        }
        print(name, split, json.dumps(found[split]), flush=True)
    return found


def page_with(text, found):
    """The page with its table drawn anew."""
    lines = ["| tasks | guarded | without a guard | fallback alone | against no guard | against the fallback | target |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, one in found.items():
        for split, measures in one["splits"].items():
            returns = [f"{measures['returns'][label]:.2f}" for label in ("guarded", "unguarded", "fallback")]
            against = [
                f"{mean:+.1f} % [{low:.1f}, {high:.1f}]"
                for mean, low, high in (measures["percent_against"][label] for label in ("unguarded", "fallback"))
            ]
            cells = [f"{name}, `{split}`", *returns, *against, "reached" if measures["reached"] else "**missed**"]
            lines.append(f"| {' | '.join(cells)} |")
    before, rest = text.split(FIRST)
    return f"{before}{FIRST}\n" + "\n".join(lines) + f"\n\n{LAST}{rest.split(LAST)[1]}"


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    found = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for name in settings.parts:
        start = time.perf_counter()
        found[name] = {
            "bundle": SUBJECTS[name][0],
            "fallback": SUBJECTS[name][1],
            "rule": dataclasses.asdict(RULE),
            "tasks": settings.tasks,
            "splits": measured(name, settings),
            "seconds": round(time.perf_counter() - start),
        }
        NUMBERS.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(page_with(PAGE.read_text(), found))


if __name__ == "__main__":
    main()
