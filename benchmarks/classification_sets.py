"""Rewards on real classified rows: the experts of contextual variants, and an agent that was trained on simulated sites.

    python benchmarks/classification_sets.py                    # the experts alone
    python benchmarks/classification_sets.py runs/variants      # and the agent of a bundle

The agent is used as it is: it was trained on `contextual-variants`, and never on these sets. Its tasks must have the same
numbers of arms and features. Every method names 100 rows of each task of `test`, on the same tasks with the same keys.
Intervals are 95 % over tasks (normal approximation). They tell how much the order of rows, the classes and the features matter,
and not how much sets differ. The mean rank is over the five sets; 1 is best.

Two rows are no competitors. `most frequent class` names the class that most rows of the task have. `linear classifier` was
fitted to all labels of the rows of training, by logistic regression on the same features. Needs `pip install '.[data]'`. The
numbers go to `benchmarks/classification_sets.json`, and the table of docs/contextual-variants.md is drawn from them.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from side_by_side import compiled_returns, contenders

import quickstudy as qs
from quickstudy.tasks.suites.classification_tables import SET_NAMES, read_table, whitened

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "classification_sets.json", HERE.parent / "docs" / "contextual-variants.md"
FIRST, LAST = "<!-- measured sets: begin -->\n", "<!-- measured sets: end -->\n"
"""The lines of the page between which its table stands."""
NO_COMPETITORS = ("most frequent class", "linear classifier, all labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    bundle: Annotated[str, tyro.conf.Positional] = ""
    """Folder of a run or of a bundle; empty for the experts alone."""
    tasks: int = 1000
    seed: int = 0


def with_labels(drawn, distribution):
    """Returns of the two methods that know labels."""
    from sklearn.linear_model import LogisticRegression

    features = distribution.config["features"]
    tables = [read_table(name) for name in SET_NAMES]
    seen = [whitened(table, features=features) for table in tables]
    fits = [
        LogisticRegression(max_iter=1000).fit(rows[table.trains], table.labels[table.trains])
        for table, rows in zip(tables, seen, strict=True)
    ]
    frequent, linear = [], []
    for task in range(len(drawn.which)):
        which, rows = int(drawn.which[task]), np.asarray(drawn.rows[task])
        classes = np.asarray(drawn.classes[task])[: int(drawn.arms[task])]
        labels = tables[which].labels[rows]
        frequent.append((labels[:, None] == classes[None]).sum(0).max())
        odds = fits[which].decision_function(seen[which][rows])
        odds = np.stack([-odds, odds], 1) if odds.ndim == 1 else odds
        linear.append((classes[odds[:, classes].argmax(1)] == labels).sum())
    return dict(zip(NO_COMPETITORS, (np.asarray(frequent), np.asarray(linear)), strict=True))


def summary(returns, which, steps):
    """Mean share of right answers and its interval, by method and set, and the mean rank of a competitor."""
    found = {name: {} for name in returns}
    for number, of_set in enumerate(SET_NAMES):
        for name, each in returns.items():
            share = each[which == number] / steps
            width = 1.96 * share.std(ddof=1) / len(share) ** 0.5
            found[name][of_set] = [round(float(one), 4) for one in (share.mean(), share.mean() - width, share.mean() + width)]
    ranked = [name for name in returns if name not in NO_COMPETITORS]
    means = np.asarray([[found[name][of_set][0] for of_set in SET_NAMES] for name in ranked])
    ranks = (means[None] > means[:, None]).sum(1) + ((means[None] == means[:, None]).sum(1) + 1) / 2
    of_ranked = dict(zip(ranked, ranks.mean(1).round(2).tolist(), strict=True))
    return {name: {"sets": each, "mean_rank": of_ranked.get(name)} for name, each in found.items()}


def table(agents):
    """The rows of the page, the best mean rank first, and those that are no competitors at the end."""
    lines = [f"| method | {' | '.join(SET_NAMES)} | mean rank |", "|---" * (len(SET_NAMES) + 2) + "|"]
    for name, one in sorted(agents.items(), key=lambda item: item[1]["mean_rank"] or len(agents)):
        cells = [
            f"{100 * mean:.1f} ± {50 * (high - low):.1f}" for mean, low, high in (one["sets"][of_set] for of_set in SET_NAMES)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['mean_rank'] or ''} |")
    return "\n".join(lines)


def page_with(text, measured):
    """The page with its table drawn anew."""
    before, rest = text.split(FIRST)
    return f"{before}{FIRST}\n{table(measured['agents'])}\n\n{LAST}{rest.split(LAST)[1]}"


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    start = time.perf_counter()
    distribution = qs.tasks.make("classification-sets")
    key_tasks, key_lifetimes = jax.random.split(jax.random.key(settings.seed))
    drawn = distribution.sample_tasks("test", key_tasks, tasks=settings.tasks)
    run = compiled_returns(distribution, contenders(distribution, settings.bundle))
    returns = {name: np.asarray(one) for name, one in run(drawn, jax.random.split(key_lifetimes, settings.tasks)).items()}
    steps = distribution.spec.lifetime_steps
    agents_found = summary(returns | with_labels(drawn, distribution), np.asarray(drawn.which), steps)
    measured = {
        "bundle": settings.bundle,
        "tasks": settings.tasks,
        "seed": settings.seed,
        "task_hash": qs.task_hash(drawn),
        "agents": agents_found,
        "seconds": round(time.perf_counter() - start),
    }
    print(table(measured["agents"]))
    NUMBERS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    main()
