"""What an agent loses that is trained on a fitted prior, in place of the true one.

    python benchmarks/fitted_prior.py
    python benchmarks/fitted_prior.py --kinds pricing --tasks 500 --seeds 1

For each kind of records, a table of 50 or 500 past tasks is drawn from a known distribution, and `quickstudy fit` reads it. Two
agents are then trained alike, one on the true distribution and one on the fitted one. Both are measured on the same held-out
tasks of the true distribution, beside a method that knows no prior. A share is the part of the true agent's gain over
this method that the fitted one has. Numbers go to `benchmarks/fitted_prior.json`.
"""

import csv
import dataclasses
import json
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.baselines.models.recommendation import Recommendation
from quickstudy.fitting import fit_records
from quickstudy.tasks.decisions.recommendation import shop_observation

FOUND = Path(__file__).parent / "fitted_prior.json"
SETTINGS = {
    "ab-test": {"null_share": 0.0, "expected_rewards": True},
    "pricing": {"periods": 10},
    "recommendation": {"items": 30, "clusters": 4, "size": 4, "strength": 3.0},
    "forecasting": {"kind": "shifts"},
}
"""Of the true distributions, where they differ from the defaults."""
KEPT = {
    "ab-test": ("looks", "users_per_look", "horizon_users", "expected_rewards"),
    "pricing": ("periods", "prices", "lowest_price", "highest_price"),
    "recommendation": ("steps", "available", "train_outside"),
    "forecasting": ("horizon", "history"),
}
"""Settings that a user decides, which are the same for both agents."""
WITHOUT_PRIOR = {
    "ab-test": "Pocock",
    "pricing": "explore then exploit",
    "recommendation": "item LinUCB",
    "forecasting": "best single expert",
}
"""The method that knows no prior."""
TRAINED = {
    "ab-test": (
        {
            "cell": "linear",
            "hidden_size": 32,
            "discount": 1.0,
            "trace_decay": 0.97,
            "learning_rate": 0.003,
            "lifetimes": 1024,
            "entropy_bonus": 0.0,
            "value_weight": 1.0,
            "teacher": "stopping-programme",
            "imitation": 0.3,
        },
        "4e6 steps",
    ),
    "pricing": (
        {"cell": "linear", "hidden_size": 32, "lifetimes": 256, "discount": 1.0, "trace_decay": 0.97, "entropy_bonus": 0.01},
        "2e6 steps",
    ),
    "recommendation": (
        {"cell": "gru", "reads_allowed": False, "teacher": "careful-mixture-prior-bayes", "imitation": 0.8, "draws": False},
        "1e6 steps",
    ),
    "forecasting": (
        {
            "cell": "gru",
            "hidden_size": 48,
            "discount": 0.0,
            "trace_decay": 0.0,
            "entropy_bonus": 0.0,
            "learning_rate": 0.003,
            "teacher": "bocpd",
            "imitation": 0.2,
            "draws": False,
        },
        "1e6 steps",
    ),
}
"""Settings of RL² and the budget of each seed. Teachers that rest on numbers of a prior take those of the tasks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    kinds: tuple[str, ...] = tuple(SETTINGS)
    """Of records."""
    tables: tuple[int, ...] = (50, 500)
    """Past tasks in a table."""
    seeds: int = 2
    """Trainings of each agent."""
    tasks: int = 4000
    """Held-out tasks."""


def past_tests(number, random):
    """Past A/B tests: arms with a control, and a lift in log-odds."""
    for test in range(number):
        rate, lift = np.clip(random.beta(2.0, 38.0), 0.002, 0.5), 0.15 * random.standard_normal()
        for arm, odds in (("control", 0.0), ("new", lift)):
            chance = 1 / (1 + np.exp(-np.log(rate / (1 - rate)) - odds))
            yield {"test": test, "arm": arm, "users": 20_000, "conversions": random.binomial(20_000, chance)}


def past_products(number, random):
    """Past products: twenty periods at random prices of the grid."""
    for product in range(number):
        level, elasticity = np.exp(random.uniform(np.log(5), np.log(80))), random.uniform(0.8, 4.0)
        for price in random.choice(np.geomspace(1.2, 6.0, 12), 20):
            units = random.poisson(level * (price / np.sqrt(7.2)) ** -elasticity)
            yield {"product": product, "price": price, "sales": units, "cost": 1.0}


def past_series(number, random):
    """Past series: noise around a level that jumps."""
    for series in range(number):
        level = 3.0 * random.standard_normal()
        for _ in range(200):
            level = 3.0 * random.standard_normal() if random.random() < 0.025 else level
            yield {"series": series, "value": 70 + 2 * (level + random.standard_normal())}


def tastes():
    """Centres of clusters and vectors of items, always the same."""
    random, asked = np.random.default_rng(7), SETTINGS["recommendation"]
    centres = random.standard_normal((asked["clusters"], asked["size"]))
    vectors = random.standard_normal((asked["items"], asked["size"])) / 2
    return centres / np.linalg.norm(centres, axis=1, keepdims=True), vectors


def past_visitors(number, random):
    """Past visitors, who saw fifty random items each."""
    centres, vectors = tastes()
    for visitor in range(number):
        taste = centres[random.integers(len(centres))] + 0.2 * random.standard_normal(centres.shape[1])
        for item in random.integers(len(vectors), size=50):
            clicks = random.random() < 1 / (1 + np.exp(-3.0 * vectors[item] @ taste))
            yield {"visitor": visitor, "item": f"{item:03}", "click": int(clicks)}


PAST = {"ab-test": past_tests, "pricing": past_products, "recommendation": past_visitors, "forecasting": past_series}


def write_table(path, rows):
    """A CSV file of the rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)


