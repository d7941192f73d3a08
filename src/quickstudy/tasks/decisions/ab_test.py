"""A/B tests: which arm gets the next users, and when the test ends with which arm shipped.

A test has k arms, and arm 0 is the control. Users come in looks (the batches after which a platform shows its counts), k times
`users_per_look` each. After every look the agent continues for another one, or ships an arm to all users who are left of
`horizon_users`. `baselines.models.ab_test` has the actions and the observation.

- Drawn once per lifetime: the base rate ~ Beta(2, 38) within 0.002 and 0.5; the lift of each treatment in log-odds,
  ~ N(0, 0.15²), or exactly 0 with the probability `null_share`; and, if set, novelty, which fades within 2 to
  10 looks; the amplitude of the week; the delay of conversions.
- Reward: minus the expected conversions that were lost against showing the best arm to all users from the start. It is paid
  when the test ends: paid earlier, it would reveal the lifts. So the ceiling is exactly 0, and regret is conversions lost.
  The best arm has its long-run rate here. With novelty, weekdays or a flip, an arm may convert better than that for some
  looks, and a return may then exceed 0.
- With `expected_rewards`, tests of `train` pay the expectation of this loss, given counts and prior. Its mean over tests
  is the same, up to a normal approximation, and its standard deviation is less than half. Other splits pay the loss itself.
- `objective="regret"`: any arm may be shipped at any look. Going on after the last look ships the arm that looks best.
- `objective="inference"`: a treatment may be shipped only once the gate agrees (`baselines.models.gate`), so a treatment that
  is not better is shipped in at most 5 % of tests, whatever the agent does. The observation ends with a mask of allowed
  actions. Going on after the last look keeps the control.

What is hidden in a test, and the rates that follow from it, are in `ab_test_task`. An arm that is shipped earns its long-run
rate, without novelty and with the sign after a flip. The best arm has the highest long-run rate.

Splits are disjoint by construction: `mark_split` writes the number of the split into the base rate.

- `train`, `test`: as above.
- `ood:null`: every lift is exactly 0. This split measures the rate of false ships.
- `ood:large-lifts`: lifts with a standard deviation of 0.4.
- `ood:delays`: conversions that come 14 looks late on average.
- `ood:trend-flip`: all lifts change their sign, at a look between a quarter and three quarters of the test.
- `ood:rare`: base rates between 0.00025 and 0.001.
- `ood:sample-ratio-mismatch`: 5 % of the users of each treatment are not counted, none of whom converted.

More than two arms are a setting, `arms`. The rules and their figures are in docs/ab-tests.md.
"""

import dataclasses
from typing import Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.models import ab_test as model
from quickstudy.baselines.models import gate as gates
from quickstudy.baselines.models.lift_belief import expected_conversions_lost, lift_belief
from quickstudy.numerics.count_quantiles import binomial_quantile
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.memory import check_memory
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.decisions.ab_test_rules import rules_of_ab_tests
from quickstudy.tasks.decisions.ab_test_task import AbTestTask, describe, long_run, rates_at

