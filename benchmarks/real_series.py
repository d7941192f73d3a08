"""Errors of agents and experts on real series: three forecasting competitions, and eight classic single series.

    python benchmarks/real_series.py [BUNDLE ...]

Needs `pip install '.[data,classic-series]'`. Bundles are agents that were trained on `forecasting`, or on the training split of
`competition-series`. Every number is a MASE of one-step forecasts: lower is better, and it is relative to the mean absolute
change in the history.

- Competitions: each series of `test` and `ood:tourism` once, for each frequency. Mean over series, with its standard error.
  `official` is the mean over the official test part, the last 4 to 24 values.
- Classic series: the last 60 % of the values, in lifetimes of at most 100 steps. Each lifetime has up to 104 values before it
  as history, and new forecasters. Errors are divided by the mean absolute change in the first 40 %.

With several training seeds a bundle's number is the mean over them. Numbers go to `benchmarks/real_series.json`, tables to
`docs/forecasting.md`. `--draw-only` draws the tables of the stored numbers.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from classic_series import PERIODS, classic_series

import quickstudy as qs
from quickstudy.baselines.models.forecast_view import view_of
from quickstudy.baselines.models.forecasters import NAMES
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.runner import run_on_tasks
from quickstudy.tasks.suites.competition_series.distribution import (
    CompetitionTasks,
    chosen,
    competition_tasks,
    scale_of,
    stack_of,
    task_of,
)
from quickstudy.tasks.suites.competition_series.records import competition_series

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "real_series.json", HERE.parent / "docs" / "forecasting.md"
FIRST, LAST = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
"""The lines of the page between which its tables stand."""
SETTINGS = ({}, {"frequency": "yearly", "history": 12, "horizon": 8}, {"horizon": 100})
"""Of the competitions' tasks: the default ones, those for yearly series, which are too short for them, and long lifetimes."""
STEPS, KNOWN = 100, 0.4
"""Most steps of a lifetime on a classic series, and the share of its values that comes before the first forecast."""
FEW = 20
"""Groups of so few series are left out: the yearly ones that are long enough for the default settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    bundles: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    draw_only: bool = False
    """Draw the numbers that were measured before."""


def errors_of_all(paths, distribution, tasks):
    """Name of a bundle or an expert -> absolute errors `[tasks, steps]` in the unit of the tasks, mean over training seeds."""
    keys, makers = jax.random.split(jax.random.key(0), len(tasks.number)), distribution.baselines

    def errors_of(agent, params):
        return -run_on_tasks(agent, distribution, params, tasks, keys)[0].astype(np.float64)

    def simple_errors(task, key):
        # Where nobody resets them, observations tell the errors of all forecasters, whoever acts.
        return view_of(run_lifetime(makers["naive"](), distribution, (), task, key)[0].outcome.observation).errors

    found = {}
    for path in paths:
        bundle = qs.load_bundle(path)
        agent, folder = bundle.agent_for(distribution.spec), Path(path).parent if Path(path).name == "bundle" else Path(path)
        found[folder.name] = np.mean([errors_of(agent, bundle.params_of(seed)) for seed in range(bundle.seeds)], axis=0)
    for name in ("best single expert", "fixed share", "BOCPD"):
        found[name] = errors_of(makers[name](), ())
        print(f"{distribution.spec.horizon} steps: {name}", flush=True)
    simple = np.abs(np.asarray(jax.jit(jax.vmap(simple_errors))(tasks, keys), np.float64))
    return found | {name: simple[..., place] for place, name in enumerate(NAMES)}


def of_competitions(paths, settings):
    """Group of series -> their number; and contender -> group -> MASE, its standard error, MASE of the official test part."""
    series, distribution = competition_series(), competition_tasks(**settings)
    numbers = [number for split, some in chosen(CompetitionTasks(**settings)).items() if split != "train" for number in some]
    steps = distribution.spec.horizon
    tasks = stack_of(series, numbers, horizon=steps)
    official = np.arange(steps) >= steps - np.array([series[number].official for number in numbers])[:, None]
    group = np.array([f"{steps} steps" if steps == STEPS else series[number].frequency for number in numbers])
    counts = {name: int((group == name).sum()) for name in ("monthly", "quarterly", "other", *group)}
    counts = {name: count for name, count in counts.items() if count > FEW}
    found = {}
    for contender, errors in errors_of_all(paths, distribution, tasks).items():
        all_steps, last = errors.mean(axis=1), (errors * official).sum(axis=1) / official.sum(axis=1)
        found[contender] = {}
        for name in counts:
            mase, part = all_steps[group == name], last[group == name]
            measured = mase.mean(), mase.std(ddof=1) / len(mase) ** 0.5, part.mean()
            found[contender][name] = [round(float(number), 4) for number in measured]
    return counts, found


def lifetimes_of(values, period):
    """Tasks of one series, how many of their steps are its own, and the factor from their unit to that of the series."""
    begun = round(KNOWN * len(values))
    scale = np.abs(np.diff(values[:begun])).mean()
    for start in range(begun, len(values), STEPS):
        own = min(STEPS, len(values) - start)
        # Behind the end of the series nothing is counted, and no value before it depends on what stands there.
        whole = np.concatenate([values[: start + own], np.full(STEPS - own, values[-1])])
        yield task_of(whole, period=period, horizon=STEPS), own, scale_of(whole, STEPS) / scale


def of_classics(paths):
    """Contender -> name of a series -> MASE."""
    parts = [(name, *one) for name, values in classic_series().items() for one in lifetimes_of(values, PERIODS[name])]
    names, tasks, own, factors = zip(*parts, strict=True)
    tasks = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)
    counted = np.arange(STEPS) < np.array(own)[:, None]
    distribution, found = competition_tasks(horizon=STEPS), {}
    for contender, own_unit in errors_of_all(paths, distribution, tasks).items():
        errors = own_unit * np.array(factors)[:, None]
        of_series = {name: (np.array(names) == name)[:, None] & counted for name in PERIODS}
        found[contender] = {name: round(float(errors[own].mean()), 4) for name, own in of_series.items()}
    return found


def page_with(text, found):
    """The page with its tables drawn anew."""
    counts, agents = found["series"], found["agents"]
    columns = [f"{name} ({count:,})" for name, count in counts.items()]
    whole, official = ([[name] for name in agents] for _ in range(2))
    for row, last, one in zip(whole, official, agents.values(), strict=True):
        row += [f"{mean:.3f} ({error:.3f})" for mean, error, _ in (one["competitions"][group] for group in counts)]
        last += [f"{one['competitions'][group][2]:.3f}" for group in counts]
    simple, others = ([name for name in agents if (name in NAMES) is so] for so in (True, False))
    rows = []
    for name in PERIODS:
        mase = {agent: one["classics"][name] for agent, one in agents.items()}
        best = min(simple, key=lambda agent: mase[agent])
        rows.append([name, *(f"{mase[agent]:.3f}" for agent in others), f"{best} {mase[best]:.3f}", f"{mase['naive']:.3f}"])
    parts = [
        "All forecasts of a lifetime:",
        table(["method", *columns], whole),
        "The official test part alone, which is the last 4 to 24 values:",
        table(["method", *columns], official),
        "Classic single series:",
        table(["series", *others, "best simple method afterwards", "naive"], rows),
    ]
    before, rest = text.split(FIRST)
    return f"{before}{FIRST}\n" + "\n\n".join(parts) + f"\n\n{LAST}{rest.split(LAST)[1]}"


def table(heading, rows):
    """Lines of a table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, ["---"] * len(heading), *rows])


def main():
    """Measures, saves and draws."""
    settings = tyro.cli(Settings, description=__doc__)
    if not settings.draw_only:
        found = {"series": {}, "agents": {name: {"classics": one} for name, one in of_classics(settings.bundles).items()}}
        for asked in SETTINGS:
            counts, one = of_competitions(settings.bundles, asked)
            found["series"] |= counts
            for name, groups in one.items():
                found["agents"][name].setdefault("competitions", {}).update(groups)
        NUMBERS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = json.loads(NUMBERS.read_text(encoding="utf-8"))
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
