"""A/B tests: base rates, lifts and the share of treatments without effect, fitted to a table of past tests.

    test,arm,users,conversions           one row for each arm of a test
    test,arm,day,users,conversions       one row for each day of an arm; a column `segment` divides rows too. They are added up

`numerics.empirical_bayes` has the estimates. The first arm of a test is its control.
"""

import dataclasses
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.fitting.days import Zones, check_no_day_missing
from quickstudy.fitting.repeated_rows import Repetitions
from quickstudy.fitting.results import Fitted, Histogram, Match
from quickstudy.fitting.tables import Column, Table
from quickstudy.numerics.empirical_bayes import LIFTS, BetaFit, LiftFit, fit_beta, fit_lifts, lift_likelihoods
from quickstudy.protocol.errors import UsageError

COLUMNS = (
    Column(name="test", also=("experiment", "test_id", "experiment_id")),
    Column(name="arm", also=("variant", "group", "version")),
    Column(name="users", also=("visitors", "sessions", "n"), kind="whole"),
    Column(name="conversions", also=("converted", "successes", "clicks"), kind="whole"),
    Column(name="day", also=("date",), kind="day", optional=True),
    Column(name="segment", optional=True),
)
LEAST_TESTS, FEW_TESTS = 8, 30
_CONTROLS = ("control", "base", "baseline", "a", "0")
_LOOKS, _TABLES = 40, 300
TASK_RATES, MOST_ARMS = (0.002, 0.5), 12
"""Lowest and highest base rate, and most arms, of the tasks `ab-test`."""
_USERS_AFTER = 10
"""Users who come after a test for each user in it, if no setting says it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PastTests:
    """Counts of past tests.

    Args:
      names: of the tests.
      arms: of each test, its control first.
      users, conversions: of each arm of each test.
      days: of each test; 0 where the table has no days.
      rows: of the table.
    """

    names: list[str]
    arms: list[list[str]]
    users: list[list[int]]
    conversions: list[list[int]]
    days: list[int]
    rows: int

    def some(self, chosen: np.ndarray) -> "PastTests":
        """The tests that are chosen, by truth values."""
        at = np.flatnonzero(chosen)
        fields = ("names", "arms", "users", "conversions", "days")
        columns: dict[str, Any] = {name: [getattr(self, name)[i] for i in at] for name in fields}
        return dataclasses.replace(self, **columns)

    @property
    def controls(self) -> tuple[np.ndarray, np.ndarray]:
        """Users and conversions `[tests]` of the controls."""
        users, conversions = (np.asarray([one[0] for one in column], float) for column in (self.users, self.conversions))
        return users, conversions

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Users and conversions `[pairs]` of the control, then of the treatment; one pair for each treatment."""
        rows = [
            (users[0], conversions[0], users[arm], conversions[arm])
            for users, conversions in zip(self.users, self.conversions, strict=True)
            for arm in range(1, len(users))
        ]
        n0, x0, n1, x1 = np.asarray(rows, float).T
        return n0, x0, n1, x1


def read_tests(records: Any, *, control: str | None = None, missing_days: bool = False) -> PastTests:
    """Reads a table of past tests, in memory that depends on the number of tests and not on the number of rows.

    Args:
      records: as of `Table`.
      control: name of the control arm; if not given, the arm called control, base, A or 0, else the first by its name.
      missing_days: allow tests with gaps between their days.
    Raises:
      UsageError: a fault of the table; names line and column, or the test.
    """
    table = Table(records)
    table.columns(COLUMNS)
    sums: dict[str, dict[str, list[int]]] = {}
    days: dict[str, set[int]] = {}
    zones, repetitions, rows = Zones(table.name), Repetitions(table.name), 0
    for line, row in table.rows(COLUMNS):
        rows += 1
        if row["conversions"] > row["users"]:
            raise UsageError(
                f"{table.name}, line {line}: {row['conversions']} conversions of {row['users']} users. A user converts at most "
                "once here; count users who converted."
            )
        if row["day"] is not None:
            zones.check(row["day"], line)
            days.setdefault(row["test"], set()).add(row["day"].number)
        repetitions.add(_identity(row))
        counts = sums.setdefault(row["test"], {}).setdefault(row["arm"], [0, 0])
        counts[0] += row["users"]
        counts[1] += row["conversions"]
    repetitions.check(lambda: ((line, _identity(row)) for line, row in table.rows(COLUMNS)))
    if len(sums) < LEAST_TESTS:
        raise UsageError(
            f"{table.name} has {rows} rows of {len(sums)} tests; a distribution of tests needs {LEAST_TESTS} tests or more, "
            f"and is useful from about {FEW_TESTS}. Add past tests, or set the prior by hand: quickstudy train rl2 ab-test "
            "--lift-deviation 0.15 --null-share 0.6"
        )
    for test, found in days.items():
        if not missing_days:
            check_no_day_missing(table.name, f"test {test!r}", found)
    tests = _tests(table.name, sums, days, rows, control)
    users, conversions = (sum(map(sum, column)) for column in (tests.users, tests.conversions))
    if conversions in (0, users):
        what = "no user" if conversions == 0 else "every user"
        raise UsageError(f"{table.name}: {what} converted in any test, so nothing can be estimated. Count another conversion.")
    return tests


