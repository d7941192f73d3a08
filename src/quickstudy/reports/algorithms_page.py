"""The table of the algorithms page, made from the registry, the modules' docstrings and the agents themselves."""

import inspect
import re
from pathlib import Path

from quickstudy import algorithms, tasks
from quickstudy.protocol.agent import Agent, memory_bytes
from quickstudy.protocol.registry import resolve
from quickstudy.reports import markdown
from quickstudy.storage.atomic import write_atomically

PAGE = Path("docs") / "algorithms.md"
EPISODES = 40
"""Episodes in a lifetime of the tasks that the table is made with: two parts for agents that adapt every 20 episodes."""

_MARKED = re.compile(r"(<!-- algorithms -->\n).*?(<!-- /algorithms -->)", re.S)
_HEADS = ("name", "what it is", "memory changes", "bytes")


def render_table() -> str:
    """A line for each registered algorithm: name, first line of its docstring, when memory changes, bytes of memory."""
    spec = tasks.make("point-navigation", episodes=EPISODES).spec
    lines = []
    for name, where in algorithms.ALGORITHMS.items():
        path = where.partition(":")[0].replace(".", "/")
        docstring = inspect.getdoc(inspect.getmodule(resolve("algorithm", name, algorithms.ALGORITHMS))) or ""
        agent = algorithms.make(name, spec).agent
        lines.append([f"[`{name}`](../src/{path}.py)", docstring.partition("\n")[0], _when(agent), f"{memory_bytes(agent):,}"])
    return markdown.table(_HEADS, lines)


def write_algorithms_table(folder: Path) -> list[Path]:
    """Writes the table between the marks of the algorithms page below a checkout.

    Args:
      folder: the checkout; one without the page, or with a page without marks, is left as it is.
    Returns:
      The paths that were written: one, or none.
    """
    page = folder / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if not _MARKED.search(text):
        return []
    table = render_table()
    write_atomically(page, _MARKED.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text))
    return [page]


def _when(agent: Agent) -> str:
    """When `adapt` is called, in words."""
    if agent.cadence == 1:
        return "every step"
    episodes, rest = divmod(agent.cadence, agent.spec.horizon)
    return f"every {agent.cadence} steps" if rest else f"every {episodes} episode{'s' if episodes > 1 else ''}"
