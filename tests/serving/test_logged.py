"""The log of a store, read for off-policy evaluation: the value of a policy from the decisions of another one."""

from pathlib import Path

import numpy as np
import pytest

from quickstudy.numerics.off_policy import off_policy_value
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.engine import Engine
from quickstudy.serving.http.server import served_from_bundle
from quickstudy.serving.logged import logged_decisions
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.requests import Act, Reward, SessionName
from quickstudy.serving.stores import open_store

BUNDLE = Path(__file__).parents[2] / "bundles" / "bandit-n10-k5"
MEANS = np.array([0.2, 0.4, 0.6, 0.3, 0.5])


def test_a_policy_is_valued_from_the_log_of_another(tmp_path):
    served = served_from_bundle(str(BUNDLE), policy=SessionPolicy(at_end="new"))
    store, random = open_store(f"sqlite:{tmp_path / 'a.db'}"), np.random.default_rng(0)
    engine = Engine(served, store)
    engine.start()
    told = {}
    for session in range(150):
        name = SessionName("t", f"s{session}")
        for _ in range(3):
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            reward = float(random.random() < MEANS[decision["action"]])
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=reward))
            told.setdefault(name.session, []).append((decision["action"], reward, decision["propensity"]))
        engine.ask_and_wait(Act(name=name, observation=0))  # never rewarded
    engine.call(lambda shelf: None).result()
    log = logged_decisions(store, tenant="t", agent=served.digest, steps=3)
    for row, (session, _) in enumerate(log.lifetimes):
        came = list(zip(log.actions[row], log.rewards[row], log.propensities[row], strict=True))
        np.testing.assert_allclose(came, told[session], rtol=1e-6)
    first = slice(0, 1)  # at the first step the agent knows nothing and tries every arm
    report = off_policy_value(
        log.rewards[:, first], log.propensities[:, first], np.full((150, 1), 0.2), valid=np.ones((150, 1), bool)
    )
    estimate = report.estimates["SNIPS"]
    assert estimate.low <= MEANS.mean() <= estimate.high
    with pytest.raises(UsageError, match="longest has 3"):
        logged_decisions(store, tenant="t", agent=served.digest, steps=4)
    with pytest.raises(UsageError, match="no agent"):
        logged_decisions(store, tenant="t", agent="x", steps=1)
    engine.stop()
