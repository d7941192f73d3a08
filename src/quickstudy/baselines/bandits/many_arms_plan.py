"""The exact plan for a short bandit with any number of arms.

Arms are exchangeable, so a belief is the *multiset* of the records (successes, failures) of the arms that were pulled, and
its size is bounded by the pulls, not by the arms: 10 pulls make at most 2,296 beliefs, 15 pulls 51,312, however many arms.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

MOST_PULLS = 15

Code = int  # of a record: made (made + 1) / 2 + successes, where made = successes + failures; 0 is the untouched arm
Belief = tuple[Code, ...]  # of the touched arms, in order


class PlanOfManyArms(NamedTuple):
    """The optimal policy as a hashed table.

    A belief is found by the sum, modulo 2^32, of the weights of its arms' records; an untouched arm weighs nothing.

    `value`: expected return of a whole lifetime, in successes. `weights` `[pulls, pulls]` uint32, of a record (successes,
    failures). `hashes` `[beliefs]` uint32, rising, without duplicates. `successes`, `failures` `[beliefs]` int8: the record
    of an arm to pull.
    """

    value: float
    weights: np.ndarray
    hashes: np.ndarray
    successes: np.ndarray
    failures: np.ndarray


@functools.lru_cache(maxsize=8)
def plan_of_many_arms(arms: int, pulls: int) -> PlanOfManyArms:
    """Solves the bandit by dynamic programming over multisets of records.

    Args:
      arms: at least 1; more than `pulls` change nothing.
      pulls: from 1 to `MOST_PULLS`.
    """
    layers: list[set[Belief]] = [{()}]
    for _ in range(pulls - 1):
        layers.append({after for belief in layers[-1] for _, pair in _moves(belief, arms) for after in pair})
    value: dict[Belief, float] = {}
    choice: dict[Belief, Code] = {}
    for made in range(pulls - 1, -1, -1):
        following, value = value, {}
        for belief in layers[made]:
            value[belief], choice[belief] = max((_worth(code, pair, following), -code) for code, pair in _moves(belief, arms))
    chosen = [_record(-code) for code in choice.values()]
    weights, hashes = _hash_without_collision(list(choice), pulls)
    order = np.argsort(hashes)
    successes, failures = np.asarray(chosen, np.int8)[order].T
    return PlanOfManyArms(value[()], weights, hashes[order], successes, failures)


def _record(code: Code) -> tuple[int, int]:
    """Successes and failures of a code."""
    made = 0
    while (made + 1) * (made + 2) // 2 <= code:
        made += 1
    successes = code - made * (made + 1) // 2
    return successes, made - successes


_RECORDS = [_record(code) for code in range((MOST_PULLS + 1) * (MOST_PULLS + 2) // 2)]


def _moves(belief: Belief, arms: int) -> list[tuple[Code, tuple[Belief, Belief]]]:
    """Every different arm that could be pulled, with the beliefs after a success and after a failure."""
    moves = []
    for code in sorted({*belief, 0} if len(belief) < arms else set(belief)):
        rest = list(belief)
        if code:
            rest.remove(code)
        successes, failures = _RECORDS[code]
        made = successes + failures + 1
        failed = made * (made + 1) // 2 + successes
        moves.append((code, (tuple(sorted([*rest, failed + 1])), tuple(sorted([*rest, failed])))))
    return moves


def _worth(code: Code, pair: tuple[Belief, Belief], following: dict[Belief, float]) -> float:
    """Expected remaining return of pulling an arm of this record, and of acting optimally ever after."""
    successes, failures = _RECORDS[code]
    mean = (successes + 1) / (successes + failures + 2)
    after_success, after_failure = (following.get(belief, 0.0) for belief in pair)
    return mean * (1.0 + after_success) + (1.0 - mean) * after_failure


def _hash_without_collision(beliefs: list[Belief], pulls: int) -> tuple[np.ndarray, np.ndarray]:
    """Random weights under which no two beliefs have the same hash; found by trying."""
    records = np.asarray([_RECORDS[code] for belief in beliefs for code in belief], np.int64).reshape(-1, 2)
    owner = np.repeat(np.arange(len(beliefs)), [len(belief) for belief in beliefs])
    for seed in itertools.count():
        weights = np.random.default_rng(seed).integers(0, 2**32, size=(pulls, pulls), dtype=np.uint32)
        weights[0, 0] = 0
        hashes = np.zeros(len(beliefs), np.uint32)
        np.add.at(hashes, owner, weights[records[:, 0], records[:, 1]])
        if np.unique(hashes).size == len(beliefs):
            return weights, hashes
    raise AssertionError("unreachable: the seeds never end")
