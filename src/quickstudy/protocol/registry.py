"""From a name to the function that makes what it names: one table per shelf, or a user's own file."""

import dataclasses
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from quickstudy.protocol.errors import UnknownNameError, UsageError

_loaded: dict[Path, None] = {}


def resolve(kind: str, name: str, table: Mapping[str, str]) -> Callable[..., Any]:
    """The function behind a name, imported only now.

    Args:
      kind: what the name is a name of, for the message.
      name: a key of `table`, or `path/to/file.py:function`.
      table: names to `"module:function"`.
    Raises:
      UnknownNameError: no such name; the nearest is suggested.
      UsageError: a file that is not there, does not import, or holds no such function.
    """
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute)
    if name not in table:
        raise UnknownNameError(kind, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def settings_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings that a factory takes by keyword, in order."""
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check_settings(name: str, given: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Raises UnknownNameError for the first setting that is not among the allowed."""
    for setting in given:
        if setting not in allowed:
            raise UnknownNameError(f"setting of {name},", setting, allowed)


def config_class(factory: Callable[..., Any]) -> type:
    """The configuration dataclass of an algorithm: the type of its `config` argument's default.

    Raises:
      UsageError: the function has no `config` argument with a dataclass as its default.
    """
    config = inspect.signature(factory).parameters.get("config")
    if config is None or not dataclasses.is_dataclass(config.default):
        raise UsageError(
            f"{factory.__name__} must take `config` with a configuration dataclass as its default, "
            f"as in `def {factory.__name__}(spec, config=MyConfig())`."
        )
    return type(config.default)


def loaded_files() -> tuple[Path, ...]:
    """The users' own files that were loaded so far; another process loads them before it is sent what they define."""
    return tuple(_loaded)


def load_file(path: str | Path) -> ModuleType:
    """A user's own file as a module.

    Raises:
      UsageError: it is not there, or does not import.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}. Give the path of a Python file, as in my_tasks.py:make.")
    find_beside(path)
    name = f"quickstudy_file_{path.stem}"  # a file may be called like a module of the standard library
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a file that ends in .py always has a spec and a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} does not import: {type(error).__name__}: {error}") from error
    _loaded[path.absolute()] = None
    return module


def find_beside(path: Path) -> None:
    """Lets imports find the modules that lie beside a user's file, after the standard library and what is installed.

    Python finds the modules beside a script first. At the end of the path they cannot take the place of another module.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def _from_file(path: Path, attribute: str) -> Callable[..., Any]:
    module = load_file(path)
    if not callable(getattr(module, attribute, None)):
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise UnknownNameError(f"function in {path},", attribute, functions)
    return getattr(module, attribute)
