"""Errors of agents and experts on real series: three forecasting competitions, and eight classic single series.

    python benchmarks/real_series.py [BUNDLE ...]

Needs `pip install '.[data,classic-series]'`. Bundles are agents that were trained on `forecasting`, or on the training split of
`competition-series`. Every number is a MASE of one-step forecasts: lower is better, and it is relative to the mean absolute
change in the history.

- Competitions: each series of `test` and `ood:tourism` once, for each frequency. Mean over series, with its standard error.
  `official` is the mean over the official test part, the last 4 to 24 values.
- Classic series: the last 60 % of the values, in lifetimes of at most 100 steps. Each lifetime has up to 104 values before it
  as history, and new forecasters. Errors are divided by the mean absolute change in the first 40 %.

With several training seeds a bundle's number is the mean over them. Numbers go to `benchmarks/real_series.json`, and tables
are printed as they stand on the page.
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
from quickstudy.baselines.models.forecasters import NAMES
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

HOME = Path(__file__).parent / "real_series.json"
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
    save: bool = True
    """Write the numbers to the file."""


def contenders(paths, distribution):
    """Name -> agent for these lifetimes, and the parameters of each seed."""
    found = {}
    for path in paths:
        bundle = qs.load_bundle(path)
        folder = Path(path).parent if Path(path).name == "bundle" else Path(path)
        found[folder.name] = bundle.agent_for(distribution.spec), [bundle.params_of(seed) for seed in range(bundle.seeds)]
    for name, make in distribution.baselines.items():
        agent = make()
        found[name] = agent, [agent.init(jax.random.key(0))]
    return found


def errors_of(agent, params, distribution, tasks):
    """Absolute errors `[tasks, steps]` in the unit of the tasks, mean over seeds."""
    keys = jax.random.split(jax.random.key(0), len(tasks.number))
    return np.mean([-run_on_tasks(agent, distribution, one, tasks, keys)[0].astype(np.float64) for one in params], axis=0)


def of_competitions(paths, settings):
    """Name of a group of series -> its size, and name of a contender -> MASE, its standard error, MASE of the official part."""
    series, distribution = competition_series(), competition_tasks(**settings)
    numbers = [number for split, some in chosen(CompetitionTasks(**settings)).items() if split != "train" for number in some]
    tasks, steps = stack_of(series, numbers, horizon=distribution.spec.horizon), distribution.spec.horizon
    official = np.arange(steps) >= steps - np.array([series[number].official for number in numbers])[:, None]
    group = np.array([f"{steps} steps" if steps == STEPS else series[number].frequency for number in numbers])
    found = {name: {"series": int((group == name).sum()), "mase": {}} for name in ("monthly", "quarterly", "other", *group)}
    found = {name: one for name, one in found.items() if one["series"] > FEW}
    for contender, (agent, params) in contenders(paths, distribution).items():
        errors = errors_of(agent, params, distribution, tasks)
        last = (errors * official).sum(axis=1) / official.sum(axis=1)
        for name, one in found.items():
            each = errors.mean(axis=1)[group == name]
            deviation = each.std(ddof=1) / len(each) ** 0.5
            one["mase"][contender] = [float(number) for number in (each.mean(), deviation, last[group == name].mean())]
        print(f"{steps} steps: {contender}", flush=True)
    return found


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
    """Name of a series -> name of a contender -> MASE."""
    parts = [(name, *one) for name, values in classic_series().items() for one in lifetimes_of(values, PERIODS[name])]
    names, tasks, own, factors = zip(*parts, strict=True)
    tasks = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)
    counted = np.arange(STEPS) < np.array(own)[:, None]
    distribution, found = competition_tasks(horizon=STEPS), {name: {} for name in PERIODS}
    for contender, (agent, params) in contenders(paths, distribution).items():
        errors = errors_of(agent, params, distribution, tasks) * np.array(factors)[:, None]
        for name in PERIODS:
            of_series = np.array(names) == name
            found[name][contender] = float(errors[of_series][counted[of_series]].mean())
    return found


def show(found):
    """Prints the tables of the page."""
    columns = found["competitions"]
    print("\n| method |", " | ".join(f"{name} ({one['series']:,})" for name, one in columns.items()), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name in next(iter(columns.values()))["mase"]:
        cells = (one["mase"][name] for one in columns.values())
        print(f"| {name} |", " | ".join(f"{mean:.3f} ({error:.3f}) / {last:.3f}" for mean, error, last in cells), "|")
    some = next(iter(found["classics"].values()))
    simple = [name for name in some if name in NAMES]
    others = [name for name in some if name not in (*simple, "random")]
    print("\n| series | best simple expert |", " | ".join(others), "| naive |\n" + "|---" * (len(others) + 3) + "|")
    for name, mase in found["classics"].items():
        best = min(simple, key=lambda one: mase[one])
        print(f"| {name} | {best} {mase[best]:.3f} |", " | ".join(f"{mase[one]:.3f}" for one in [*others, "naive"]), "|")


def main():
    """Measures, saves and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    found = {"competitions": {}, "classics": of_classics(settings.bundles)}
    for asked in SETTINGS:
        found["competitions"] |= of_competitions(settings.bundles, asked)
    if settings.save:
        rounded = jax.tree.map(lambda number: round(number, 4), found)
        HOME.write_text(json.dumps(rounded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(found)


if __name__ == "__main__":
    main()
