"""How the source may look: which way imports point, what is public, how long and how deep."""

import ast
import builtins
import dis
import importlib
import pkgutil
import types
from pathlib import Path

import pytest

import quickstudy

SOURCE = Path(quickstudy.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
EXAMPLES = sorted((SOURCE.parents[1] / "examples").glob("*.py"))
# A module imports from its own floor or from those above it in this list, never from those below.
FLOORS = (
    ("errors", "registry", "disk"),
    ("records",),
    ("numerics", "networks", "comparing", "encoders"),
    ("agent",),
    ("task_distribution", "meta_algorithm"),
    ("host_distribution",),
    ("gymnasium_tasks",),
    ("quarantine", "impairment"),
    ("interact", "host"),
    ("collectors",),
    ("inspection", "baselines", "algorithms"),
    ("tasks",),
    (),  # whatever is named nowhere here
    ("pictures", "drawing", "report", "speed_picture", "readout_pictures", "film_pictures", "xland_pictures"),
    ("cli",),
)
UNNAMED = FLOORS.index(())
LIMIT_LINES = 350
LIMIT_DEPTH = 3


def module_of(path):
    """`quickstudy.numerics.returns` as `numerics.returns`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def module_of_any(path):
    """The module of a file of the package; the file's own name elsewhere."""
    return module_of(path) if path.is_relative_to(SOURCE) else path.stem


def floor_of(module):
    names = [floor for floor, modules in enumerate(FLOORS) if module.split(".")[0] in modules]
    return names[0] if names else UNNAMED


def imports_of(path):
    """Modules of this package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "quickstudy":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name.removeprefix("quickstudy.") for name in names)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("quickstudy.")]
            yield from (name.removeprefix("quickstudy.") for name in names)


def depth_of(node, depth=0):
    """How deep functions are nested below a node."""
    here = depth + isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return max([here, *(depth_of(child, here) for child in ast.iter_child_nodes(node))])


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_one_way(path):
    floor = floor_of(module_of(path)) if path.parent != SOURCE or path.stem != "__init__" else len(FLOORS)
    wrong = [name for name in imports_of(path) if floor_of(name) > floor]
    assert not wrong, f"{module_of(path)} imports {wrong}, which stand above it"


@pytest.mark.parametrize("path", FILES + EXAMPLES, ids=lambda path: path.stem)
def test_files_are_short_and_shallow(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LIMIT_LINES
    assert depth_of(ast.parse(text)) <= LIMIT_DEPTH


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_names_of_files_say_what_is_in_them(path):
    assert path.stem not in ("utils", "common", "base", "types", "helpers", "misc")


def test_public_names_are_exact():
    names = ["quickstudy"] + [f"quickstudy.{m.name}" for m in pkgutil.iter_modules([str(SOURCE)]) if m.ispkg]
    for name in names:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", [])
        assert list(public) == sorted(public), f"{name}.__all__ is not sorted"
        missing = [attribute for attribute in public if not hasattr(module, attribute)]
        assert not missing, f"{name}.__all__ names {missing}, which are not there"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_all_lists_what_a_file_defines(path):
    """Where `__all__` stands, every public function and class that the file defines or gathers is in it."""
    tree = ast.parse(path.read_text())
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    if not listed:
        return
    defined = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    assert defined <= set(listed[0])


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_calls_lapack(path):
    """`numerics.linear_algebra` says why not."""
    tree = ast.parse(path.read_text())
    named = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    named += [
        f"{node.module}.{alias.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    homes = ("jnp.linalg.", "jax.numpy.linalg.", "jax.scipy.linalg.", "jax.lax.linalg.", "jax.nn.initializers.orthogonal")
    assert not [name for name in named if name.startswith(homes) and not name.endswith("linalg.norm")]


@pytest.mark.parametrize("path", FILES + EXAMPLES, ids=module_of_any)
def test_every_name_is_defined(path):
    """Shapes in annotations keep the linter from looking for undefined names, so they are looked for in what functions load."""
    whole = compile(path.read_text(), str(path), "exec")
    stored = {i.argval for i in dis.get_instructions(whole) if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    loaded = {i.argval for code in codes_in(whole) for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    assert loaded <= stored | set(dir(builtins)) | {"__file__", "__name__", "__doc__"}


def codes_in(code):
    """A code object and all that are nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)
