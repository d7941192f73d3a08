"""What is wrong with a task distribution, in words, and where in the user's own code it went wrong."""

import dataclasses
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

_PACKAGE = Path(__file__).parents[2]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One law that a task distribution breaks.

    Args:
      law: its name, from `laws.LAWS` or, for environments outside JAX, `host_laws.HOST_LAWS`.
      what: what was seen.
      remedy: what to do about it.
      warning: it may be meant so; worth a look, nothing more.
    """

    law: str
    what: str
    remedy: str
    warning: bool = False


class MisfitError(Exception):
    """What a user's code gave does not fit what it promised; the message is a sentence for people."""


def faults_of(law: str, look: Callable[[], Iterable[str]], *, remedy: str) -> list[Fault]:
    """What one look finds, where an exception is a fault too; a leading '?' marks a warning."""
    sentences: list[str] = []
    try:
        sentences.extend(look())
    except MisfitError as error:
        sentences.append(str(error))
    except (Exception, SystemExit) as error:  # the user's code may raise anything at all
        sentences.append(raised(error))
    return [Fault(law=law, what=what.lstrip("?"), remedy=remedy, warning=what.startswith("?")) for what in sentences]


def raised(error: BaseException) -> str:
    """Type, first line of the message and place of an exception."""
    cause = (str(error).strip().splitlines() or ["no message"])[0]
    place = _place([(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)])
    return f"{type(error).__name__}: {cause}" + (f" ({place})" if place else "")


def place_of_frame(frame: FrameType | None) -> str:
    """The line of the user's own code that is running, as in `my_tasks.py, line 12`; empty if unknown."""
    return _place([(f.f_code.co_filename, line) for f, line in traceback.walk_stack(frame)][::-1])


def _place(frames: list[tuple[str, int]]) -> str:
    """The innermost of the frames that is the user's own code, else the innermost of other packages.

    Args:
      frames: file and line, the outermost first.
    """
    foreign = [(Path(file), line) for file, line in frames if not file.startswith("<")]
    foreign = [(file, line) for file, line in foreign if not file.is_relative_to(_PACKAGE)]
    own = [(file, line) for file, line in foreign if not (_installed(file) or file.is_relative_to(_STANDARD_LIBRARY))]
    for file, line in reversed(own or [(file, line) for file, line in foreign if _installed(file)]):
        near = file.is_relative_to(os.getcwd())
        return f"{file.relative_to(os.getcwd()) if near else file}, line {line}"
    return ""


def _installed(file: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(file.parts))
