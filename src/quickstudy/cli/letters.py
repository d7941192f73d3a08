"""Letters that the encoding of a terminal lacks: they are replaced by similar ones, where Python would raise an error."""

import codecs
import sys
import unicodedata

_ERRORS = "quickstudy.replace"
_REPLACEMENTS = {
    "−": "-", "–": "-", "—": "-", "…": "...", "·": ".", "×": "x", "≈": "~", "∞": "inf", "▲": "^", "▼": "v", "→": "->",
    "“": '"', "”": '"', "’": "'", "ε": "e", "µ": "u", "λ": "l", "γ": "g", "θ": "t", "█": "#", "━": "-", "─": "-", "│": "|",
    **dict.fromkeys("▁▂▃▄▅▆▇", "."), **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╸╺╴╶", "+"),
}  # fmt: skip


def show_every_letter() -> None:
    """Makes the standard streams replace letters that their encoding lacks, where they would raise an error."""
    codecs.register_error(_ERRORS, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """The replacement of letters that an encoding lacks, and the place where encoding continues."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_replacement, error.object[error.start : error.end])), error.end


def _replacement(letter: str) -> str:
    if letter in _REPLACEMENTS:
        return _REPLACEMENTS[letter]
    if "\ud800" <= letter <= "\udfff":  # a byte of a path that is not UTF-8
        return letter.encode("unicode_escape").decode("ascii")
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return plain or "?"
