"""`quickstudy list [NAME]`: what there is, one line a name; and more about one name."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from quickstudy import algorithms, baselines, tasks
from quickstudy.cli.arguments import leading_words, parse_nothing
from quickstudy.cli.console import Console
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError
from quickstudy.protocol.registry import resolve, settings_of
from quickstudy.tasks.suites.suite import Suite

_OWN = "A file of your own goes wherever a name is asked for, as in my_tasks.py:make."
_MORE = "`quickstudy list NAME` tells more: splits, baselines and settings."


def run(arguments: list[str]) -> int:
    """Prints algorithms, task distributions and baselines, a line each; or what there is to say of one name."""
    words, flags = leading_words(arguments)
    description = "Lists algorithms, task distributions and baselines. With a name: its splits, baselines and settings."
    parse_nothing(words[1:] + flags, program="quickstudy list [NAME]", description=description)
    lines = _about(words[0]) if words else _everything()
    console = Console()
    for line in lines:
        # A line of a list stays one line on a terminal; elsewhere nothing is cut.
        cut = console.is_terminal and not words
        console.print(line, soft_wrap=not cut, no_wrap=cut, overflow="ellipsis" if cut else None)
    return 0


def _everything() -> list[str]:
    within = {name: place for name, place in tasks.DISTRIBUTIONS.items() if name not in tasks.SUITES}
    parts = (
        ("Algorithms", algorithms.ALGORITHMS, _of_algorithm),
        ("Task distributions", within, _of_tasks),
        ("Task suites, each with an extra to install", tasks.SUITES, _of_suite),
        ("Baselines", baselines.BASELINES, _of_baseline),
    )
    lines = []
    for heading, names, said in parts:
        width = max(map(len, names))
        lines += [heading, *(f"  {name:{width}}  {said(name)}" for name in names), ""]
    return [*lines, _OWN, _MORE]


def _about(name: str) -> list[str]:
    if name in algorithms.ALGORITHMS:
        return [_of_algorithm(name), f"Settings: quickstudy train {name} TASKS --help"]
    key = baselines.registered_name(name)
    if key in baselines.BASELINES:
        return [_of_baseline(key), f"Compared with an agent: quickstudy speed RUN --against {key}"]
    if name not in tasks.DISTRIBUTIONS:
        known: Mapping[str, Any] = {**algorithms.ALGORITHMS, **tasks.DISTRIBUTIONS, **baselines.BASELINES}
        raise UnknownNameError("name", name, known)
    factory = resolve("task distribution", name, tasks.DISTRIBUTIONS)
    settings = ", ".join(f"{setting} {parameter.default}" for setting, parameter in settings_of(factory).items())
    try:
        distribution = tasks.make(name)
    except MissingExtraError as error:
        return [_of_tasks(name), str(error), f"Settings: {settings or 'none'}"]
    missing = _suite(name).missing() if name in tasks.SUITES else None
    return [
        _of_tasks(name),
        *([] if missing is None else [str(missing)]),
        f"Splits: {', '.join(distribution.splits)}",
        f"Baselines: {', '.join(distribution.baselines) or 'none'}",
        f"Settings: {settings or 'none'}",
    ]


def _of_algorithm(name: str) -> str:
    return _summary(inspect.getmodule(resolve("algorithm", name, algorithms.ALGORITHMS)))


def _of_tasks(name: str) -> str:
    return _summary(inspect.getmodule(resolve("task distribution", name, tasks.DISTRIBUTIONS)))


def _of_suite(name: str) -> str:
    missing = _suite(name).missing()
    return _of_tasks(name) if missing is None else f"{_of_tasks(name)} {missing}"


def _suite(name: str) -> Suite:
    """The suite of a distribution of `SUITES`."""
    found: Suite = getattr(inspect.getmodule(resolve("task distribution", name, tasks.DISTRIBUTIONS)), "SUITE")  # noqa: B009
    return found


def _of_baseline(name: str) -> str:
    factory: Callable[..., Any] = resolve("baseline", name, baselines.BASELINES)
    return _summary(factory)


def _summary(thing: object) -> str:
    """The first paragraph of what is written about a thing, as one line."""
    given: Mapping[str, Any] = {}
    if isinstance(thing, functools.partial):  # one maker of several agents; its settings say which one this is
        made: functools.partial[Any] = thing
        thing, given = made.func, made.keywords
    said = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return said + (f" With {', '.join(f'{name}={value!r}' for name, value in given.items())}." if given else "")
