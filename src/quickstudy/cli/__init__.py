"""The command line: one verb a file, imported only when it is called."""

TYPE_CHECKING = False  # importing typing would take longer than everything before the command listens to signals
if TYPE_CHECKING:
    from quickstudy.training.interrupts import CommandInterrupts

_VERB_LINES = {
    "list": ("print algorithms, task distributions and baselines", ""),
    "train": ("meta-train an agent", "train rl2 bernoulli-bandit --arms 10 --budget 5m"),
    "sweep": ("train with many settings", "sweep rl2 bernoulli-bandit --over learning_rate=1e-4:1e-2:log"),
    "evaluate": ("measure runs and bundles", "evaluate runs/rl2-bernoulli-bandit"),
    "speed": ("count steps, beside a baseline", "speed runs/maml-point-navigation"),
    "readout": ("what an agent believes", "readout runs/rl2-point-navigation"),
    "explain": ("one decision, and its reasons", "explain bundles/bandit-n100-k10 --step 30"),
    "video": ("first and last episode as a video", "video runs/rl2-half-cheetah-velocity"),
    "report": ("draw a run, or compare runs", "report runs/rl2-bernoulli-bandit"),
    "export": ("write files that need no JAX", "export bundles/bandit-n10-k10 --to c"),
    "fit": ("make tasks from your own records", "fit past_tests.csv --as ab-test --out fitted"),
    "check": ("inspect your own tasks", "check my_tasks.py:make"),
    "serve": ("serve sessions over HTTP", "serve bundles/bandit-n100-k5-taught"),
    "dashboard": ("show runs in the browser", "dashboard --runs runs"),
    "token": ("control who may use a server", "token add sqlite:sessions.db acme"),
    "registry": ("store versions of an agent", "registry put agents bandit bundles/bandit-n100-k5-taught"),
    "audit": ("check the log of a server", "audit verify sqlite:sessions.db"),
    "bench": ("measure the published tables", "bench run bandit-n10-k5"),
    "card": ("write the card of an agent", "card bundles/bandit-n10-k10 --out card"),
    "plot": ("draw learning curves of runs", "plot runs/one runs/another --out curves.png"),
    "track": ("write a run to a tracker", "track runs/rl2-bernoulli-bandit --to tensorboard"),
    "doctor": ("show what is installed and missing", "doctor"),
    "demo": ("train, evaluate and report within minutes", ""),
}
VERBS = {verb: f"{says + ':':36}quickstudy {example}" if example else says for verb, (says, example) in _VERB_LINES.items()}
"""What `--help` says of each command: what it does, and an example."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status.

    It is 0 after success, 1 after a failure, 2 if the command itself was wrong, and 128 plus the number of the signal after
    an interrupt: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.

    Args:
      arguments: of the command; those of the program if not given.
    """
    if arguments is None:
        _end_at_signals()
    from quickstudy.training.interrupts import CommandInterrupts

    interrupts = CommandInterrupts(own_process=arguments is None)
    try:
        with interrupts:
            status = _main(arguments, interrupts)
    except KeyboardInterrupt:
        status = _interrupted()
    return interrupts.finish(status)


def _end_at_signals() -> None:
    """Until the module that handles signals is imported, a signal ends the program with a short message."""
    import os
    import signal

    def end(number: int, frame: object) -> None:
        os.write(2, b"quickstudy: interrupted.\n")
        os._exit(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _main(arguments: list[str] | None, interrupts: "CommandInterrupts") -> int:
    import sys

    from quickstudy.cli.letters import show_every_letter
    from quickstudy.protocol.output import keep_writing

    show_every_letter()
    files = keep_writing() if arguments is None else []
    status = _run(sys.argv[1:] if arguments is None else arguments, interrupts)
    if sys.stdout is not None:
        sys.stdout.flush()
    trouble = next((file.trouble for file in files if file.trouble is not None), None)
    if trouble is None:
        return status
    print(f"quickstudy: the output could not be written: {trouble.strerror}.", file=sys.stderr)
    return status or 1


def _run(arguments: list[str], interrupts: "CommandInterrupts") -> int:
    import importlib
    import sys

    from quickstudy.protocol.errors import QuickstudyError, UnknownNameError, UsageError
    from quickstudy.protocol.printable import printable

    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"quickstudy {version('quickstudy')}")
        return 0
    try:
        _check_text(arguments)
        if arguments[0] not in VERBS:
            raise UnknownNameError("command", arguments[0], VERBS)
        with interrupts.errors_are_interrupts():
            if not {"-h", "--help"} & set(arguments):
                _prepare_machine()
            return importlib.import_module(f"quickstudy.cli.{arguments[0]}").run(arguments[1:])
    except QuickstudyError as error:
        print(f"quickstudy: {printable(error) if isinstance(error, UsageError) else error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        said = printable(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
        print(f"quickstudy: {said}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"quickstudy: not enough memory{f': {error}' if str(error) else ''}. Ask for less at once.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _interrupted()


def _interrupted() -> int:
    import sys

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


def _check_text(arguments: list[str]) -> None:
    """Raises UsageError for an argument that no file of a run could hold as text."""
    from quickstudy.protocol.errors import UsageError

    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"an argument is not UTF-8 text: {argument!r}. Give files and folders names in UTF-8.") from None
        if "\0" in argument:
            raise UsageError(f"an argument holds a zero byte: {argument!r}. Leave it out.")


def _prepare_machine() -> None:
    from quickstudy.training.devices import use_whole_machine

    use_whole_machine()