SPLITS = (
    "train",
    "test",
    "ood:null",
    "ood:large-lifts",
    "ood:delays",
    "ood:trend-flip",
    "ood:rare",
    "ood:sample-ratio-mismatch",
)
RATES = (0.002, 0.5)
"""Lowest and highest base rate, except in `ood:rare`."""
LARGE_LIFTS, LONG_DELAY, RARE, UNCOUNTED = 0.4, 14.0, (0.00025, 0.001), 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbTest:
    """A/B tests with a prior over what differs between them.

    Args:
      arms: number of arms of a test, 2 to 12; one is the control.
      looks: largest number of interim looks at a test, at least 2. One look is a day if there are weekdays.
      users_per_look: users of each arm in one look, at least 1.
      horizon_users: total number of users, in the test and after it; at least those of all looks.
      base_rate_alpha: α of the Beta distribution of base rates, above 0.
      base_rate_beta: β of the Beta distribution of base rates, above 0.
      lift_deviation: standard deviation of lifts that are not null, in log-odds; above 0.
      null_share: probability that a lift is exactly 0, in [0, 1].
      novelty_deviation: standard deviation of the first excess of a new arm, in log-odds; 0 or more.
      weekday_amplitude: largest amplitude of the week, as a part of the base rate, in [0, 1).
      delay_looks: largest mean delay of conversions, in looks; 0 or more.
      expected_rewards: whether `train` pays expected losses; for two arms that keep their rates.
      objective: `regret` lets an arm be shipped at any look; `inference` lets a treatment be shipped only once the gate agrees.
    Raises:
      SpecError: a setting out of its range.
      UnknownNameError: another objective.
    Source: ours. The default prior is that of docs/ab-tests.md.
    """

    arms: int = 2
    looks: int = 40
    users_per_look: int = 500
    horizon_users: int = 200_000
    base_rate_alpha: float = 2.0
    base_rate_beta: float = 38.0
    lift_deviation: float = 0.15
    null_share: float = 0.6
    novelty_deviation: float = 0.0
    weekday_amplitude: float = 0.0
    delay_looks: float = 0.0
    expected_rewards: bool = False
    objective: Literal["regret", "inference"] = "regret"

    def __post_init__(self) -> None:
        least = {"looks": 2, "users_per_look": 1, "novelty_deviation": 0, "delay_looks": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise SpecError(f"{name} must be {value} or more; came {getattr(self, name)}.")
        for name in ("base_rate_alpha", "base_rate_beta", "lift_deviation"):
            if not getattr(self, name) > 0:
                raise SpecError(f"{name} must be above 0; came {getattr(self, name)}.")
        if not 2 <= self.arms <= 12:
            raise SpecError(f"arms must be 2 to 12; came {self.arms}.")
        if not 0 <= self.null_share <= 1 or not 0 <= self.weekday_amplitude < 1:
            came = f"{self.null_share} and {self.weekday_amplitude}"
            raise SpecError(f"null_share must be within 0 and 1, and weekday_amplitude 0 or more and below 1; came {came}.")
        if self.expected_rewards and (self.arms > 2 or self.novelty_deviation or self.weekday_amplitude or self.delay_looks):
            given = (self.arms, self.novelty_deviation, self.weekday_amplitude, self.delay_looks)
            raise SpecError(
                "expected_rewards needs 2 arms without novelty, weekdays and delays, which the belief does not know; "
                f"came arms, novelty_deviation, weekday_amplitude and delay_looks {given}."
            )
        if self.horizon_users < self.test_users:
            raise SpecError(
                f"horizon_users must be at least the {self.test_users:,} of all looks; came {self.horizon_users:,}."
            )
        if self.objective not in ("regret", "inference"):
            raise UnknownNameError("objective", self.objective, ("regret", "inference"))
        check_memory(64 * self.arms * self.looks, what=f"a test of {self.looks:,} looks", remedy="Use fewer.")

    @property
    def test_users(self) -> int:
        """Users of all looks and arms."""
        return self.arms * self.looks * self.users_per_look

    @property
    def gated(self) -> bool:
        """Whether the gate must agree before a treatment is shipped."""
        return self.objective == "inference"

    @property
    def spec(self) -> Spec:
        """Spaces and lengths."""
        size = model.observation_size(self.arms, gated=self.gated)
        return Spec(
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,)),
            action_space=gymnasium.spaces.Discrete(model.actions_of(self.arms)),
            horizon=self.looks,
            episodes=1,
            action_mask=self.gated,
        )


@record
class Running:
    """A running test: what is seen, conversions still to come `[arms]`, conversions lost `[]`, and the gate."""

    seen: model.Experiment
    coming: Float[Array, " arms"]
    lost: Float[Array, ""]
    gate: gates.Gate


