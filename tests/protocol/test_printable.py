"""Names of strangers as text: visible, one line, one word of a command, one part of a file's name."""

import pickle
import shlex

import pytest

from quickstudy.protocol.errors import BundleError, CollectingError, UnknownNameError
from quickstudy.protocol.printable import file_word, printable, shell_word

STEERS = "\x00\x07\x08\x0b\x0c\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\udcff"


def test_characters_that_steer_a_terminal_become_visible():
    assert printable("rl2\x1b[2J") == r"rl2\x1b[2J"
    assert printable("a\u202eb\udcffc") == r"a\u202eb\udcffc"
    assert printable("two\nlines\t") == r"two\nlines\t"
    assert printable("two\nlines\t", lines=True) == "two\nlines\t"
    for character in STEERS:
        for lines in (False, True):
            shown = printable(f"a{character}b", lines=lines)
            assert shown.isprintable(), repr(character)
            assert printable(shown, lines=lines) == shown


def test_letters_of_every_language_stay():
    for text in ("RL²", "ε-greedy", "Größe", "名前", "नाम", "می‌خواهم", "🤖", "minus −1"):
        assert printable(text) == text


def test_a_name_is_one_word_of_a_command():
    for name in ("plain", "two words", "m/[/x]", "it's", "$(touch owned)", "a;b", "\x1b[2J", "-"):
        assert shlex.split(f"quickstudy report {shell_word(name)}")[2:] == [printable(name)]


@pytest.mark.parametrize(
    ("name", "word"),
    [("ood:more_arms", "ood-more_arms"), ("../../etc/passwd", "..-..-etc-passwd"), ("a/b\\c", "a-b-c"), ("", "unnamed")],
)
def test_a_name_cannot_lead_to_another_folder(name, word):
    assert file_word(name) == word
    assert len(file_word("x" * 5000)) < 100


def test_messages_of_errors_are_one_visible_line():
    assert str(BundleError("a\x1b[2J\nb")) == r"a\x1b[2J\nb"
    error = UnknownNameError("split", "te\x1bst", ["te\x9bst"])
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(CollectingError("it said:\n\x1b[2J")) == "it said:\n" + r"\x1b[2J"
