"""The operations of a program as expressions of NumPy: the meaning of each, and what the NumPy form is written in."""

import math
from typing import Any

import numpy as np

from quickstudy.programs.program import Operation, Value

_TEXT = {
    "neg": "-{}",
    "exp": "np.exp({})",
    "expm1": "np.expm1({})",
    "log": "np.log({})",
    "log1p": "np.log1p({})",
    "tanh": "np.tanh({})",
    # Not 1 / (1 + exp(-x)), which overflows.
    "logistic": "0.5 + 0.5 * np.tanh(0.5 * {})",
    "sqrt": "np.sqrt({})",
    "rsqrt": "1 / np.sqrt({})",
    "abs": "np.abs({})",
    "sign": "np.sign({})",
    "floor": "np.floor({})",
    "cos": "np.cos({})",
    "sin": "np.sin({})",
    "erf": "_erf({})",
    "erfc": "_erfc({})",
    "erf_inv": "_erf_inv({})",
    "is_finite": "np.isfinite({})",
    "not": "~{}",
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "max": "np.maximum({}, {})",
    "min": "np.minimum({}, {})",
    "pow": "np.power({}, {})",
    "rem": "np.fmod({}, {})",
    "and": "{} & {}",
    "or": "{} | {}",
    "xor": "{} ^ {}",
    "shift_left": "np.left_shift({}, {})",
    "shift_right": "np.right_shift({}, {})",
    "eq": "{} == {}",
    "ne": "{} != {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "select": "np.where({}, {}, {})",
    "matmul": "{} @ {}",
    "vecmat": "{} @ {}",
    "fold_in": "_fold_in({}, {})",
}
_REDUCTIONS = {"sum": "np.add", "largest": "np.maximum", "least": "np.minimum", "all": "np.logical_and", "any": "np.logical_or"}

HELPERS = {
    "_erf": """
_erf = np.vectorize(math.erf, otypes=[np.float32])
""",
    "_erfc": """
_erfc = np.vectorize(math.erfc, otypes=[np.float32])
""",
    "_erf_inv": """
_quantile = statistics.NormalDist().inv_cdf
_erf_inv = np.vectorize(lambda x: _quantile(0.5 + 0.5 * x) * 0.5**0.5, otypes=[np.float32])
""",
    "_threefry": """
def _threefry(key, first, second):
    \"\"\"Two words of 32 random bits for every pair of words that is counted (Salmon et al. 2011, 20 rounds).\"\"\"
    keys = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    with np.errstate(over="ignore"):
        first, second = first + keys[0], second + keys[1]
        for part in range(5):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[part % 2]:
                first = first + second
                second = first ^ (second << np.uint32(turn) | second >> np.uint32(32 - turn))
            first = first + keys[(part + 1) % 3]
            second = second + keys[(part + 2) % 3] + np.uint32(part + 1)
    return first, second
""",
    "_random_bits": """
def _random_bits(key, shape):
    \"\"\"Words of 32 random bits.\"\"\"
    size = math.prod(shape)
    first, second = _threefry(key, np.zeros(size, np.uint32), np.arange(size, dtype=np.uint32))
    return (first ^ second).reshape(shape)
""",
    "_fold_in": """
def _fold_in(key, number):
    \"\"\"The key of a number.\"\"\"
    return np.array(_threefry(key, np.uint32(0), np.uint32(number)))
""",
}
"""What expressions call besides NumPy, as source. They need `math` and `statistics` of Python."""
_NEEDS = {"_random_bits": ("_threefry",), "_fold_in": ("_threefry",)}