@made_of(AbTest)
def ab_test(settings: AbTest) -> TaskDistribution:
    """A/B tests as a task distribution."""
    spec, arms, looks = settings.spec, settings.arms, settings.looks
    users = float(arms * settings.users_per_look)

    def observe(running: Running) -> Array:
        shown = model.observed(running.seen, looks=looks)
        if not settings.gated:
            return shown
        allowed = jnp.concatenate([jnp.ones(arms + 2), gates.agrees(running.gate).astype(jnp.float32)])
        return jnp.concatenate([shown, gates.distances(running.gate) / 3, allowed])

    def look_once(task: AbTestTask, running: Running, share: Array, key: PRNGKeyArray) -> Running:
        key_conversions, key_arrival = jax.random.split(key)
        seen, look = running.seen, running.seen.look + 1.0
        rate, best = rates_at(task, look), long_run(task).max()
        came = jnp.round(share * users)
        converted = binomial_quantile(jax.random.uniform(key_conversions, (arms,)), came, rate)
        coming = running.coming + converted
        arrived = jnp.floor(task.arrives * coming + jax.random.uniform(key_arrival))
        arrived = jnp.clip(arrived, 0.0, coming)
        treatment = jnp.arange(arms) > 0
        counted = jnp.where(treatment, jnp.maximum(came - jnp.round(task.uncounted * came), converted), came)
        gate = gates.after_look(running.gate, counted, arrived, look=look, looks=looks)
        after = model.Experiment(
            look=look,
            left=seen.left - came.sum(),
            users=seen.users + counted,
            conversions=seen.conversions + arrived,
            distance=gates.distances(gate),
        )
        return Running(seen=after, coming=coming - arrived, lost=running.lost + (came * (best - rate)).sum(), gate=gate)

    def reset(task: AbTestTask, key: PRNGKeyArray) -> tuple[Running, Array]:
        zeros = jnp.zeros(arms)
        seen = model.Experiment(
            look=jnp.float32(0.0),
            left=jnp.float32(settings.horizon_users),
            users=zeros,
            conversions=zeros,
            distance=jnp.zeros(arms - 1),
        )
        before = Running(seen=seen, coming=zeros, lost=jnp.float32(0.0), gate=gates.closed_gate(arms - 1))
        running = look_once(task, before, jnp.full(arms, 1 / arms), key)
        return running, observe(running)

    def step(task: AbTestTask, state: Running, action: Array, key: PRNGKeyArray) -> tuple[Running, Outcome]:
        last = state.seen.look >= looks
        ships = action > arms
        fallback = jnp.int32(0) if settings.gated else jnp.argmax(model.rates(state.seen)).astype(jnp.int32)
        arm = jnp.where(ships, action - arms - 1, fallback)
        if settings.gated:  # no agent that is held to the mask comes here with a forbidden arm; a rule without it may
            arm = jnp.asarray(arm, jnp.int32)
        longrun = long_run(task)
        lost = state.lost + state.seen.left * (longrun.max() - longrun[arm])
        if settings.expected_rewards:
            belief = lift_belief(state.seen, lift_deviation=settings.lift_deviation, null_share=settings.null_share)
            shown = state.seen.users + state.seen.left * jax.nn.one_hot(arm, arms)
            lost = jnp.where(task.expects, expected_conversions_lost(belief, shown), lost)
        ends = ships | last
        going = look_once(task, state, model.shares(action, arms=arms), key)
        after = jax.tree.map(lambda new, old: jnp.where(ends, old, new), going, state)
        reward = jnp.where(ends, -lost, 0.0)
        return after, Outcome(observation=observe(after), reward=reward, terminated=ends, truncated=jnp.asarray(False))

    def floor(task: AbTestTask) -> Array:
        """On average, random actions give all arms the same number of users, and ship each arm equally often.

        It leaves out what tests lose later that go on after the last look: they ship the arm that looks best, so this depends
        on the counts. Of tests of two arms, these are one in 13 after 5 looks, one in 165 after 10, and hardly any after 40.
        """
        at = jnp.arange(1.0, looks + 1)
        longrun, best = long_run(task), long_run(task).max()
        tested = users * jax.vmap(lambda look: best - rates_at(task, look).mean())(at)
        goes_on = (arms + 1) / model.actions_of(arms)
        reached = goes_on ** (at - 1)
        left = settings.horizon_users - users * at
        ends = reached * (1 - goes_on) * left * (best - longrun.mean())
        return -((reached * tested).sum() + ends.sum())

    return TaskDistribution(
        name="ab-test",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=SPLITS,
        sample=lambda split, key: drawn_test(settings, split, key),
        reset=reset,
        step=step,
        describe=describe,
        # What random actions may ship in `inference` depends on the gate, and after the last look of `regret` on the counts.
        floor=None if settings.gated else floor,
        ceiling=lambda task: jnp.zeros_like(task.base_rate),
        baselines=rules_of_ab_tests(
            spec,
            base_rate=(settings.base_rate_alpha, settings.base_rate_beta),
            lift_deviation=settings.lift_deviation,
            null_share=settings.null_share,
            users_per_look=settings.users_per_look,
            horizon_users=settings.horizon_users,
        ),
    )


def drawn_test(settings: AbTest, split: str, key: PRNGKeyArray) -> AbTestTask:
    """The hidden part of a test of a split."""
    keys = jax.random.split(key, 9)
    treatments = (settings.arms - 1,)
    base = jax.random.beta(keys[0], settings.base_rate_alpha, settings.base_rate_beta)
    base = jnp.clip(base, *RATES)
    if split == "ood:rare":
        base = jax.random.uniform(keys[0], minval=RARE[0], maxval=RARE[1])
    deviation = LARGE_LIFTS if split == "ood:large-lifts" else settings.lift_deviation
    null = jax.random.uniform(keys[1], treatments) < (1.0 if split == "ood:null" else settings.null_share)
    lift = jnp.where(null, 0.0, deviation * jax.random.normal(keys[2], treatments))
    flip = jnp.round(settings.looks * jax.random.uniform(keys[3], minval=0.25, maxval=0.75))
    delay = settings.delay_looks * jax.random.uniform(keys[4])
    return AbTestTask(
        base_rate=mark_split(base, split, SPLITS),
        lift=lift,
        novelty=settings.novelty_deviation * jnp.abs(jax.random.normal(keys[5], treatments)),
        fades=jax.random.uniform(keys[6], minval=2.0, maxval=10.0),
        week=settings.weekday_amplitude * jax.random.uniform(keys[7]),
        arrives=1 / (1 + (jnp.float32(LONG_DELAY) if split == "ood:delays" else delay)),
        flip=flip if split == "ood:trend-flip" else jnp.zeros_like(flip),
        uncounted=jnp.float32(UNCOUNTED if split == "ood:sample-ratio-mismatch" else 0.0),
        expects=jnp.asarray(settings.expected_rewards and split == "train"),
    )
