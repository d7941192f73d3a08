"""A safetensors file of anybody: its header is read and compared before its numbers.

    8 bytes: length of the header | header: JSON, name -> dtype, shape, place | numbers, one array after another

Nothing is allocated for what a header only claims: the arrays must fill the rest of the file exactly.
"""

import contextlib
import dataclasses
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.errors import BundleError
from quickstudy.storage.reading import DESCRIPTION, parse_json, regular_file

_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32, "I32": np.int32,
    "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_LENGTH_BYTES = 8
_BLOCK, _MOST_AXES = 2**20, 32

MOST_BYTES = 2**31
"""Of a file of parameters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """What the header says of one array: `dtype`, `shape`, and the bytes `begin` to `end` after the header."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorFile:
    """An open file whose header was read and checked.

    Args:
      path: of the file, for messages.
      what: what it should hold, in words.
      tensors: what the header says, by name.
      metadata: texts of the header, by name.
    """

    path: str
    what: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    _file: BinaryIO
    _start: bytes
    _size: int

    def read(self) -> tuple[dict[str, np.ndarray], str]:
        """The arrays by name, and the SHA-256 of the whole file.

        Raises:
          BundleError: the file became shorter, or an array holds a number that is not finite.
        """
        digest = hashlib.sha256(self._start)
        memory = bytearray(self._size)
        view, done = memoryview(memory), 0
        while done < self._size:
            count = self._file.readinto(view[done : done + _BLOCK])  # type: ignore[attr-defined]
            if not count:
                raise BundleError(f"{self.path} ended while it was read. Copy it again.")
            digest.update(view[done : done + count])
            done += count
        content, arrays = np.frombuffer(memory, np.uint8), {}
        for name, tensor in self.tensors.items():
            arrays[name] = content[tensor.begin : tensor.end].view(tensor.dtype).reshape(tensor.shape)
        return arrays, digest.hexdigest()


@contextlib.contextmanager
def tensor_file(path: str | os.PathLike, *, what: str, most_bytes: int = MOST_BYTES) -> Iterator[TensorFile]:
    """Opens a file of tensors and reads its header; the numbers are read by `TensorFile.read`.

    Args:
      path: of the file.
      what: what it should hold, in words, as in `readout`.
      most_bytes: that the file may have.
    Raises:
      BundleError: no such file, no regular file, or one that is too large; a header that does not parse, or does not describe
        exactly the bytes that follow it.
    """
    name = os.fspath(path)
    with regular_file(name, what=what, most_bytes=most_bytes, refusal=BundleError) as (file, size):
        start = file.read(_LENGTH_BYTES)
        length = int.from_bytes(start, "little")
        if len(start) < _LENGTH_BYTES or not 2 <= length <= min(size - _LENGTH_BYTES, DESCRIPTION.bytes):
            raise BundleError(
                f"{name} ({size:,} bytes) is no file of tensors: its header would have {length:,} bytes. It is truncated or "
                "altered; copy it again."
            )
        header = file.read(length)
        tensors, metadata = _parsed(header, name, left=size - _LENGTH_BYTES - length)
        yield TensorFile(
            path=name,
            what=what,
            tensors=tensors,
            metadata=metadata,
            _file=file,
            _start=start + header,
            _size=size - _LENGTH_BYTES - length,
        )


def check_finite(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Raises BundleError for the first array that holds a NaN or an infinity."""
    for name, array in arrays.items():
        if array.dtype.kind in "fV" and not np.isfinite(array).all():  # bfloat16 is of kind V
            raise BundleError(f"{os.fspath(path)}: {name} holds numbers that are not finite. It cannot be used; train again.")


def _parsed(header: bytes, path: str, *, left: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a header; `left` bytes follow it."""
    try:
        content = parse_json(header, limit=DESCRIPTION)
    except ValueError as error:
        raise BundleError(f"{path}: its header does not parse: {error}. Copy it again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: its header must be one JSON object; came a {type(content).__name__}. Copy it again.")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BundleError(f"{path}: the metadata in its header must be texts by name.")
    tensors = {name: _tensor(name, entry, path) for name, entry in content.items()}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end:
            raise BundleError(f"{path}: {name} begins at byte {tensor.begin:,} and not at {end:,}. The file is altered.")
        end = tensor.end
    if end != left:
        raise BundleError(
            f"{path} is truncated or altered: its header describes {end:,} bytes, and {left:,} follow. Copy it again."
        )
    return tensors, metadata


def _tensor(name: str, entry: Any, path: str) -> Tensor:
    place = f"{path}: {name[:100]} in its header"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BundleError(f"{place} must have a dtype, a shape and data_offsets, and nothing else.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise BundleError(f"{place} must have one of the types {', '.join(_DTYPES)}; came {dtype!r:.80}.")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise BundleError(f"{place} must have whole numbers of 0 or more as shape and as two data_offsets.")
    kind = np.dtype(_DTYPES[dtype])
    if offsets[1] - offsets[0] != math.prod(shape) * kind.itemsize:
        raise BundleError(f"{place} has {offsets[1] - offsets[0]:,} bytes, which is not the size of {kind}{shape!r:.80}.")
    return Tensor(dtype=kind, shape=tuple(shape), begin=offsets[0], end=offsets[1])


def _counts(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= _MOST_AXES
        and all(isinstance(x, int) and not isinstance(x, bool) and x >= 0 for x in values)
    )
