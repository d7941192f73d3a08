"""Does the fast form learn as well as the plain one? The same curve, seed by seed.

    python benchmarks/learning.py

Three forms of one algorithm on bandits of five arms and 100 pulls, over five seeds and the same number of steps: the package as
it is (a recurrence with a backward pass of its own, lifetimes shared among devices); the package with that recurrence as JAX
differentiates it; and the plain trainer of `plain_ppo.py`, which has not a line in common with it. What is shown is the mean
return of the lifetimes that are trained on. Writes `benchmarks/learning.json` and `docs/pictures/learning-forms.svg`.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import tyro

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "pictures" / "learning-forms.svg"
FORMS = {
    "package": "quickstudy",
    "as JAX differentiates it": "quickstudy, its recurrence as JAX differentiates it",
    "plain": "plain trainer",
}
POINTS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is trained."""

    steps: float = 3e6
    """Environment steps of each seed."""
    seeds: int = 5
    lifetimes: int = 128
    arms: int = 5
    pulls: int = 100


def train_package(settings, *, plain_recurrence):
    """Mean returns `[updates, seeds]`."""
    from quickstudy import algorithms, tasks, use_whole_machine
    from quickstudy.networks import layers
    from quickstudy.numerics import recurrence
    from quickstudy.training.sources import source_for
    from quickstudy.training.update import initial_state, update_program

    use_whole_machine()
    fast = layers.run_gated
    if plain_recurrence:

        def run(core, hidden, inputs, valid):
            states = recurrence._run(core, hidden, inputs, valid)[0]
            return jax.tree.map(lambda leaf: leaf[-1], states), states

        layers.run_gated = run
    try:
        bandits = tasks.make("bernoulli-bandit", arms=settings.arms, pulls=settings.pulls)
        algorithm = algorithms.make("rl2", bandits.spec, cell="gru", lifetimes=settings.lifetimes)
        roots = jax.vmap(jax.random.key)(jnp.arange(settings.seeds))
        source = source_for(algorithm, bandits, tasks=1)
        state, program = initial_state(algorithm, source, roots), update_program(algorithm, source)
        returns, updates = [], updates_of(settings)
        for update in range(updates):
            state, metrics = program(state, (), roots, jnp.uint32(update), jnp.float32(update / updates))
            returns.append(np.asarray(metrics["train_return"]))
    finally:
        layers.run_gated = fast
    return np.asarray(returns)


def train_plain(settings):
    """The same of the plain trainer."""
    from plain_ppo import trainer

    begin, train = trainer(arms=settings.arms, pulls=settings.pulls, lifetimes=settings.lifetimes)
    train, updates = jax.jit(jax.vmap(train, (0, 0, None))), updates_of(settings)
    keys = jax.vmap(jax.random.key)(jnp.arange(settings.seeds))
    state, returns = jax.vmap(begin)(keys), []
    for update in range(updates):
        state, mean = train(state, jax.vmap(jax.random.fold_in, (0, None))(keys, update), jnp.float32(update / updates))
        returns.append(np.asarray(mean))
    return np.asarray(returns)


def updates_of(settings):
    """Updates within the budget."""
    return int(settings.steps / (settings.lifetimes * settings.pulls))


def thinned(returns):
    """`[updates, seeds]` to means over `POINTS` stretches of training."""
    cut = len(returns) // POINTS * POINTS
    return returns[:cut].reshape(POINTS, -1, returns.shape[1]).mean(1)


def draw(curves, settings):
    """Mean and range over seeds of every form."""
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    millions = (np.arange(POINTS) + 0.5) / POINTS * settings.steps / 1e6
    for (form, label), style in zip(FORMS.items(), ("-", "--", ":"), strict=True):
        curve = np.asarray(curves[form])
        (line,) = axes.plot(millions, curve.mean(1), style, label=label)
        axes.fill_between(millions, curve.min(1), curve.max(1), color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xlabel("environment steps of each seed (millions)")
    axes.set_ylabel("return of a lifetime in training")
    axes.set_title(
        f"{settings.arms} arms, {settings.pulls} pulls: mean and range of {settings.seeds} seeds", loc="left", fontsize=10
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    """Trains all three, says where they end, and draws them."""
    settings = tyro.cli(Settings, description=__doc__)
    curves = {
        "package": thinned(train_package(settings, plain_recurrence=False)),
        "as JAX differentiates it": thinned(train_package(settings, plain_recurrence=True)),
        "plain": thinned(train_plain(settings)),
    }
    for form, curve in curves.items():
        middle, end = curve[POINTS // 2], curve[-1]
        error = curve.std(1, ddof=1)[[POINTS // 2, -1]] / settings.seeds**0.5
        print(f"{FORMS[form]}: halfway {middle.mean():.2f} ± {error[0]:.2f}, at the end {end.mean():.2f} ± {error[1]:.2f}")
    kept = {form: np.round(curve, 3).tolist() for form, curve in curves.items()}
    (HERE / "learning.json").write_text(
        json.dumps({"settings": dataclasses.asdict(settings), "returns": kept}) + "\n", encoding="utf-8"
    )
    draw(curves, settings)


if __name__ == "__main__":
    main()
