"""Text that came from a file or a command line, made safe to print."""

import re
import shlex

# Control characters (C0, delete, C1), line separators, marks that turn the direction of text, invisible tags, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]")
_SAFE_IN_LINES = frozenset("\n\t")
_LONGEST_WORD, _LONGEST_MESSAGE = 60, 300


def printable(text: object, *, lines: bool = False) -> str:
    """Text whose control characters are visible, as in a Python string, so that they have no effect on a terminal.

    A byte of a path that is not UTF-8 becomes `\\udc..`, so that every encoding of Unicode can hold the result.

    Args:
      text: anything that has a `str`.
      lines: keep ends of lines and tabs; otherwise they become visible too, and the result is one line.
    Example:
      >>> printable("rl2\\x1b[2J")
      'rl2\\\\x1b[2J'
    """
    kept = _SAFE_IN_LINES if lines else frozenset()
    return _UNSAFE.sub(lambda found: found[0] if found[0] in kept else _visible(found[0]), str(text))


def shell_word(text: object) -> str:
    """A name as one word of a command that a person may copy; also safe to print."""
    return shlex.quote(printable(text))


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8, so that it can stand in an address: other bytes are lone surrogates in Python.

    Example:
      >>> is_text("café"), is_text("caf\\udce9")
      (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in name)


def file_word(text: object) -> str:
    """A name as a part of the name of a file, which cannot lead to another folder: letters, digits, points and underscores.

    Example:
      >>> file_word("../ood:two arms")
      '..-ood-two-arms'
    """
    return re.sub(r"[^\w.]+", "-", printable(text)).strip("-")[:_LONGEST_WORD] or "unnamed"


def first_line(error: BaseException) -> str:
    """The first line of the message of an error of another library, without its full stop, to be quoted in one of ours.

    Example:
      >>> first_line(ValueError("no such host.\\nTraceback ...")), first_line(TimeoutError())
      ('no such host', 'TimeoutError')
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_MESSAGE].rstrip(" .")


def _visible(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
