"""The documentation as data: its pages, their blocks, links and commands, and the files that a reader writes."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md", *ROOT.glob("results/**/*.md")])
GENERATED = (ROOT / "docs" / "results.md", ROOT / "docs" / "adaptation-speed.md")
"""Pages that `quickstudy bench page` draws as a whole."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


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
    """Targets of a page's links and pictures within the repository, as pairs (path or "", heading's anchor or "")."""
    prose = _FENCE.sub("", page.read_text())
    targets = [target for target in _LINK.findall(prose) if not re.match(r"[a-z]+:", target)]
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in targets)]


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def long_lines(page, *, limit):
    """Numbers of the lines longer than the limit. Rows of tables, and targets of links, cannot be broken: they do not count."""
    lines = enumerate(page.read_text().splitlines(), start=1)
    return [number for number, line in lines if not line.startswith("|") and len(_LINK.sub("]", line)) > limit]


def commands(page):
    """Every `quickstudy ...` line of a page's shell blocks as words, without what comes after a '>'."""
    joined = [block.text.replace("\\\n", " ") for block in blocks(page, "sh")]
    lines = [line for text in joined for line in text.splitlines()]
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
        "evaluate": ["--tasks", "64", *([] if "--against" in words else ["--no-baselines"])],
        "check": ["--samples", "300"],
    }
    if "--budget" in words:
        words[words.index("--budget") + 1] = "3000 steps"
    return words + more.get(words[1], [])


def file_to_write(page):
    """The file that the reader of a page writes, as (path, text): the block whose first line is `# src/...`."""
    (block,) = [block for block in blocks(page, "python") if block.text.startswith("# src/")]
    first, _, text = block.text.partition("\n")
    return first.removeprefix("# "), text


def excerpts(page):
    """What a page shows of files, as triples (path, text, line): its blocks `py`, which begin with `# from PATH`.

    The others are code that cannot run alone, and a comment above says why: `<!-- not run: WHY -->`.
    """
    lines, found = page.read_text().splitlines(), []
    for block in blocks(page, "py"):
        first, _, text = block.text.partition("\n")
        if not first.startswith("# from "):
            assert re.fullmatch("<!-- not run: .+ -->", lines[block.line - 3]), f"{page}, line {block.line}: nothing says why"
            compile(block.text, page, "exec")
            continue
        found.append((first.removeprefix("# from "), text, block.line))
    return found


def line_to_add(page):
    """The line that the reader of a page adds, as (path, the line that it follows, the line)."""
    (block,) = blocks(page, "diff")
    path, before, added = block.text.splitlines()
    assert before.startswith(" ")
    assert added.startswith("+")
    return path.removeprefix("# "), before[1:], added[1:]
