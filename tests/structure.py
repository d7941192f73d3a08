"""Rules about source files: functions that list what breaks a rule. `test_structure.py` holds the package to them.

A package is read, never imported. Each rule returns sentences, one for each thing that breaks it.
"""

import ast
import builtins
import dis
import re
import statistics
import types
from pathlib import Path

NAMED_IN_A_STRING = re.compile(r"(\w+(?:\.\w+)+)(?::\w+)?")
"""`package.module` or `package.module:name`, and nothing else in the string."""


class Package:
    """The modules of a package and their imports.

    Args:
      root: the folder of the package; its name is the package's.
    """

    def __init__(self, root: Path):
        self.root = root
        self.files = {self.module_of(path): path for path in sorted(root.rglob("*.py"))}
        self.trees = {module: ast.parse(path.read_text()) for module, path in self.files.items()}
        self.imports = {module: self.imports_of(module) for module in self.files}

    def module_of(self, path: Path) -> str:
        """`numerics.returns` for the file of `package.numerics.returns`; the empty string for the package itself."""
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(part for part in parts if part != "__init__")

    def module_named(self, name: str) -> str | None:
        """The module that a dotted name with the package in front means: itself, or that which holds the attribute."""
        package, *parts = name.split(".")
        if package != self.root.name:
            return None
        while parts and ".".join(parts) not in self.files:
            parts.pop()
        return ".".join(parts)

    def imports_of(self, module: str) -> set[str]:
        """The modules that a file imports: at its top, within functions, and by a name in a string.

        A table that names modules in strings imports them, only later. So a table may name files of its own room, and those
        files must not import the module of the table back.
        """
        names = []
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names += [f"{self.above(module, node.level)}.{node.module or ''}".rstrip(".")]
            elif isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = NAMED_IN_A_STRING.fullmatch(node.value)
                names += [named[1]] if named else []
        found = {self.module_named(name) for name in names}
        return {name for name in found if name} - {module}

    def above(self, module: str, level: int) -> str:
        """The package that the dots of a relative import mean."""
        parts = [self.root.name, *module.split(".")]
        is_package = self.files[module].name == "__init__.py"
        return ".".join(parts[: len(parts) - level + is_package])


def room_of(module: str) -> str:
    """The first part of a module's name."""
    return module.split(".")[0]


def wrong_rooms(package: Package, rooms: dict[str, tuple[str, ...]]) -> list[str]:
    """What stands at the root and is no room, and rooms that hold no file."""
    present = {room_of(module) for module in package.files if module}
    return [f"{room} is no room" for room in sorted(present - set(rooms))] + [
        f"{room} is a room without files" for room in sorted(set(rooms) - present)
    ]


def rows_out_of_order(rooms: dict[str, tuple[str, ...]]) -> list[str]:
    """Rows that name a room which does not stand above them in the table."""
    order = list(rooms)
    return [
        f"{room} may not name {other}, which does not stand above it"
        for number, (room, row) in enumerate(rooms.items())
        for other in row
        if other not in order[:number]
    ]


def imports_against_the_table(package: Package, rooms: dict[str, tuple[str, ...]]) -> list[str]:
    """Imports of a room that the importing room's row does not name."""
    return [
        f"{module} imports {other}; {room_of(module)} may import {', '.join(rooms[room_of(module)]) or 'no room'}"
        for module, imports in package.imports.items()
        if room_of(module) in rooms
        for other in sorted(imports)
        if room_of(other) not in (room_of(module), *rooms[room_of(module)])
    ]


def circles(package: Package) -> list[str]:
    """Groups of modules that import one another, through others or directly."""
    reached = {module: reachable(package.imports, module) for module in package.files}
    groups = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in package.files
        if module in reached[module]
    }
    return sorted(" <-> ".join(sorted(group)) for group in groups)


def reachable(imports: dict[str, set[str]], module: str) -> set[str]:
    """Every module that a module imports, through others or directly."""
    found, following = set(), list(imports[module])
    while following:
        other = following.pop()
        if other not in found:
            found.add(other)
            following += imports.get(other, ())
    return found


def long_files(paths: list[Path], *, limit: int) -> list[str]:
    """Files of more lines than the limit."""
    lengths = {path: len(path.read_text().splitlines()) for path in paths}
    return [f"{path} has {length} lines; at most {limit} are allowed" for path, length in lengths.items() if length > limit]


def median_length(paths: list[Path]) -> float:
    """The median number of lines."""
    return statistics.median(len(path.read_text().splitlines()) for path in paths)


def deep_files(paths: list[Path], *, limit: int) -> list[str]:
    """Files with functions nested deeper than the limit."""
    depths = {path: depth_of(ast.parse(path.read_text())) for path in paths}
    return [f"{path} nests {depth} functions; at most {limit} are allowed" for path, depth in depths.items() if depth > limit]


def depth_of(node: ast.AST, depth: int = 0) -> int:
    """How deep functions are nested below a node."""
    here = depth + isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return max([here, *(depth_of(child, here) for child in ast.iter_child_nodes(node))])


def folders_without_source(tests: Path, root: Path, *, own: tuple[str, ...]) -> list[str]:
    """Folders of test files that mirror no folder of the package and are none of the tests' own."""
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    return [
        f"tests/{folder} mirrors no folder of {root.name}"
        for folder in sorted(folders)
        if folder.parts and folder.parts[0] not in own and not any((root / folder).glob("*.py"))
    ]


def undefined_names(path: Path) -> list[str]:
    """Global names that a file loads and nowhere defines.

    Shapes in annotations keep the linter from looking for undefined names, so they are looked for in the compiled code.
    """
    whole = compile(path.read_text(), str(path), "exec")
    stored = {i.argval for i in dis.get_instructions(whole) if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    loaded = {i.argval for code in codes_in(whole) for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    return [
        f"{path} uses {name}" for name in sorted(loaded - stored - set(dir(builtins)) - {"__file__", "__name__", "__doc__"})
    ]


def codes_in(code: types.CodeType):
    """A code object and all that are nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def missing_from_all(path: Path) -> list[str]:
    """Public functions and classes that a file with `__all__` defines and does not list."""
    tree = ast.parse(path.read_text())
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    public = {name for name in defined if not name.startswith("_")}
    return [f"{path} does not list {name}" for name in sorted(public - set(listed[0]))] if listed else []


def calls_of_lapack(path: Path) -> list[str]:
    """Names from JAX that call LAPACK; `numerics.linear_algebra` says why they are not used."""
    tree = ast.parse(path.read_text())
    named = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    named += [
        f"{node.module}.{alias.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    homes = ("jnp.linalg.", "jax.numpy.linalg.", "jax.scipy.linalg.", "jax.lax.linalg.", "jax.nn.initializers.orthogonal")
    return [f"{path} names {name}" for name in named if name.startswith(homes) and not name.endswith("linalg.norm")]
