"""The function that a name stands for: from the table of its kind, or from a user's own file."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from quickstudy.protocol.errors import QuickstudyError, UnknownNameError, UsageError
from quickstudy.protocol.settings import annotations_of

_loaded: dict[Path, None] = {}


def resolve(kind: str, name: str, table: Mapping[str, str], *, hint: str | None = None) -> Callable[..., Any]:
    """The function behind a name, imported only now.

    Args:
      kind: what the name is a name of, for the message.
      name: a key of `table`, or `path/to/file.py:function`.
      table: names to `"module:function"`.
      hint: a sentence for the message in place of the nearest name, where more is known about this name.
    Raises:
      UnknownNameError: no such name; the nearest is suggested.
      UsageError: a file that is not there, does not import, or holds no such function.
    """
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute)
    if name not in table:
        if name.endswith(".py"):
            raise UsageError(_without_function(Path(name)))
        raise UnknownNameError(kind, name, table, hint=hint)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def call(name: str, factory: Callable[..., Any], *given: Any, **settings: Any) -> Any:
    """What a factory returns. An error that a user's own file raises becomes one line that names the place in the file.

    Args:
      name: of the factory; that of a user's own is `path/to/file.py:function`.
      factory: as `resolve` gave it.
      *given, **settings: its arguments.
    Raises:
      UsageError: a factory of a user's own file raises something, or ends the program.
    """
    path, _, attribute = name.rpartition(":")
    if not path.endswith(".py"):
        return factory(*given, **settings)
    try:
        return factory(*given, **settings)
    except QuickstudyError:
        raise
    except (Exception, SystemExit) as error:
        hint = " It is called without arguments: give every setting a default." if _lacks_arguments(error) else ""
        raise UsageError(f"{path}, function {attribute}: {_fault(error, Path(path))}.{hint}") from error


def settings_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings that a factory takes by keyword, in order; their annotations are types."""
    kinds = annotations_of(factory)
    return {
        p.name: p.replace(annotation=kinds.get(p.name, _kind_of(p.default)))
        for p in inspect.signature(factory).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_names(name: str, given: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Raises UnknownNameError for the first setting that is not among the allowed."""
    for setting in given:
        if setting not in allowed:
            raise UnknownNameError(f"setting of {name},", setting, allowed)


def config_class(factory: Callable[..., Any]) -> type:
    """The configuration dataclass of an algorithm: the type of its `config` argument's default.

    Raises:
      UsageError: the function has no `config` argument with a dataclass as its default.
    """
    try:
        config = inspect.signature(factory).parameters.get("config")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{factory!r} cannot be called as an algorithm: {error}.") from error
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
      UsageError: it is not there, or does not import; names the line.
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
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UsageError(f"{path} does not import: {_fault(error, path)}.") from error
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


def _without_function(path: Path) -> str:
    """What is wrong with a file that is named without a function. The file is read, and nothing of it is run."""
    if not path.is_file():
        return f"there is no file {str(path)!r}. Give the path of a Python file, as in my_tasks.py:make."
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        return f"{path} does not import: {_fault(error, path)}."
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    likely = "make" if "make" in names else next(iter(names), "make")
    return f"name a function of {path}, as in {path}:{likely}. Functions in it: {', '.join(names) or 'none'}."


def _fault(error: BaseException, path: Path) -> str:
    """An error of a user's own file in one line: what was raised, and on which line of the file."""
    if isinstance(error, SystemExit):
        what = f"it ends the program (SystemExit: {error.code})"
    else:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return what
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).absolute() == path.absolute()]
    return f"{what} (line {lines[-1]})" if lines else what


def _lacks_arguments(error: BaseException) -> bool:
    return isinstance(error, TypeError) and "required" in str(error) and "argument" in str(error)


def _kind_of(default: Any) -> Any:
    """The annotation that a default implies where none is written."""
    if default is inspect.Parameter.empty:
        return Any
    return str | None if default is None else type(default)