def fit_ab_tests(
    records: Any,
    *,
    held_out: float = 0.2,
    seed: int = 0,
    control: str | None = None,
    horizon_users: int | None = None,
    missing_days: bool = False,
) -> Fitted:
    """Fits the tasks `ab-test` to past tests.

    Args:
      records, control, missing_days: as of `read_tests`.
      held_out: share of the tests that are used for checks only.
      seed: which tests are held out, and of simulated tables.
      horizon_users: users in all, in a test and after it; eleven times those of a usual test if not given.
    Raises:
      UsageError: a fault of the table, a share out of range, or fewer users in all than a usual test has.
    """
    if not 0 <= held_out <= 0.5:
        raise UsageError(f"held_out must be a share between 0 and 0.5; came {held_out!r}.")
    tests = read_tests(records, control=control, missing_days=missing_days)
    order = np.asarray([zlib.crc32(f"{seed} {name}".encode()) for name in tests.names]).argsort()
    chosen = np.zeros(len(order), bool)
    chosen[order[: round(held_out * len(order))]] = True
    known, checked = tests.some(~chosen), tests.some(chosen if chosen.any() else ~chosen)
    rates = fit_beta(*known.controls)
    pairs = known.pairs
    lifts = fit_lifts(lift_likelihoods(rates, pairs[:2], pairs[2:]))
    matches, histograms = check_fit(checked, rates, lifts, seed=seed)
    notes = (*_notes(tests, known, lifts, horizon_users), *Table(records).note_of_others(COLUMNS))
    return Fitted(
        kind="ab-test",
        distribution="ab-test",
        source=Table(records).name,
        rows=tests.rows,
        tasks=len(known.names),
        held_out=int(chosen.sum()),
        fitted={
            "base_rate_alpha": rates.alpha,
            "base_rate_beta": rates.beta,
            "lift_deviation": lifts.deviation,
            "null_share": lifts.null_share,
        },
        chosen=_lengths(tests, horizon_users),
        intervals={"lift_deviation": lifts.deviation_interval, "null_share": lifts.null_share_interval},
        matches=matches,
        histograms=histograms,
        notes=notes,
    )


def check_fit(
    tests: PastTests, rates: BetaFit, lifts: LiftFit, *, seed: int, tables: int = _TABLES
) -> tuple[tuple[Match, ...], tuple[Histogram, ...]]:
    """Posterior predictive checks: the real tests beside simulated ones with the same numbers of users.

    Args:
      tests: that are checked.
      rates, lifts: the fit.
      seed: of the simulation.
      tables: simulated, each of as many tests.
    """
    random = np.random.default_rng(seed)
    users, conversions = tests.controls
    n0, x0, n1, x1 = tests.pairs
    test_of = np.repeat(np.arange(len(users)), [len(one) - 1 for one in tests.users])
    simulated = []
    for _ in range(tables):
        rate = np.clip(random.beta(rates.alpha, rates.beta, len(users)), *TASK_RATES)
        lift = np.where(random.random(len(n1)) < lifts.null_share, 0.0, lifts.deviation * random.standard_normal(len(n1)))
        odds = np.log(rate[test_of] / (1 - rate[test_of])) + lift
        control = random.binomial(users.astype(int), rate)
        simulated.append((control, random.binomial(n1.astype(int), 1 / (1 + np.exp(-odds)))))
    numbers = [_quantities(users, control, n0, control[test_of], n1, treated) for control, treated in simulated]
    real = _quantities(users, conversions, n0, x0, n1, x1)
    matches = tuple(Match.of(name, real[name], np.asarray([one[name] for one in numbers])) for name in real)
    some = [_lift(n0, control[test_of], n1, treated) for control, treated in simulated[:20]]
    return matches, (
        Histogram(
            name="conversion rate of the control",
            real=tuple((conversions / np.maximum(users, 1)).tolist()),
            simulated=tuple(np.concatenate([control / np.maximum(users, 1) for control, _ in simulated[:20]]).tolist()),
        ),
        Histogram(
            name="measured lift (log-odds)",
            real=tuple(_lift(n0, x0, n1, x1).tolist()),
            simulated=tuple(np.concatenate(some).tolist()),
        ),
    )


def _quantities(
    users: np.ndarray, control: np.ndarray, n0: np.ndarray, x0: np.ndarray, n1: np.ndarray, x1: np.ndarray
) -> dict[str, float]:
    """The quantities of a table of tests that checks compare."""
    rate = np.maximum(control, 0.5) / np.maximum(users, 1)
    lift = _lift(n0, x0, n1, x1)
    z = np.abs(lift) / _noise(n0, x0, n1, x1)
    return {
        "median conversion rate of the control": float(np.median(rate)),
        "spread of these rates (log-odds)": float(np.std(np.log(rate / (1 - np.minimum(rate, 1 - 1e-9))))),
        "standard deviation of measured lifts (log-odds)": float(np.std(lift)),
        "share of treatments with |z| above 1.96": float((z > 1.96).mean()),
        "largest |z|": float(z.max()),
    }


