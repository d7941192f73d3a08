"""Laws of served sessions, for all agents: a memory does not depend on the order in which rewards arrive.

Lifetimes come from the compiled rollout. Their rewards are shuffled, repeated, held back and lost. The memory of the fast path
is compared with a replay of the same lifetime in order, to the last bit; and the replay with the memory of the rollout.
"""

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laws.by_hand import assert_close
from laws.cases import MAKERS
from laws.subject import LIFETIMES, Subject, row
from quickstudy.serving.events import Acted, Rewarded
from quickstudy.serving.judgement import effect_of_reward
from quickstudy.serving.memory import begun, bring_up_to_date, replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.programs import AgentPrograms
from quickstudy.serving.record import Record

EXAMPLES = 20


class Recorded:
    """An agent's programs, and its lifetimes from the rollout as messages."""

    def __init__(self, name):
        self.subject = Subject(name)
        self.agent = self.subject.agent
        self.programs = AgentPrograms(self.agent, self.subject.params)
        self.key = [np.asarray(jax.random.key_data(jax.random.split(key)[0])) for key in self.subject.keys]
        self.messages = [self.messages_of(number) for number in range(LIFETIMES)]

    def messages_of(self, number):
        """`(acted, rewarded)` for every valid slot of a lifetime."""
        *_, lifetime, _ = self.subject.one(number)
        pairs = []
        for slot in np.flatnonzero(lifetime.valid).tolist():
            step, name = row(lifetime, slot), str(slot)
            seen = self.programs.observation.pack_host(step.observation).tobytes()
            decision = self.programs.decision.pack_host(step.decision).tobytes()
            successor = self.programs.observation.pack_host(step.outcome.observation).tobytes()
            acted = Acted(at=0.0, slot=slot, decision_id=name, observation=seen, decision=decision, due=None)
            rewarded = Rewarded(
                at=0.0,
                decision_id=name,
                reward=float(step.outcome.reward),
                reward_id="",
                successor=successor,
                terminated=bool(step.outcome.terminated),
                truncated=bool(step.outcome.truncated),
            )
            pairs.append((acted, rewarded))
        return pairs

    def record(self):
        return Record(self.agent.spec, cadence=self.agent.cadence, policy=SessionPolicy())

    def in_order(self, number, *, lost=()):
        """The record of a lifetime whose rewards came at once; those of some slots never."""
        record = self.record()
        for acted, rewarded in self.messages[number]:
            record.apply(acted)
            if acted.slot not in lost:
                record.apply(rewarded)
        return record


QUICK = {
    "rl2 gru 8 on corridor",
    "varibad 8 8 2 both on corridor",
    "maml (8,) 1 on corridor",
    "random on console",
    "trace_agent every 8 on corridor",
}
"""One of each kind: a recurrent state, a belief, gradient steps, actions of several parts, and a cadence beyond an episode."""
assert set(MAKERS) >= QUICK


def parameter(name):
    return pytest.param(name, marks=[pytest.mark.xdist_group(name), *([] if name in QUICK else [pytest.mark.slow])])


@pytest.fixture(scope="module", params=[parameter(name) for name in MAKERS])
def case(request):
    return Recorded(request.param)


def test_a_replay_gives_the_memory_of_the_rollout(case):
    for number in (0, LIFETIMES - 1):
        *_, memory = case.subject.one(number)
        words = replayed(case.programs, case.in_order(number), case.key[number])
        assert_close(jax.device_get(jax.jit(case.programs.memory.unpack)(words)), memory)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(data=st.data())
def test_the_memory_does_not_depend_on_the_order_of_rewards(case, data):
    numbers = data.draw(st.lists(st.integers(0, LIFETIMES - 1), min_size=1, max_size=3, unique=True))
    lost, sent = {}, []
    for number in numbers:
        slots = [acted.slot for acted, _ in case.messages[number]]
        lost[number] = set(data.draw(st.lists(st.sampled_from(slots), max_size=3)))
        # A reward comes some messages after its decision, and some come twice.
        for place, (acted, rewarded) in enumerate(case.messages[number]):
            sent.append((place, 0, number, acted))
            if acted.slot not in lost[number]:
                delays = data.draw(st.lists(st.integers(0, len(slots)), min_size=1, max_size=2))
                sent += [(place + delay, 1, number, rewarded) for delay in delays]
    records = {number: case.record() for number in numbers}
    memories = dict(zip(numbers, begun(case.programs, [case.key[number] for number in numbers]), strict=True))
    for *_, number, message in sorted(sent, key=lambda one: one[:2]):
        record = records[number]
        step = None if isinstance(message, Acted) else record.by_id.get(message.decision_id)
        if isinstance(message, Acted) or (step is not None and effect_of_reward(record, step, message) == "applied"):
            record.apply(message)
        if data.draw(st.booleans()):
            bring_up_to_date(case.programs, [(records[number], memories[number]) for number in numbers])
    bring_up_to_date(case.programs, [(records[number], memories[number]) for number in numbers])
    for number in numbers:
        meant = replayed(case.programs, case.in_order(number, lost=lost[number]), case.key[number])
        np.testing.assert_array_equal(memories[number].working, meant)
