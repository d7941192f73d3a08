"""The command line: one verb a file, imported only when it is called."""

import importlib
import sys

from quickstudy.protocol.errors import QuickstudyError, UnknownNameError, UsageError

VERBS = {
    "list": "what there is: algorithms, task distributions, their splits and baselines",
    "train": "meta-train an agent:          quickstudy train rl2 bernoulli-bandit --arms 10 --budget 5m",
    "evaluate": "measure runs and bundles:     quickstudy evaluate runs/rl2-bernoulli-bandit",
    "speed": "compared with a baseline:     quickstudy speed runs/maml-point-navigation",
    "readout": "what it believes, how surely:  quickstudy readout runs/rl2-point-navigation",
    "video": "its first try and its last:   quickstudy video runs/rl2-half-cheetah-velocity",
    "report": "draw the page of a run:       quickstudy report runs/rl2-bernoulli-bandit",
    "export": "for use without JAX:          quickstudy export bundles/bandit-n10-k10 --to c",
    "check": "inspect your own tasks:       quickstudy check my_tasks.py:make",
    "bench": "published tables, row by row: quickstudy bench run bandit-n10-k5",
    "demo": "train, evaluate and report within minutes",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status: 0 done, 1 failed, 2 wrongly asked for, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"quickstudy {version('quickstudy')}")
        return 0
    try:
        if arguments[0] not in VERBS:
            raise UnknownNameError("command", arguments[0], VERBS)
        if not {"-h", "--help"} & set(arguments):
            _prepare_machine()
        return importlib.import_module(f"quickstudy.cli.{arguments[0]}").run(arguments[1:])
    except QuickstudyError as error:
        print(f"quickstudy: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        print(f"quickstudy: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("quickstudy: interrupted.", file=sys.stderr)
        return 130


def _help() -> str:
    verbs = "\n".join(f"  {verb:10}{says}" for verb, says in VERBS.items())
    return (
        "usage: quickstudy COMMAND ...\n\n"
        "Meta-reinforcement learning: agents that learn a new task within a few episodes.\n\n"
        f"commands:\n{verbs}\n\n"
        "`quickstudy COMMAND --help` describes a command. `quickstudy --version` prints the version."
    )


def _prepare_machine() -> None:
    from quickstudy.training.devices import use_whole_machine

    use_whole_machine()
