"""Optimal values by recursion over whole histories in exact fractions: a reference that knows of no statistics or layers."""

from fractions import Fraction


def best_return(of, chance, successor, reward, *, start=0):
    """The best expected return by trying every action after every history.

    `chance(history, state, action)` gives a fraction for each outcome; a history is all that was recorded, (state, action,
    outcome) one by one.
    """

    def value(history, state):
        if len(history) == of.lifetime_steps:
            return Fraction(0)
        worths = []
        for action in range(of.action_space.n):
            worth = Fraction(0)
            for outcome, probability in enumerate(chance(history, state, action)):
                if probability:
                    led = int(successor[state][action][outcome]) if (len(history) + 1) % of.horizon else start
                    paid = Fraction(reward[state][action][outcome]).limit_denominator(1000)
                    worth += probability * (paid + value((*history, (state, action, outcome)), led))
            worths.append(worth)
        return max(worths)

    return value((), start)


def chance_by_counting(outcomes):
    """Laplace's rule of succession."""

    def chance(history, state, action):
        seen = [outcome for s, a, outcome in history if (s, a) == (state, action)]
        return [Fraction(seen.count(outcome) + 1, len(seen) + outcomes) for outcome in range(outcomes)]

    return chance


def posterior_of(tables, prior, history):
    """Bayes' rule, one step after another."""
    weights = list(prior)
    for state, action, outcome in history:
        weights = [weight * table[state][action][outcome] for weight, table in zip(weights, tables, strict=True)]
    return [weight / sum(weights) for weight in weights]


def chance_by_hypotheses(tables, prior):
    """The mean of the hypotheses under the posterior."""

    def chance(history, state, action):
        posterior = posterior_of(tables, prior, history)
        columns = zip(*(table[state][action] for table in tables), strict=True)
        return [sum(weight * one for weight, one in zip(posterior, column, strict=True)) for column in columns]

    return chance


def grid_tables(grid):
    """Chances and successors of a hidden goal, written anew: moves by coordinates."""
    moves = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1))
    within = lambda place: min(max(place, 0), grid.size - 1)  # noqa: E731
    led = [
        [within(cell // grid.size + up) * grid.size + within(cell % grid.size + right) for up, right in moves]
        for cell in range(grid.size**2)
    ]
    tables = [[[[Fraction(to != goal), Fraction(to == goal)] for to in row] for row in led] for goal in grid.goals]
    return tables, [[[to, to] for to in row] for row in led]
