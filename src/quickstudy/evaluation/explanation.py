"""Why an agent decided as it did at one step: its alternatives, its belief, and the earlier steps that influenced it.

Leave-one-out: the lifetime is replayed without one earlier step, and the new decision is compared with the first. All replays
are one compiled batch. A step that is left out counts as one that did not happen, so the agent's clock also has one step less.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.numerics.distributions import Categorical
from quickstudy.numerics.independent_choices import SHARPER
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, named_leaves
from quickstudy.protocol.records import Decision, Transition
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.logged_slots import LoggedSlots, decisions_along
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.runner import Runner
from quickstudy.rollout.session import chunk_end

MOST_LEFT_OUT = 256
"""Earlier steps that are left out one by one: the newest ones."""
LEAST_CHANGE = 1e-4
"""Influences below this are not named."""
LATENT = "the task, in learned numbers without a unit"
"""Name of the belief of a meta-trained agent: a latent, whose numbers belong to no action and to no parameter."""
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Influence:
    """What changes at the explained decision if one earlier step is left out.

    Args:
      slot: of the earlier step.
      action: that was taken there, in words.
      reward: that followed it.
      numbers: of the decision without the step, as `Explanation.numbers`.
      change: how far they move: half the sum of absolute changes of probabilities, so between 0 and 1; of other numbers the
        largest absolute change.
    """

    slot: int
    action: str
    reward: float
    numbers: tuple[float, ...]
    change: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """One decision of an agent, and what it rests on.

    Args:
      agent: the name that it is shown under.
      slot: of the decision, from 0.
      steps: of a whole lifetime.
      observation: that was decided on, in words.
      action: that was decided, in words.
      first: number of the first action, where actions are Discrete.
      draws: False if the agent takes the likeliest action; probabilities are then those before that choice.
      kind: what `numbers` are: `probability` of each action, `score` of each action, or the numbers of the action itself.
      numbers: of the decision.
      forbidden: places of actions that the observation forbids.
      value: the return that the agent expects of the rest of the lifetime, reward units; None where it says nothing.
      regret: how much more an agent that knows the task would earn there, as the agent expects; None where it says nothing.
      beliefs: by name, means and deviations; empty where the agent gives no belief.
      others: what each other agent decides after the same history, in words, by its name.
      influences: of earlier steps, the largest first.
      left: earlier steps that were not left out, because they are older than `MOST_LEFT_OUT`.
    """

    agent: str
    slot: int
    steps: int
    observation: str
    action: str
    first: int
    draws: bool
    kind: str
    numbers: tuple[float, ...]
    forbidden: tuple[int, ...]
    value: float | None
    regret: float | None
    beliefs: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
    others: Mapping[str, str]
    influences: tuple[Influence, ...]
    left: int

    @property
    def ranked(self) -> list[int]:
        """Places of the allowed actions among `numbers`, the best first; empty where these belong to no list of actions."""
        return [] if self.kind == "action" else self.in_order(self.numbers)

    @property
    def best(self) -> list[int]:
        """Places of the two best allowed actions; empty where `numbers` belong to no list of actions."""
        return self.ranked[:2]

    def in_order(self, numbers: Sequence[float]) -> list[int]:
        """Places of the allowed actions by these numbers, the largest first."""
        return sorted(set(range(len(numbers))) - set(self.forbidden), key=lambda place: (-numbers[place], place))


def explain(
    name: str,
    agent: Agent,
    params: PyTree,
    lifetime: LoggedSlots,
    *,
    slot: int,
    key: PRNGKeyArray,
    others: Mapping[str, Contender] | None = None,
) -> Explanation:
    """Explains the decision at one slot of a lifetime.

    Args:
      name: of the agent.
      agent: that decides; it is wrapped by `with_nonfinite_guard`.
      params: its parameters.
      lifetime: NumPy arrays `[slots, ...]`, at least up to the slot.
      slot: of the decision, from 0; it must be valid.
      key: the agent's share of the lifetime's randomness, `jax.random.split(key)[0]` in `run_lifetime`.
      others: agents that are asked for their decision after the same history, such as baselines.
    Raises:
      UsageError: no such step in this lifetime.
    """
    happened = np.flatnonzero(np.asarray(lifetime.valid))
    if slot not in happened:
        raise UsageError(
            f"no decision was made at step {slot + 1} of this lifetime; it has {len(happened)} steps"
            f"{f', the last is {happened[-1] + 1}' if len(happened) else ''}{_nearest(happened, slot)}. Name one of them."
        )
    guarded = with_nonfinite_guard(agent)
    slots = chunk_end(slot, cadence=agent.cadence)
    history: LoggedSlots = jax.tree.map(lambda leaf: jnp.asarray(leaf[:slots]), lifetime)
    own = _decision_at(guarded, params, history, key, slot)
    earlier = happened[happened < slot][-MOST_LEFT_OUT:]
    space, policy = agent.spec.action_space, own.extras.get("policy")
    draws = not (isinstance(policy, Categorical) and bool(policy.is_certain()))
    kind, numbers = _numbers_of(own, space, draws=draws)
    without = _without_each(guarded, params, history, key, slot, earlier, draws=draws)
    actions = np.asarray(jax.tree.leaves(lifetime.action)[0])
    influences = [
        Influence(
            slot=int(at),
            action=in_words(actions[at]),
            reward=float(np.asarray(lifetime.outcome.reward)[at]),
            numbers=tuple(map(float, moved)),
            change=_distance(numbers, moved, kind),
        )
        for at, moved in zip(earlier, without, strict=True)
    ]
    expects = {name: float(own.extras[name]) if name in own.extras else None for name in ("value", "regret")}
    return Explanation(
        agent=name,
        slot=slot,
        steps=agent.spec.lifetime_steps,
        observation=in_words(np.asarray(lifetime.observation)[slot]),
        action=in_words(own.action),
        first=int(space.start) if isinstance(space, gymnasium.spaces.Discrete) else 0,
        draws=draws,
        kind=kind,
        numbers=tuple(map(float, numbers)),
        forbidden=tuple(_forbidden(agent, lifetime, slot)),
        **expects,
        beliefs=_beliefs(own),
        others={
            each: in_words(_decision_at(with_nonfinite_guard(one.agent), one.params_of(0), history, key, slot).action)
            for each, one in (others or {}).items()
            if chunk_end(slot, cadence=one.agent.cadence) <= slots
        },
        influences=tuple(sorted(influences, key=lambda one: -one.change)),
        left=int((happened < slot).sum()) - len(earlier),
    )


def lifetime_to_explain(
    agent: Agent,
    params: PyTree,
    distribution: AnyDistribution,
    *,
    split: str,
    task: int,
    tasks: int = 2000,
    seed: int = 0,
    collecting: CollectingConfig = CollectingConfig(),
) -> tuple[LoggedSlots, PRNGKeyArray, dict[str, str]]:
    """The lifetime of an agent on one task of an evaluation's list.

    Args:
      agent, params: the agent that acts in it, and its parameters.
      distribution: of the tasks.
      split: of the distribution.
      task: number of the task in the list, from 0.
      tasks, seed: of the list, as of `evaluate`.
      collecting: where the lifetime runs, for tasks outside JAX.
    Returns:
      The lifetime, the agent's share of its randomness, and what `describe` says of the task.
    Raises:
      UsageError: no such task.
    """
    if not 0 <= task < tasks:
        raise UsageError(f"the list has tasks 0 to {tasks - 1}; came {task}.")
    task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=seed)
    one = jax.tree.map(lambda leaf: leaf[task], task_list)
    with Runner(distribution, dataclasses.replace(collecting, workers=1)) as runner:
        lifetime = runner.record(agent, params, one, keys[task])
    described = jax.device_get(distribution.describe(one))
    return (
        slots_of(lifetime),
        jax.random.split(keys[task])[0],
        {name: in_words(value, most=10) for name, value in described.items()},
    )


def slots_of(lifetime: Transition) -> LoggedSlots:
    """A recorded lifetime `[T]` as slots."""
    return LoggedSlots(
        observation=lifetime.observation,
        action=lifetime.decision.action,
        outcome=lifetime.outcome,
        slot=jnp.arange(len(lifetime.valid), dtype=jnp.int32),
        valid=lifetime.valid,
    )


def in_words(value: Any, *, most: int = 6) -> str:
    """Numbers as text, three digits each and whole ones in full; a long array is cut."""
    numbers = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(value)])
    form = "d" if numbers.dtype.kind in "iu" else ".3g"
    shown = " ".join(f"{number:{form}}" for number in numbers[:most])
    return f"{shown} … ({len(numbers)} numbers)" if len(numbers) > most else shown


def _nearest(happened: np.ndarray, slot: int) -> str:
    """The steps with a decision around a slot that an early end of an episode left empty, in words."""
    before, after = happened[happened < slot], happened[happened > slot]
    if not len(before) or not len(after):
        return ""
    return f", the nearest are {before[-1] + 1} and {after[0] + 1}, because an episode ended early"


def _decision_at(agent: Agent, params: PyTree, history: LoggedSlots, key: PRNGKeyArray, slot: int) -> Decision:
    own = jax.jit(partial(decisions_along, agent))(params, history, key)
    return jax.device_get(jax.tree.map(lambda leaf: leaf[slot], own))


def _without_each(
    agent: Agent, params: PyTree, history: LoggedSlots, key: PRNGKeyArray, slot: int, earlier: np.ndarray, *, draws: bool
) -> Float[np.ndarray, "earlier numbers"]:
    """The numbers of the decision where one earlier step is left out, for each of them."""
    if not len(earlier):
        return np.zeros((0, 1))

    def one(valid: Bool[Array, " slots"]) -> Array:
        own = decisions_along(agent, params, dataclasses.replace(history, valid=valid), key)
        return _numbers_of(jax.tree.map(lambda leaf: leaf[slot], own), agent.spec.action_space, draws=draws)[1]

    valid = np.tile(np.asarray(history.valid), (len(earlier), 1))
    valid[np.arange(len(earlier)), earlier] = False
    return np.asarray(jax.jit(partial(jax.lax.map, one, batch_size=_AT_ONCE))(jnp.asarray(valid)))


def _numbers_of(decision: Decision, space: gymnasium.Space, *, draws: bool) -> tuple[str, Array]:
    """What a decision is judged by: probabilities, scores, or its own numbers, of a policy the likeliest ones."""
    policy = decision.extras.get("policy")
    if isinstance(policy, Categorical):
        return "probability", jax.nn.softmax(jnp.asarray(policy.logits) / (1.0 if draws else SHARPER))
    if "scores" in decision.extras:
        return "score", jnp.asarray(decision.extras["scores"])
    if isinstance(space, gymnasium.spaces.Discrete):
        chosen = jnp.arange(int(space.n)) == jnp.asarray(decision.action) - int(space.start)
        return "choice", chosen.astype(jnp.float32)
    action = decision.action if policy is None else policy.mode()
    return "action", jnp.concatenate([jnp.ravel(jnp.asarray(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(action)])


def _forbidden(agent: Agent, lifetime: LoggedSlots, slot: int) -> list[int]:
    """Places of the actions that the observation of a slot forbids."""
    if not agent.spec.action_mask:
        return []
    return np.flatnonzero(~np.asarray(agent.spec.allowed(jnp.asarray(lifetime.observation)[slot]))).tolist()


def _distance(numbers: Array, moved: np.ndarray, kind: str) -> float:
    change = np.abs(np.asarray(numbers) - moved)
    return float(change.sum() / 2 if kind in ("probability", "choice") else change.max())


def _beliefs(decision: Decision) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Means and deviations by name, of the agent's own belief and of a readout's."""
    found: dict[str, tuple[Any, Any]] = {}
    belief = decision.extras.get("belief")
    if belief is not None:
        pairs = zip(named_leaves(belief.mean).items(), named_leaves(belief.deviation).values(), strict=True)
        whole = LATENT if "policy" in decision.extras else "the task"
        found |= {whole if name == "task" else name: (mean, spread) for (name, mean), spread in pairs}
    for name, estimate in decision.extras.get("parameters", {}).items():
        moments = (estimate.mean, estimate.deviation) if hasattr(estimate, "mean") and hasattr(estimate, "deviation") else None
        found[name] = moments or (estimate, np.sqrt(np.asarray(estimate) * (1 - np.asarray(estimate))))
    return {name: (_of_two(mean, mean), _of_two(spread, mean)) for name, (mean, spread) in found.items()}


def _of_two(values: Any, mean: Any) -> tuple[float, ...]:
    """Numbers in one row; of two probabilities that add up to one, the first."""
    values, mean = np.asarray(values, np.float64), np.asarray(mean)
    pairs = mean.ndim > 1 and mean.shape[-1] == 2 and np.allclose(mean.sum(-1), 1, atol=1e-4)
    return tuple(np.ravel(values[..., 0] if pairs else values).tolist())