def true_tasks(kind):
    """The distribution that tables are drawn from."""
    asked = dict(SETTINGS[kind])
    if kind == "recommendation":
        centres, vectors = tastes()
        asked |= {"centres": tuple(centres.ravel().tolist()), "vectors": tuple(vectors.ravel().tolist())}
    return qs.tasks.make(kind, **asked)


def fitted_tasks(kind, number, true):
    """A distribution that is fitted to a table of so many past tasks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.csv"
        write_table(path, list(PAST[kind](number, np.random.default_rng(11))))
        fitted = fit_records(path, kind=kind)
    settings = dict(fitted.settings) | {name: true.config[name] for name in KEPT[kind]}
    if fitted.item_names:
        # A fit numbers items by how often they were shown. The true tasks number them by their names.
        vectors = np.reshape(settings["vectors"], (len(fitted.item_names), -1))
        settings["vectors"] = tuple(vectors[np.argsort(fitted.item_names)].ravel().tolist())
    return qs.tasks.make(kind, **settings)


def as_fitted(true, fitted):
    """The true visitors, with observations that hold the vectors of the fit: a shop knows no others.

    The visitors, their clicks and the random numbers stay those of the true tasks.
    """
    prior = Recommendation(**fitted.config)
    vectors = jnp.asarray(prior.item_vectors)

    def reset(task, key):
        state, _ = true.reset(task, key)
        return state, shop_observation(prior, steps=state.steps, allowed=state.allowed, signed=jnp.zeros(prior.size))

    def step(task, state, action, key):
        following, outcome = true.step(task, state, action, key)
        signed = jnp.where(outcome.reward > 0, 1.0, -1.0) * vectors[action]
        seen = shop_observation(prior, steps=following.steps, allowed=following.allowed, signed=signed)
        return following, dataclasses.replace(outcome, observation=seen)

    return dataclasses.replace(true, spec=fitted.spec, reset=reset, step=step, baselines={})


def trained(kind, distribution, seeds):
    """An agent for these tasks."""
    asked, budget = TRAINED[kind]
    algorithm = qs.algorithms.make("rl2", distribution.spec, **asked)
    run = qs.meta_train(algorithm, distribution, qs.TrainingConfig(budget=budget, seeds=seeds, evaluation_seconds=60.0))
    if not run.finished:
        raise SystemExit(f"{kind}: interrupted after {run.steps} steps; nothing of it is kept.")
    return qs.Contender(agent=algorithm.agent, params=run.params, trained=True)


def mean_returns(contenders, distribution, tasks):
    """Mean lifetime returns on held-out tasks, by name. The tasks and the random numbers are the same in every call."""
    measured = qs.evaluate(contenders, distribution, split="test", tasks=tasks)
    return {name: result.lifetime_return.value for name, result in measured.results.items()}


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    for kind in settings.kinds:
        true, method = true_tasks(kind), WITHOUT_PRIOR[kind]
        contenders = {"true prior": trained(kind, true, settings.seeds), method: qs.contender(true.baselines[method]())}
        means = mean_returns(contenders, true, settings.tasks)
        for number in settings.tables:
            fitted = fitted_tasks(kind, number, true)
            name, met = f"{number} past tasks", as_fitted(true, fitted) if kind == "recommendation" else true
            means |= mean_returns({name: trained(kind, fitted, settings.seeds)}, met, settings.tasks)
        gain = means["true prior"] - means[method]
        shares = {number: (means[f"{number} past tasks"] - means[method]) / gain for number in settings.tables}
        found[kind] = {
            "returns": {name: round(mean, 4) for name, mean in means.items()},
            "shares": {str(number): round(share, 3) for number, share in shares.items()},
            "seeds": settings.seeds,
            "budget": TRAINED[kind][1],
        }
        print(kind, found[kind], flush=True)
        FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
