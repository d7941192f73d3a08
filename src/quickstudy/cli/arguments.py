"""Flags and configuration files from the dataclasses that they fill.

Values come from three places: defaults, then `--config FILE.toml`, then flags. Later ones override earlier ones.
`--print-config` prints the result as a file that `--config` accepts.
"""

import contextlib
import copy
import dataclasses
import functools
import inspect
import io
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.registry import settings_of
from quickstudy.protocol.setting_values import checked_value, plain_value
from quickstudy.protocol.settings import check_settings, flat_annotations, plain_settings

Arguments = TypeVar("Arguments")


def positional(arguments: list[str], names: tuple[str, ...], *, usage: str) -> tuple[list[str], list[str]]:
    """Splits the leading words off the flags.

    Raises:
      UsageError: fewer words than names, unless help is asked for.
    """
    words: list[str] = []
    for argument in arguments[: len(names)]:
        if argument.startswith("-"):
            break
        words.append(argument)
    if len(words) < len(names) and not {"-h", "--help"} & set(arguments):
        raise UsageError(f"{' and '.join(names[len(words) :])} missing. Usage: {usage}")
    return words, arguments[len(words) :]


def parse(
    kind: type[Arguments], arguments: list[str], *, program: str, description: str, default: Arguments | None = None
) -> Arguments:
    """Fills a dataclass from flags; nested dataclasses share one flat set of flags.

    Raises:
      UnknownNameError: a flag that is not known; the nearest is suggested.
      UsageError: a value that does not parse, or one that is out of its range.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                kind,
                args=arguments,
                prog=program,
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.OmitArgPrefixes,),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_one_line(said.getvalue())) from None
    except tyro.constructors.UnsupportedTypeAnnotationError as error:
        raise UsageError(f"a setting has a type that no flag can give: {_one_line(str(error)) or error}") from error
    if unknown:
        word = unknown[0].partition("=")[0]
        if not word.startswith("-"):
            switches = {f"--{name.replace('_', '-')}" for name, of in flat_annotations(parsed).items() if of is bool}
            pairs = itertools.pairwise(arguments)
            switch = next((before for before, after in pairs if after == unknown[0] and before in switches), None)
            remedy = f"{switch} takes no value; --no-{switch[2:]} switches it off. " if switch else ""
            raise UsageError(f"{word!r} is not understood here. {remedy}See {program} --help.")
        raise UnknownNameError("flag", word, ["--help", *(f"--{f}" for f in _flags(kind))])
    check_settings(parsed)
    return parsed


def parse_nothing(arguments: list[str], *, program: str, description: str) -> None:
    """Answers `--help`, and refuses everything else."""
    parse(dataclasses.make_dataclass("Nothing", []), arguments, program=program, description=description)


def with_usages(said: str, usages: Mapping[str, str]) -> str:
    """The description of a verb that has commands of its own, with one usage a line."""
    return "\n".join([said, *(f"  {usage}" for usage in usages.values())])


def settings_class(name: str, factory: Callable[..., Any]) -> type:
    """A dataclass with one field per keyword setting of a function, documented by its docstring's `Args`.

    Raises:
      UsageError: a setting without a default, so that it could not be left out, or one that cannot be stored.
    """
    fields = []
    for setting, parameter in settings_of(factory).items():
        default, kind = parameter.default, parameter.annotation
        if default is inspect.Parameter.empty:
            raise UsageError(f"{name}: setting {setting!r} has no default. Give it one, as in `{setting}: int = 5`.")
        plain_value(setting, default)
        said = re.search(rf"^\s+{setting}: (.+?)(?=^\s+\w+: |^\s*\w+:\s*$|\Z)", inspect.getdoc(factory) or "", re.M | re.S)
        says = tyro.conf.arg(help=" ".join(said[1].split()) if said else "")
        field: Any = dataclasses.field(default_factory=functools.partial(copy.deepcopy, default))
        fields.append((setting, Annotated[kind, says], field))
    try:
        made = dataclasses.make_dataclass("Settings", fields, frozen=True, kw_only=True)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: its settings cannot be flags: {error}.") from error
    made.__doc__ = f"Settings of {name}."
    return made


def leading_words(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Splits all words before the first flag off the rest."""
    count = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return arguments[:count], arguments[count:]


def read_toml(path: str, sections: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """A configuration file as settings by section, every name checked.

    Raises:
      UsageError: the file is not there or does not parse, or a value is of the wrong type.
      UnknownNameError: a section or key that is not known.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise UsageError(f"the configuration file {path} cannot be read: it is not a regular file.")
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the configuration file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise UsageError(f"the configuration file {path} does not parse: {error}.") from error
    for section, settings in content.items():
        if section not in sections:
            raise UnknownNameError(f"section in {path},", section, sections)
        if not isinstance(settings, dict):
            raise UsageError(f"{path}: {section} must be a section, as in [{section}]; came {settings!r}.")
        kinds = flat_annotations(sections[section]())
        for key, value in settings.items():
            if key not in kinds:
                raise UnknownNameError(f"key in {path}, section [{section}],", key, kinds)
            settings[key] = checked_value(f"{path}: {key}", kinds[key], value)
    return content


def to_toml(sections: Mapping[str, Any]) -> str:
    """Dataclasses as a configuration file that `read_toml` reads."""
    parts = []
    for section, settings in sections.items():
        lines = [f"{key} = {_in_toml(value)}" for key, value in plain_settings(settings).items() if value is not None]
        parts.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(parts) + "\n"


def _in_toml(value: Any) -> str:
    """A plain value in TOML: JSON's text, number and truth literals are TOML's, its tables are not."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_in_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _flags(kind: type) -> list[str]:
    flags: list[str] = []
    for field in dataclasses.fields(kind):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            flags += _flags(field.type)
        else:
            flags.append(field.name.replace("_", "-"))
    return flags


_VALUES = {"{None}": "None", "INT": "a whole number", "int()": "a whole number", "FLOAT": "a number", "float": "a number"}
_NOT_PARSED = (
    r"Error parsing (\S+): (?:no type matching (\S+) could be instantiated from \[('.*')\]\."
    r"|(?:invalid literal for (int\(\)) with base 10|could not convert string to (float)): ('.*'))"
)


def _one_line(said: str) -> str:
    """The first paragraph of a boxed message, without the box and in plain words; a terminal without box letters has dashes."""
    lines = [line.strip("│╭╮╰╯ \n") for line in said.splitlines()[1:]]
    paragraph: list[str] = []
    for line in lines:
        if line.strip("─-"):
            paragraph.append(line)
        elif paragraph:
            break
    message = " ".join(paragraph)
    wrong = re.fullmatch(_NOT_PARSED, message)
    if not wrong:
        return message
    flag, union, parts, whole, number, part = wrong.groups()
    allowed = " or ".join(_VALUES.get(kind, kind) for kind in (union or whole or number).split("|"))
    return f"{flag} must be {allowed}; came {parts or part}."