def expression(op: Operation, operands: list[str]) -> str:
    """An operation as an expression of NumPy.

    Args:
      op: the operation.
      operands: names, or expressions in brackets, of its inputs.
    """
    first, settings = operands[0], op.settings
    if op.kind == "cast":
        return f"{first}.astype(np.{_type(op.output)})"
    if op.kind == "bits":
        return f"{first}.view(np.{_type(op.output)})"
    if op.kind == "div" and np.issubdtype(op.output.dtype, np.integer):
        return f"({first} / {operands[1]}).astype(np.{_type(op.output)})"  # towards zero, as in C
    if op.kind == "select" and not op.inputs[0].shape and all(value.shape == op.output.shape for value in op.inputs[1:]):
        return f"{operands[1]} if {first} else {operands[2]}"
    if op.kind in _TEXT:
        return _TEXT[op.kind].format(*operands)
    if op.kind in _REDUCTIONS:
        return f"{_REDUCTIONS[op.kind]}.reduce({first}, axis={_short(settings['axes'], op.inputs[0])})"
    if op.kind == "argmax":
        return f"{first}.argmax({settings['axis']}).astype(np.{_type(op.output)})"
    if op.kind == "cumsum":
        return f"np.add.accumulate({first}, axis={settings['axis']})"
    if op.kind == "cummax":
        return f"np.maximum.accumulate({first}, axis={settings['axis']})"
    if op.kind == "broadcast":
        return f"np.broadcast_to({beside(op, first)}, {op.output.shape})"
    if op.kind == "reshape":
        return f"{first}.reshape({op.output.shape})"
    if op.kind == "transpose":
        return f"{first}.transpose({settings['axes']})"
    if op.kind == "slice":
        return f"{first}[{', '.join(_range_text(*cut) for cut in settings['ranges'])}]"
    if op.kind == "concatenate":
        parts = [
            name if value.shape == shape else f"np.reshape({name}, {shape})"
            for name, value, shape in zip(operands, op.inputs, _part_shapes(op), strict=True)
        ]
        return f"np.concatenate(({', '.join(parts)},), axis={settings['axis']})"
    if op.kind == "pad":
        widths = tuple(zip(settings["before"], settings["after"], strict=True))
        return f"np.pad({first}, {widths}, constant_values={operands[1]})"
    if op.kind == "take":
        return f"{first}[np.clip({operands[1]}, 0, {op.inputs[0].shape[0] - 1})]"
    if op.kind == "random_bits":
        return f"_random_bits({first}, {op.output.shape})"
    raise NotImplementedError(op.kind)


def beside(op: Operation, name: str) -> str:
    """The input of a `broadcast`, so that NumPy broadcasts it by itself to the output's shape."""
    axes, rank = op.settings["axes"], len(op.output.shape)
    if axes == tuple(range(rank - len(axes), rank)):
        return name
    places = [":" if axis in axes else "None" for axis in range(min(axes), rank)]
    return f"{name}[{', '.join(places)}]"


def helpers_for(text: str) -> str:
    """The source of the helpers that a text calls."""
    wanted = [name for name in HELPERS if f"{name}(" in text]
    wanted += [name for one in wanted for name in _NEEDS.get(one, ())]
    return "".join(f"\n{source}" for name, source in HELPERS.items() if name in wanted)


def evaluate(op: Operation, *arrays: np.ndarray) -> np.ndarray:
    """What an operation makes of these arrays, in the shape and type of its output."""
    names = [f"a{number}" for number in range(len(arrays))]
    text = expression(op, names)
    with np.errstate(all="ignore"):
        result: Any = eval(text, _environment(), dict(zip(names, arrays, strict=True)))
    return np.asarray(result, op.output.dtype).reshape(op.output.shape)


def literal(array: np.ndarray) -> str | None:
    """A scalar as it is written in Python; None where it cannot be."""
    if array.shape or not np.isfinite(array):
        return None
    return repr(array.item()) if array.item() >= 0 else f"({array.item()!r})"


_made: dict[str, Any] = {}


def _environment() -> dict[str, Any]:
    if not _made:
        import statistics

        _made.update(np=np, math=math, statistics=statistics)
        exec("".join(HELPERS.values()), _made)
    return _made


def _type(value: Value) -> str:
    return "bool_" if value.dtype == np.bool_ else value.dtype.name


def _short(axes: tuple[int, ...], value: Value) -> str:
    return "None" if len(axes) == len(value.shape) else str(axes[0] if len(axes) == 1 else axes)


def _range_text(start: int, stop: int, step: int) -> str:
    if stop - start <= step:
        return str(start)
    return f"{start}:{stop}" + (f":{step}" if step > 1 else "")


def _part_shapes(op: Operation) -> list[tuple[int, ...]]:
    """The shapes of the parts of a `concatenate`, each with its own length along the axis."""
    axis, shape = op.settings["axis"], op.output.shape
    return [(*shape[:axis], length, *shape[axis + 1 :]) for length in op.settings["sizes"]]
