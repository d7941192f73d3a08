"""What `--help` and `list` say: every flag is described, in words of the field, and lines break where sentences end."""

import ast
import pathlib
import re

import pytest

import quickstudy
from quickstudy import algorithms, tasks
from quickstudy.cli import VERBS, main
from quickstudy.cli.arguments import settings_class
from quickstudy.protocol.registry import resolve

PRIVATE = re.compile(
    r"\b(living|lived|earned|hire|crew|outpost|lanes?|recall|besides|told|scatters?|bending|quarantined?|set apart|mended"
    r"|impaired|strangeness|foretold|witness|films?|filmed|verdict|swift|hurried|luck|everyone)\b",
    re.IGNORECASE,
)
"""Words with a meaning of their own in earlier versions, for which the field has another word."""
FRAGMENT = re.compile(r"(of|in|by|at|from|as|to) ", re.IGNORECASE)
FLAG = re.compile(
    r"--([\w-]+)(?:, --no-[\w-]+)?\s+(?:\{[^}]*\}(?:\|\S+)?|\[\w+ \[\w+ \.\.\.\]\]|[A-Z]+)?\s*(.*?)\s*\((?:default:|rep)",
    re.S,
)
SOURCE = pathlib.Path(quickstudy.__file__).parent


def helped(*words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert not stop.value.code
    return capsys.readouterr().out


def check_words(shown, *, named):
    assert PRIVATE.findall(shown) == [], named


def check_flags(shown, *, named):
    flags = [FLAG.match(block) for block in re.split(r"\n  (?=--[a-z])", shown)[1:]]
    assert None not in flags, named
    silent = [flag[1] for flag in flags if len(flag[2]) < 8]
    assert not silent, f"{named}: no word on {silent}"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_command(verb, monkeypatch, capsys):
    shown = helped(verb, monkeypatch=monkeypatch, capsys=capsys)
    assert f"usage: quickstudy {verb}" in shown
    check_words(shown, named=verb)
    check_flags(shown, named=verb)


def test_commands_of_a_command_stand_on_lines_of_their_own(monkeypatch, capsys):
    lines = helped("registry", monkeypatch=monkeypatch, capsys=capsys).splitlines()
    assert "  quickstudy registry put FOLDER NAME BUNDLE" in [line.rstrip() for line in lines]
    assert main(["registry", "put", "there"]) == 2
    assert "NAME and BUNDLE missing. Usage: quickstudy registry put FOLDER NAME BUNDLE" in capsys.readouterr().err


def test_the_overview_has_its_examples_in_one_column(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    check_words(shown, named="quickstudy")
    assert len({line.index("quickstudy ") for line in shown.splitlines() if re.match(r"  \w+ .*quickstudy ", line)}) == 1


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_help_of_every_algorithm(name, monkeypatch, capsys):
    shown = helped("train", name, "half-circle", monkeypatch=monkeypatch, capsys=capsys)
    check_words(shown, named=name)
    check_flags(shown, named=name)


@pytest.mark.parametrize("name", tasks.DISTRIBUTIONS)
def test_settings_of_every_distribution(name):
    made = settings_class(name, resolve("task distribution", name, tasks.DISTRIBUTIONS))
    for setting, kind in made.__annotations__.items():
        (said,) = [part.help for part in kind.__metadata__ if hasattr(part, "help")]
        assert said, f"{name}: no word on {setting}"
        assert not FRAGMENT.match(said), f"{name}: {setting} is described by {said!r}, which needs the name before it"
        check_words(said, named=name)


def described_fields():
    """Class, field and description of the fields of configurations, from the source as `--help` reads it."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Arguments")):
                for field, text in zip(node.body, node.body[1:], strict=False):
                    if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                        yield f"{node.name}.{field.target.id}", text.value.value


def test_lines_of_a_description_end_with_a_sentence():
    """`--help` breaks a description where the source does, so a line that ends within a sentence would be shown torn."""
    described = list(described_fields())
    assert len(described) > 150
    torn = [name for name, text in described if any(not line.rstrip().endswith(".") for line in text.splitlines())]
    assert not torn


def test_the_list_describes_agents_that_share_a_maker(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "partial(" not in shown
    assert "always takes one forecaster, and never resets. With name='seasonal naive'." in shown
