"""The documentation as data: its pages, their fenced blocks, and the files that they tell the reader to write."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of the page that the text begins on."""

    language: str
    text: str
    line: int


def blocks(page, language):
    """Every block of a page in one language, in order."""
    text = page.read_text()
    found = [Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in _FENCE.finditer(text)]
    return [block for block in found if block.language == language]


def links(page):
    """Targets of a page's links and pictures that are not addresses of the web, without the part after '#'."""
    prose = _FENCE.sub("", page.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def commands(page):
    """Every `quickstudy ...` line of a page's shell blocks as words, without what comes after a '>'."""
    lines = [line for block in blocks(page, "sh") for line in block.text.splitlines()]
    return [shlex.split(line.partition(" > ")[0]) for line in lines if line.startswith("quickstudy ")]


def small(text):
    """The same code with a budget, and numbers of tasks, that a test can afford; everything else stays."""
    text = re.sub(r"budget=\"[^\"]*\"", 'budget="3000 steps"', text)
    text = text.replace("qs.TrainingConfig(", "qs.TrainingConfig(held_out_tasks=32, ")
    text = re.sub(r"tasks=\d+(?=[,)])", lambda m: m[0] if int(m[0][6:]) < 64 else "tasks=64", text)
    return re.sub(r'(make\("rl2", [\w.]+)\)', r"\1, hidden_size=8, lifetimes=64)", text)


def small_command(words):
    """The same command line with a budget that a test can afford, and few tasks."""
    words = list(words)
    more = {
        "train": ["--held-out-tasks", "32", "--lifetimes", "64"],
        "evaluate": ["--tasks", "64", "--no-baselines"],
        "check": ["--samples", "300"],
    }
    if "--budget" in words:
        words[words.index("--budget") + 1] = "3000 steps"
    return words + more.get(words[1], [])


def file_told(page):
    """The file that a page tells its reader to write, as (path, text): the block whose first line is `# src/...`."""
    (block,) = [block for block in blocks(page, "python") if block.text.startswith("# src/")]
    first, _, text = block.text.partition("\n")
    return first.removeprefix("# "), text


def line_told(page):
    """The line that a page tells its reader to add, as (path, the line it comes after, the line)."""
    (block,) = blocks(page, "diff")
    path, before, added = block.text.splitlines()
    assert before.startswith(" ")
    assert added.startswith("+")
    return path.removeprefix("# "), before[1:], added[1:]
