"""What somebody probably meant by a name that is not known.

A suggestion is made only where it is likely to be right: a common name of the same setting in other libraries, a typing error,
or words that only one name has in common with it. A wrong suggestion is worse than none.
"""

from collections.abc import Sequence

SYNONYMS = {
    "activation-size": ("hidden-size",),
    "algorithms": ("list",),
    "algos": ("list",),
    "batch-size": ("lifetimes",),
    "benchmark": ("bench",),
    "buffer-size": ("room",),
    "checkpoint-freq": ("checkpoint-seconds",),
    "clip-coef": ("clip",),
    "clip-param": ("clip",),
    "clip-range": ("clip",),
    "cliprange": ("clip",),
    "ent-coef": ("entropy-bonus",),
    "entropy-coef": ("entropy-bonus",),
    "entropy-coeff": ("entropy-bonus",),
    "env-runners": ("workers",),
    "environments": ("list",),
    "envs": ("list",),
    "eval": ("evaluate",),
    "eval-episodes": ("held-out-tasks", "tasks"),
    "eval-freq": ("evaluation-seconds",),
    "eval-interval": ("evaluation-seconds",),
    "evaluation": ("evaluate",),
    "evaluation-duration": ("held-out-tasks", "tasks"),
    "evaluation-interval": ("evaluation-seconds",),
    "exp-name": ("folder",),
    "experiment-name": ("folder",),
    "fast-lr": ("inner-rate",),
    "fcnet-hiddens": ("hidden-sizes", "hidden-size"),
    "film": ("video",),
    "gae-lambda": ("trace-decay",),
    "gamma": ("discount",),
    "grad-clip": ("max-gradient-norm",),
    "hidden-dim": ("hidden-size", "hidden-sizes"),
    "hidden-units": ("hidden-size", "hidden-sizes"),
    "init-from": ("begin-with",),
    "inner-lr": ("inner-rate",),
    "lam": ("trace-decay",),
    "lambda": ("trace-decay",),
    "latent-dim": ("embedding-size",),
    "learn": ("train",),
    "load-model": ("begin-with",),
    "log-dir": ("folder",),
    "logdir": ("folder",),
    "lr": ("learning-rate", "meta-learning-rate"),
    "ls": ("list",),
    "max-grad-norm": ("max-gradient-norm",),
    "max-steps": ("budget", "horizon"),
    "meta-batch-size": ("lifetimes",),
    "n-envs": ("lifetimes", "parallel-environments"),
    "n-epochs": ("epochs",),
    "n-eval-episodes": ("held-out-tasks", "tasks"),
    "n-timesteps": ("budget",),
    "net-arch": ("hidden-sizes", "hidden-size"),
    "num-cores": ("workers",),
    "num-env-runners": ("workers",),
    "num-envs": ("lifetimes", "parallel-environments"),
    "num-epochs": ("epochs",),
    "num-minibatches": ("minibatches",),
    "num-rollout-workers": ("workers",),
    "num-seeds": ("seeds",),
    "num-sgd-iter": ("epochs",),
    "num-tasks": ("tasks",),
    "num-workers": ("workers",),
    "out": ("folder",),
    "outer-lr": ("learning-rate", "meta-learning-rate"),
    "output": ("folder",),
    "output-dir": ("folder",),
    "ppo-epochs": ("epochs",),
    "ppo-lstm": ("rl2",),
    "pretrained": ("begin-with",),
    "random-seed": ("seed",),
    "recurrent-ppo": ("rl2",),
    "recurrentppo": ("rl2",),
    "render": ("video",),
    "rl-squared": ("rl2",),
    "rnn": ("cell",),
    "save-dir": ("folder",),
    "save-freq": ("checkpoint-seconds",),
    "steps": ("budget",),
    "tau": ("target-rate",),
    "time-limit": ("budget", "horizon"),
    "timesteps": ("budget",),
    "total-steps": ("budget",),
    "total-timesteps": ("budget",),
    "train-batch-size": ("lifetimes",),
    "update-epochs": ("epochs",),
    "validate": ("check",),
    "value-coef": ("value-weight",),
    "vf-coef": ("value-weight",),
    "vf-loss-coeff": ("value-weight",),
    "warm-start": ("begin-with",),
}
"""Names that other libraries give to a setting, a command or an algorithm, and its names here, the likeliest first."""


def suggestion(name: str, allowed: Sequence[str]) -> str | None:
    """The allowed name that is probably meant; None where nothing is likely.

    Args:
      name: that is not among the allowed.
      allowed: the names that are known.
    Example:
      >>> suggestion("--lr", ["--folder", "--learning-rate"]), suggestion("serve", ["speed", "report"])
      ('--learning-rate', None)
    """
    plain = {_plain(one): one for one in reversed(allowed)}
    word = _plain(name)
    same = next((one for one in SYNONYMS.get(word, ()) if one in plain), None)
    if same is not None:
        return plain[same]
    if word in plain:
        return plain[word]
    distances = {one: _distance(word, one) for one in plain}
    near = min(plain, key=lambda one: (distances[one], one), default=None)
    if near is not None and distances[near] <= _most_errors(word, near):
        return plain[near]
    longer = [one for one in plain if len(word) > 2 and f"-{word}-" in f"-{one}-"]
    shorter = [one for one in plain if len(one) > 2 and f"-{one}-" in f"-{word}-"]
    found = longer if len(longer) == 1 else shorter
    return plain[found[0]] if len(found) == 1 else None


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").replace(" ", "-").lower().rstrip("-")


def _most_errors(word: str, meant: str) -> int:
    """Typing errors that are likely in a word: one in three letters, and only one where the first letter is wrong."""
    if not word or not meant or min(len(word), len(meant)) < 2:
        return 0
    return max(1, min(len(word), len(meant)) // 3) if word[0] == meant[0] else 1


def _distance(one: str, other: str) -> int:
    """Letters that were left out, added, changed or swapped with their neighbour, from one word to the other."""
    if abs(len(one) - len(other)) > max(len(one), len(other)) // 3 + 1 or max(len(one), len(other)) > 100:
        return 100
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
