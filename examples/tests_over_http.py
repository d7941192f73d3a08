"""Asks a served agent for decisions on A/B tests over HTTP, and carries them out on simulated users.

    quickstudy serve runs/my-agent --store sqlite:sessions.db
    python examples/tests_over_http.py runs/mine/tasks.py:make

The argument names the tasks that the agent was trained on: they say how many arms, looks and users a test has. In your platform
`Counts` is what it has counted so far, and `next_look` is where real users come.
"""

import argparse
import dataclasses
import json
import time
import urllib.request

import numpy as np

import quickstudy as qs
from quickstudy.baselines.models.ab_test import Experiment, observed, shares


@dataclasses.dataclass
class Counts:
    """What a platform shows of a test: looks done, users who are left, users and conversions of each arm."""

    look: int
    left: int
    users: np.ndarray
    conversions: np.ndarray

    def observation(self, looks):
        """The numbers that the agent reads."""
        seen = Experiment(
            look=np.float32(self.look),
            left=np.float32(self.left),
            users=np.float32(self.users),
            conversions=np.float32(self.conversions),
            distance=np.zeros(len(self.users) - 1, np.float32),
        )
        return [float(number) for number in observed(seen, looks=looks)]


def next_look(counts, action, rates, *, users, generator):
    """The counts after one more look, in which each arm has its part of the users."""
    parts = np.asarray(shares(np.int32(action), arms=len(rates)))
    came = np.round(parts * users * len(rates)).astype(int)
    converted = generator.binomial(came, rates)
    return Counts(counts.look + 1, counts.left - came.sum(), counts.users + came, counts.conversions + converted)


def in_words(action, arms):
    """An action as people say it."""
    if action == 0:
        return "go on, equal parts"
    return f"go on, most users on arm {action - 1}" if action <= arms else f"end the test, ship arm {action - arms - 1}"


def ask(url, body):
    """The answer of the server to one request."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main():
    """Runs tests, one after another, until there were enough decisions."""
    parser = argparse.ArgumentParser(description="Decisions of a served agent on simulated A/B tests.")
    parser.add_argument("tasks", help="PATH.py:FUNCTION of the tasks that the agent was trained on")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--decisions", type=int, default=10)
    asked = parser.parse_args()
    settings = qs.tasks.make(asked.tasks).config
    arms, looks, users = settings["arms"], settings["looks"], settings["users_per_look"]
    generator, began, made, number = np.random.default_rng(0), int(time.time()), 0, 0
    while made < asked.decisions:
        number += 1
        rates = generator.uniform(0.04, 0.06, arms)
        counts = next_look(
            Counts(0, settings["horizon_users"], np.zeros(arms, int), np.zeros(arms, int)), 0, rates, users=users,
            generator=generator,
        )  # fmt: skip
        ended = False
        while made < asked.decisions and not ended:
            session = f"{asked.url}/v1/sessions/test-{began}-{number}"
            decided = ask(f"{session}/act", {"observation": counts.observation(looks)})
            action, made = decided["action"], made + 1
            print(f"test {number}, look {counts.look}, conversions {counts.conversions.tolist()}: {in_words(action, arms)}")
            ended = action > arms or counts.look >= looks
            if not ended:
                counts = next_look(counts, action, rates, users=users, generator=generator)
            # What a test loses is known when it is over, and the agent reads all that it needs from the counts.
            outcome = {"decision_id": decided["decision_id"], "reward": 0.0, "terminated": ended}
            ask(f"{session}/reward", outcome | {"observation": counts.observation(looks)})


if __name__ == "__main__":
    main()
