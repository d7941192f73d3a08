"""A task imports shared models and makers of agents from the baselines, and none of their insides."""

import ast
from pathlib import Path

import pytest

import quickstudy.tasks

FOLDER = Path(quickstudy.tasks.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_tasks_import_models_and_makers_only(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not any(name.name.startswith("quickstudy.baselines") for name in node.names)
        module = getattr(node, "module", None) or ""
        if module.startswith("quickstudy.baselines") and not f"{module}.".startswith("quickstudy.baselines.models."):
            wrong = [name.name for name in node.names if not name.name.endswith(("_agent", "_reaches", "uniform_action"))]
            assert not wrong, f"{file} imports {wrong} from {module}; shared physics belongs in baselines/models"


def test_models_import_no_baseline() -> None:
    for file in (FOLDER.parent / "baselines" / "models").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            module = f"{getattr(node, 'module', None) or ''}."
            if not module.startswith("quickstudy.baselines.models."):
                assert not module.startswith(("quickstudy.baselines", "quickstudy.tasks")), file
