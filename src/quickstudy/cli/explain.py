"""`quickstudy explain PATH --step N`: one decision, what it rests on, and what another method would have done."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import jax
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import say
from quickstudy.evaluation.belief_probe.probe import with_readout
from quickstudy.evaluation.belief_probe.storage import load_readout
from quickstudy.evaluation.contenders import Contender, algorithm_of, baselines_of
from quickstudy.evaluation.explanation import explain, in_words, lifetime_to_explain
from quickstudy.evaluation.explanation_words import explanation_lines
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.setting_values import MOST_WHOLE, Count, Range, Seed
from quickstudy.reports.explanation_chart import explanation_picture
from quickstudy.rollout.logged_slots import LoggedSlots
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.results_folder import check_results_folder

_SAID = """Explains one decision: best actions, belief, the earlier steps that moved it, and what a baseline would have done.

Of a served session: quickstudy explain BUNDLE --store STORE --session NAME --step N"""
_USAGE = "quickstudy explain RUN_OR_BUNDLE --step NUMBER [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainArguments:
    """The decision, and where the picture goes."""

    step: Count = 1
    """Step of the lifetime whose decision is explained, from 1."""
    split: str = "test"
    """Split that the task is drawn from."""
    task: Annotated[int, Range(least=0, most=MOST_WHOLE)] = 0
    """Number of the task in the list that an evaluation measures on."""
    tasks: Count = 2000
    """Length of the list that --task counts in."""
    seed: Seed = 0
    """Seed of the tasks and the keys of the lifetimes."""
    seed_of_training: Seed = 0
    """Which of the independently trained agents, from 0."""
    baseline: tuple[str, ...] = ()
    """Baselines that are asked what they would have done; the first that the tasks bring, beside random, if not given."""
    readout: Path | None = None
    """A readout.safetensors that `quickstudy readout` wrote for this agent: it adds a belief."""
    store: str | None = None
    """Explain a decision that a server stored here, as in sqlite:sessions.db."""
    session: str | None = None
    """The served session."""
    lifetime: Count = 1
    """Which lifetime of the served session, from 1."""
    tenant: str = "default"
    """Tenant of the served session."""
    on: str | None = None
    """A task distribution, if not the registered one trained on: a name, or PATH.py:FUNCTION."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    folder: str | None = None
    """Where text and picture go; nothing is written if not given."""


def run(arguments: list[str]) -> int:
    """Prints the explanation, and writes it with a picture where a folder is named."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    asked = parse(ExplainArguments, flags, program=_USAGE.partition(" --")[0], description=_SAID)
    if asked.session is not None and asked.store is None:
        raise UsageError("--session needs --store STORE, the store that holds the session, as in sqlite:sessions.db.")
    if asked.folder is not None:
        check_results_folder(asked.folder)
    bundle = load_bundle(words[0], algorithm=asked.algorithm)
    distribution = bundle.distribution(asked.on)
    agent, params = bundle.agent_for(distribution.spec), bundle.params_of(asked.seed_of_training)
    name = algorithm_of(bundle)
    if asked.readout is not None:
        agent = with_readout(agent, load_readout(asked.readout))
    if asked.store is None:
        lifetime, key, task = lifetime_to_explain(
            agent, params, distribution, split=asked.split, task=asked.task, tasks=asked.tasks, seed=asked.seed
        )
        where = f"task {asked.task} of {asked.split} ({'; '.join(f'{one}: {value}' for one, value in task.items())})"
    else:
        lifetime, key = _served(agent, asked)
        where = f"session {asked.session}, lifetime {asked.lifetime}"
    others = _others(distribution, asked.baseline)
    explained = explain(name, agent, params, lifetime, slot=asked.step - 1, key=key, others=others)
    if asked.store is not None:  # the replay draws with other random numbers than the server did
        explained = dataclasses.replace(explained, action=in_words(lifetime.action[asked.step - 1]))
    lines = explanation_lines(explained, task=where)
    say("\n".join(lines))
    if asked.folder is not None:
        picture = explanation_picture(explained, title=f"A decision of {name} on {distribution.name}")
        folder = Path(asked.folder)
        write_atomically(folder / "explanation.txt", "\n".join(lines) + "\n")
        write_atomically(folder / "explanation.svg", picture.svg)
        write_atomically(folder / "explanation.png", picture.png)
        say(f"Saved in {folder}: explanation.txt, explanation.svg, explanation.png")
    return 0


def _others(distribution: AnyDistribution, names: tuple[str, ...]) -> dict[str, Contender]:
    chosen = names or tuple(name for name in distribution.baselines if name != "random")[:1]
    return baselines_of(distribution, chosen)


def _served(agent: Agent, asked: Any) -> tuple[LoggedSlots, PRNGKeyArray]:
    """A lifetime that a server stored, up to the step, and randomness for the replay: that of the server is not stored."""
    if asked.session is None:
        raise UsageError("--store needs --session NAME, the session whose decision is explained.")
    try:
        from quickstudy.serving.logged import logged_decisions
        from quickstudy.serving.replayed import at_slots, check_fits
        from quickstudy.serving.stores import open_store
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which a store needs,", "serve") from error
    store = open_store(asked.store, serves=False, creates=False)
    try:
        log = logged_decisions(store, tenant=asked.tenant, steps=asked.step, unknown_reward=0.0)
    finally:
        store.close()
    wanted = [row for row, (session, _) in enumerate(log.lifetimes) if session == asked.session]
    if not wanted:
        raise UnknownNameError(f"session with {asked.step} decisions", asked.session, {name for name, _ in log.lifetimes})
    if asked.lifetime > len(wanted):
        raise UsageError(
            f"session {asked.session!r} has {len(wanted)} lifetimes with {asked.step} decisions; came "
            f"lifetime {asked.lifetime}."
        )
    check_fits(agent, log)
    laid: PyTree = at_slots(log, agent)
    return jax.tree.map(lambda leaf: leaf[wanted[asked.lifetime - 1]], laid), jax.random.key(asked.seed)