def _lift(n0: np.ndarray, x0: np.ndarray, n1: np.ndarray, x1: np.ndarray) -> Float[np.ndarray, " pairs"]:
    return np.log((x1 + 0.5) / (n1 - x1 + 0.5)) - np.log((x0 + 0.5) / (n0 - x0 + 0.5))


def _noise(n0: np.ndarray, x0: np.ndarray, n1: np.ndarray, x1: np.ndarray) -> Float[np.ndarray, " pairs"]:
    """Standard errors of the measured lifts, in log-odds."""
    return np.sqrt(sum(1 / (count + 0.5) for count in (x0, n0 - x0, x1, n1 - x1)))


def _identity(row: dict[str, Any]) -> tuple:
    return row["test"], row["arm"], row["day"], row["segment"]


def _tests(
    table: str, sums: dict[str, dict[str, list[int]]], days: dict[str, set[int]], rows: int, control: str | None
) -> PastTests:
    found = PastTests(names=[], arms=[], users=[], conversions=[], days=[], rows=rows)
    for test, arms in sums.items():
        if len(arms) < 2:
            raise UsageError(
                f"{table}: test {test!r} has one arm only ({next(iter(arms))!r}). Leave it out, or add its control."
            )
        empty = [arm for arm, (users, _) in arms.items() if users == 0]
        if empty:
            raise UsageError(f"{table}: arm {empty[0]!r} of test {test!r} has no users. Leave the arm out.")
        first = _control(table, test, list(arms), control)
        order = [first, *sorted(arm for arm in arms if arm != first)]
        found.names.append(test)
        found.arms.append(order)
        found.users.append([arms[arm][0] for arm in order])
        found.conversions.append([arms[arm][1] for arm in order])
        found.days.append(len(days.get(test, ())))
    return found


def _control(table: str, test: str, arms: list[str], control: str | None) -> str:
    if control is not None:
        if control not in arms:
            raise UsageError(f"{table}: test {test!r} has no arm {control!r}; it has {', '.join(sorted(arms))}.")
        return control
    named = [arm for word in _CONTROLS for arm in arms if arm.lower() == word]
    return named[0] if named else min(arms)


def _lengths(tests: PastTests, horizon_users: int | None) -> dict[str, int]:
    """Arms, looks and users of a usual test."""
    arms = int(np.median([len(one) for one in tests.arms]))
    looks = int(np.median(tests.days)) if _has_looks(tests) else _LOOKS
    each = float(np.median([np.mean(users) for users in tests.users]))
    per_look = max(1, round(each / looks))
    arms = min(max(arms, 2), MOST_ARMS)
    least = arms * looks * per_look
    if horizon_users is not None and horizon_users < least:
        raise UsageError(
            f"horizon_users must be at least the {least:,} users of a usual test of the table; came {horizon_users:,}."
        )
    return {
        "arms": arms,
        "looks": looks,
        "users_per_look": per_look,
        "horizon_users": (1 + _USERS_AFTER) * least if horizon_users is None else horizon_users,
    }


def _has_looks(tests: PastTests) -> bool:
    """Whether tests have rows of several days. One day of a test is its date, and no look at it."""
    return float(np.median(tests.days)) >= 2


def _notes(tests: PastTests, known: PastTests, lifts: LiftFit, horizon_users: int | None) -> tuple[str, ...]:
    notes = []
    if len(tests.names) < FEW_TESTS:
        notes.append(f"{len(tests.names)} tests are few: the intervals are wide. {FEW_TESTS} or more are better.")
    low, high = lifts.null_share_interval
    if high - low > 0.5:
        notes.append("The table says little about the share of null treatments: many small lifts look like few large ones.")
    n0, x0, n1, x1 = known.pairs
    step = float(LIFTS[1] - LIFTS[0])
    if np.median(_noise(n0, x0, n1, x1)) < step:
        notes.append(
            f"Tests as large as these tell lifts apart that differ by less than {step:.2g}, the step of the estimate. So lifts "
            "below this count as null, and the intervals are too narrow."
        )
    if not _has_looks(tests):
        what = "one day for each test" if any(tests.days) else "no days"
        notes.append(f"The table has {what}, so a test is taken as {_LOOKS} looks.")
    if horizon_users is None:
        notes.append(f"Users after a test are not in the table: {_USERS_AFTER} for each user in it are assumed.")
    users, conversions = tests.controls
    outside = ((conversions / users < TASK_RATES[0]) | (conversions / users > TASK_RATES[1])).mean()
    if outside > 0.05:
        notes.append(
            f"{100 * outside:.0f} % of the controls convert at rates outside of {TASK_RATES[0]} to {TASK_RATES[1]}. "
            "The tasks keep base rates within these."
        )
    if max(map(len, tests.arms)) > MOST_ARMS:
        notes.append(f"Some tests have more than {MOST_ARMS} arms, the most that the tasks have.")
    if max(len(one) for one in known.arms) > 2:
        notes.append("Treatments of one test are taken as independent given its control.")
    return tuple(notes)
