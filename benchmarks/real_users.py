"""Regret on simulators of real people who were held out, of the experts and of an agent.

    python benchmarks/real_users.py                             # the experts, on every source
    python benchmarks/real_users.py --source movielens          # on one
    python benchmarks/real_users.py --source movielens --train 60s
    python benchmarks/real_users.py --source movielens --bundle runs/films
    python benchmarks/real_users.py --hidden                    # how well chances predict views that were hidden

`--train` trains an agent for that budget first, by `quickstudy train`, and `--bundle` takes one that was trained on the source.
Both were trained on `train` alone: on people of training and on the clusters that were fitted to them.

Every method has about eight visits with each person who was held out. Regret is averaged over the visits with one person, and
then over people. Intervals are 95 % over people (normal approximation). With several seeds, regret is the mean over them.
What is simulated is in the docstring of `recorded-visitors`. Needs `pip install '.[data]'`. The numbers go to
`benchmarks/real_users.json`, and the tables of docs/recommendation.md are drawn from them.
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import tyro
from side_by_side import compiled_returns, contenders

import quickstudy as qs
from quickstudy import cli
from quickstudy.numerics.visitor_tastes import completed_chances, tastes_of
from quickstudy.tasks.suites.visitor_records import SOURCES, read_records

HERE = Path(__file__).parent
NUMBERS, PAGE = HERE / "real_users.json", HERE.parent / "docs" / "recommendation.md"
FIRST, LAST = "<!-- measured people: begin -->\n", "<!-- measured people: end -->\n"
"""The lines of the page between which its tables stand."""
TRAINED_LIKE = (
    "--cell",
    "linear",
    "--no-reads-allowed",
    "--lifetimes",
    "256",
    "--discount",
    "0.9",
    "--learning-rate",
    "0.003",
    "--no-draws",
    "--seeds",
    "3",
)
SPLITS = {"test": "Chances of held-out people, completed by the model", "ood:own-records": "Recorded answers alone"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    source: str = "all"
    bundle: str = ""
    """Folder of a run or of a bundle that was trained on this source."""
    train: str = ""
    """Budget of a training before, as in `60s`; empty for none."""
    folder: str = "runs/real-users"
    """Of that training."""
    visits: int = 8
    seed: int = 0
    hidden: bool = False
    """Measure only how well the chances of held-out people predict a fifth of their records that was hidden."""


def trained(settings):
    """The folder of an agent that was trained now."""
    where = f"{settings.folder}-{settings.source}"
    words = ["train", "rl2", "recorded-visitors", "--source", settings.source, *TRAINED_LIKE]
    if cli.main([*words, "--budget", settings.train, "--folder", where, "--overwrite"]):
        raise SystemExit(2)
    return where


def per_person(values, person):
    """Mean over the visits with each person."""
    return np.asarray([values[person == one].mean() for one in np.unique(person)])


def measured(distribution, agents, settings):
    """Regret by split and method, with intervals over people."""

    run, found = compiled_returns(distribution, agents), {}
    people = len(np.unique(distribution.sample_tasks("test", jax.random.key(1), tasks=4000).person))
    key_tasks, key_lifetimes = jax.random.split(jax.random.key(settings.seed))
    for split in SPLITS:
        drawn = distribution.sample_tasks(split, key_tasks, tasks=settings.visits * people)
        returns = run(drawn, jax.random.split(key_lifetimes, settings.visits * people))
        ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
        person = np.asarray(drawn.person)
        regrets = {name: per_person(ceiling - np.asarray(one), person) for name, one in returns.items()}
        found[split] = {"people": len(np.unique(person)), "regret": {name: estimate(one) for name, one in regrets.items()}}
        if "agent" in regrets:
            others = {name: regrets["agent"] - one for name, one in regrets.items() if name != "agent"}
            found[split]["agent_minus"] = {name: estimate(one) for name, one in others.items()}
    return found


def estimate(values):
    """Mean, and half the width of its 95 % interval over people."""
    return [round(float(one), 3) for one in (values.mean(), 1.96 * values.std(ddof=1) / len(values) ** 0.5)]


def tables(found):
    """The tables of the page: one for each split, a column for each source, the method of the least mean regret first."""
    text = []
    for split, title in SPLITS.items():
        sources = [name for name in SOURCES if name in found]
        methods = list(dict.fromkeys(name for source in sources for name in found[source]["splits"][split]["regret"]))
        mean_over = {name: [found[one]["splits"][split]["regret"].get(name, [])[:1] for one in sources] for name in methods}
        methods.sort(key=lambda name: np.mean([value for one in mean_over[name] for value in one]))
        counts = [f"{name} ({found[name]['splits'][split]['people']})" for name in sources]
        text += [f"{title} (`{split}`):", "", f"| method | {' | '.join(counts)} |", "|---" * (len(sources) + 1) + "|"]
        for method in methods:
            of_sources = [found[name]["splits"][split]["regret"].get(method) for name in sources]
            cells = ["" if one is None else f"{one[0]:.1f} ± {one[1]:.1f}" for one in of_sources]
            text.append(f"| {method} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def page_with(text, found):
    """The page with its tables drawn anew."""
    before, rest = text.split(FIRST)
    return f"{before}{FIRST}\n{tables(found)}\n{LAST}{rest.split(LAST)[1]}"


def loss_of_hidden(source):
    """Mean loss in nats of a hidden view, by chances of the model, completed ones, and the rates of items in training."""
    records = read_records(source, items=100)
    others = records.held_out(0.25)
    shows, clicks = records.shows[~others], records.clicks[~others]
    tastes = tastes_of(shows, clicks, clusters=8, seed=0)
    random, of_others = np.random.default_rng(0), records.clicks[others].astype(int)
    refused = records.shows[others].astype(int) - of_others
    clicked, not_clicked = random.binomial(of_others, 0.8), random.binomial(refused, 0.8)
    chances = {
        "completed": completed_chances(clicked + not_clicked, clicked, tastes, trust=2.0),
        "model": completed_chances(clicked + not_clicked, clicked, tastes, trust=1e9),
        "rate of the item": np.tile((clicks.sum(0) + 1) / (shows.sum(0) + 2), (len(of_others), 1)),
    }
    hidden, hidden_refused = of_others - clicked, refused - not_clicked
    count = (hidden + hidden_refused).sum()
    return {
        name: round(float(-(hidden * np.log(one) + hidden_refused * np.log1p(-one)).sum() / count), 3)
        for name, one in chances.items()
    }


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    if settings.hidden:
        for source in SOURCES:
            print(source, json.dumps(loss_of_hidden(source)), flush=True)
        return
    if settings.source not in ("all", *SOURCES) or (settings.source == "all" and (settings.bundle or settings.train)):
        raise SystemExit(f"--source must be one of {', '.join(SOURCES)}; all of them only without an agent.")
    found = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    folder = trained(settings) if settings.train else settings.bundle
    for source in SOURCES if settings.source == "all" else (settings.source,):
        start = time.perf_counter()
        distribution = qs.tasks.make("recorded-visitors", source=source)
        found[source] = {
            "bundle": folder,
            "budget": settings.train,
            "visits": settings.visits,
            "splits": measured(distribution, contenders(distribution, folder), settings),
            "seconds": round(time.perf_counter() - start),
        }
        print(source, json.dumps(found[source]["splits"]), flush=True)
        NUMBERS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
