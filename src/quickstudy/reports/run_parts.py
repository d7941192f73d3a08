"""The last parts of a run's page: its configuration, folded, and the commands that give the results again."""

from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.evaluation.results import Evaluation
from quickstudy.reports.page_parts import text

SECTIONS = {
    "algorithm": "Algorithm",
    "distribution": "Tasks",
    "training": "Training",
    "versions": "Versions",
    "machine": "Machine",
}


def table_of(run: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """A part of a run's record, which anybody may have written; empty where it is no table."""
    part = (run or {}).get(key)
    return part if isinstance(part, Mapping) else {}


def configuration(run: Mapping[str, Any]) -> str:
    """The settings of a run, its versions and its machine, behind a line that opens them."""
    parts = []
    for key, heading in SECTIONS.items():
        rows = "".join(
            f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in _flat(table_of(run, key))
        )
        if rows:
            parts.append(f'<figure><h3>{heading}</h3><table class="plain"><tbody>{rows}</tbody></table></figure>')
    if not parts:
        return ""
    return f'<details><summary>Show all settings</summary><div class="pictures">{"".join(parts)}</div></details>'


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted names; a bare value keeps the name that it came with."""
    if not isinstance(value, Mapping):
        return [(prefix or "value", value)]
    # A run stores `name` and `config` side by side; the settings need no prefix.
    names = {name: prefix if name == "config" else f"{prefix}.{name}" if prefix else str(name) for name in value}
    return [row for name, inner in value.items() for row in _flat(inner, names[name])]


def reproduce(evaluations: Sequence[Evaluation], run: Mapping[str, Any] | None) -> str:
    """The commands of a run and its evaluations, and the full digests of their task lists."""
    commands = [command for command in [(run or {}).get("command"), *(one.command for one in evaluations)] if command]
    shown = "\n".join(dict.fromkeys(" ".join(map(str, c)) if isinstance(c, list | tuple) else str(c) for c in commands))
    rows = "".join(
        f'<tr><th scope="row">{text(one.split)}</th>'
        f"<td>{text(one.label)}; {one.tasks:,} tasks, seed {one.seed}<br><code>{text(one.task_hash)}</code></td></tr>"
        for one in evaluations
    )
    command = f"<pre><code>{text(shown)}</code></pre>" if shown else ""
    return (
        f'{command}<table class="plain"><thead><tr><th scope="col">split</th><th scope="col">task list (SHA-256)</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )
