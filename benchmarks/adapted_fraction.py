"""How much of the policy has to adapt: return and arithmetic of the inner step against the adapted fraction.

    python benchmarks/adapted_fraction.py

The agents of the rows `navigation-part-100`, `-30`, `-10` and `-3` (sparse MAML on 2-D navigation, paid by distance) adapt 100,
30, 10 and 3 % of the hidden units of each layer and are trained alike, each by `quickstudy bench run NAME`. Returns are
of an episode on 500 held-out goals, means with 95 % intervals over seeds and goals; floating-point operations and bytes are
the compiler's own account of one `adapt` of one lifetime. Numbers go to `benchmarks/adapted_fraction.json`, the picture to
`docs/pictures/adapted-fraction.svg`.
"""

import dataclasses
import json
from pathlib import Path

import jax
import matplotlib
import tyro
from inner_steps import measured, returns_by_episode

import quickstudy as qs
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.agent import memory_bytes
from quickstudy.rollout.compiled import run_lifetime

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "pictures" / "adapted-fraction.svg"
PERCENTS = (100, 30, 10, 3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    folder: str = "bundles"
    tasks: int = 500


def operations(agent, distribution, params):
    """Floating-point operations of one `adapt`, as the compiler counts them."""
    key = jax.random.key(0)
    task = jax.eval_shape(lambda key: distribution.sample("test", key), key)
    lifetime, memory = jax.eval_shape(lambda p, t, k: run_lifetime(agent, distribution, p, t, k), params, task, key)
    chunk = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((agent.cadence, *leaf.shape[1:]), leaf.dtype), lifetime)
    compiled = jax.jit(agent.adapt).lower(params, memory, chunk, key).compile()
    return compiled.cost_analysis()["flops"]


def draw(found, settings):
    """Return above, operations below, against the adapted fraction."""
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5.6), sharex=True, layout="constrained")
    percents = [one["percent"] for one in found]
    for number, style in zip(range(len(found[0]["returns"])), ("o:", "o-", "s-", "^-"), strict=False):
        value, low, high = zip(*(one["returns"][number] for one in found), strict=True)
        (line,) = above.plot(percents, value, style, label=f"after {number} inner steps")
        above.fill_between(percents, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    above.set_ylabel("return of an episode")
    above.legend(frameon=False, fontsize=8)
    seeds = found[0]["seeds"]
    above.set_title(f"2-D navigation, {settings.tasks} held-out goals, {seeds} seeds of each", loc="left", fontsize=10)
    below.plot(percents, [one["operations"] / 1e6 for one in found], "o-", label="operations of an inner step (millions)")
    below.set_ylim(0)
    below.set_ylabel("million operations")
    beside = below.twinx()
    beside.plot(percents, [one["memory_bytes"] / 1024 for one in found], "s--", color="C1", label="memory of a lifetime (KiB)")
    beside.set_ylim(0)
    beside.set_ylabel("KiB")
    lines = [*below.get_lines(), *beside.get_lines()]
    below.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=8, loc="upper left")
    below.set_xscale("log")
    below.set_xticks(PERCENTS, [f"{percent} %" for percent in PERCENTS])
    below.set_xlabel("hidden units of each layer that adapt (log scale)")
    for axes in (above, below):
        axes.spines["top"].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    """Measures, prints and draws."""
    settings = tyro.cli(Settings, description=__doc__)
    found = []
    for percent in PERCENTS:
        bundle = qs.load_bundle(f"{settings.folder}/navigation-part-{percent}")
        distribution = qs.tasks.make("point-navigation", **bundle.card["distribution"]["config"])
        task_list, keys = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
        one = Contender(agent=bundle.agent, params=bundle.params, trained=True)
        returns = returns_by_episode(one, distribution, task_list, keys)
        rollouts = bundle.agent.cadence // distribution.spec.horizon
        parts = measured(returns.reshape(*returns.shape[:2], -1, rollouts).mean(-1)).T
        found.append(
            {
                "percent": percent,
                "returns": parts.round(3).tolist(),
                "operations": operations(bundle.agent, distribution, one.params_of(0)),
                "memory_bytes": memory_bytes(bundle.agent),
                "seeds": one.seeds,
            }
        )
        told = ", ".join(f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in parts)
        print(f"{percent:3d} %: returns {told}; {found[-1]['operations'] / 1e6:.1f} million operations of an inner step, "
              f"{found[-1]['memory_bytes']:,} bytes of memory", flush=True)  # fmt: skip
    (HERE / "adapted_fraction.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    draw(found, settings)


if __name__ == "__main__":
    main()
