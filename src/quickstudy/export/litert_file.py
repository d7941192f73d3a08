"""A LiteRT graph as a file: the flatbuffer that LiteRT reads, written with the schema that its package brings."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from quickstudy.export.litert_graph import LiteRTGraph, Operator, Tensor

_VERSION, _IDENTIFIER, _ALIGNMENT = 3, b"TFL3", 16
_VERSIONS = {"BROADCAST_TO": 2}
"""Operations whose first version LiteRT does not read."""
_OPTIONS = {
    "SUM": "Reducer",
    "REDUCE_MAX": "Reducer",
    "REDUCE_MIN": "Reducer",
    "REDUCE_ALL": "Reducer",
    "REDUCE_ANY": "Reducer",
    "MAXIMUM": "MaximumMinimum",
    "MINIMUM": "MaximumMinimum",
    "BATCH_MATMUL": "BatchMatMul",
    "SELECT_V2": "SelectV2",
    "PADV2": "PadV2",
}
"""What the schema calls the options of an operator, where that does not follow from the operator's name."""


def file_of(graph: LiteRTGraph, inputs: Sequence[int], outputs: Sequence[int], *, title: str) -> bytes:
    """The file of a graph. It has one signature, `step`.

    Args:
      graph: of operators that LiteRT has.
      inputs: tensors that the caller gives, in order.
      outputs: tensors that the caller is given, in order.
      title: what the graph is.
    """
    model = schema.ModelT()
    model.version, model.description = _VERSION, title
    kinds = list(dict.fromkeys(one.kind for one in graph.operators))
    model.operatorCodes = [_code(kind) for kind in kinds]
    model.buffers = [_Bytes(b"")]
    tensors = []
    for number, tensor in enumerate(graph.tensors):
        if tensor.array is not None:
            model.buffers.append(_Bytes(np.ascontiguousarray(tensor.array).tobytes()))
        tensors.append(_tensor(number, tensor, buffer=0 if tensor.array is None else len(model.buffers) - 1))
    part = schema.SubGraphT()
    part.name, part.tensors, part.inputs, part.outputs = "step", tensors, list(inputs), list(outputs)
    part.operators = [_operator(one, kinds, graph) for one in graph.operators]
    model.subgraphs = [part]
    model.signatureDefs = [_signature(graph, inputs, outputs)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Bytes:
    """Known numbers. They begin at a multiple of 16 bytes, as LiteRT expects; the schema's own record does not see to that."""

    def __init__(self, content: bytes):
        self._content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802
        """Writes them, as records of the schema are written."""
        if self._content:
            builder.StartVector(1, len(self._content), _ALIGNMENT)
            builder.head = builder.head - len(self._content)
            builder.Bytes[builder.head : builder.head + len(self._content)] = self._content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if self._content:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _code(kind: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    # Old readers know the first 127 operators by this field.
    code.deprecatedBuiltinCode = min(code.builtinCode, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    code.version = _VERSIONS.get(kind, 1)
    return code


def _type(dtype: np.dtype) -> int:
    return getattr(schema.TensorType, dtype.name.upper())


def _tensor(number: int, tensor: Tensor, *, buffer: int) -> Any:
    made = schema.TensorT()
    made.shape, made.type, made.buffer = list(tensor.shape), _type(tensor.dtype), buffer
    made.name, made.hasRank = tensor.name or f"t{number}", True
    if tensor.scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [float(one) for one in tensor.scale]
        made.quantization.zeroPoint = [0] * len(tensor.scale)
    return made


def _operator(operator: Operator, kinds: list[str], graph: LiteRTGraph) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = kinds.index(operator.kind)
    made.inputs, made.outputs = list(operator.inputs), [operator.output]
    name = _OPTIONS.get(operator.kind, operator.kind.title().replace("_", "")) + "Options"
    if hasattr(schema.BuiltinOptions, name):
        options = getattr(schema, f"{name}T")()
        for field, value in operator.options.items():
            setattr(options, field, value)
        if operator.kind == "CAST":
            options.inDataType = _type(graph.tensors[operator.inputs[0]].dtype)
            options.outDataType = _type(graph.tensors[operator.output].dtype)
        if operator.kind == "ARG_MAX":
            options.outputType = _type(graph.tensors[operator.output].dtype)
        made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, name), options
    return made


def _signature(graph: LiteRTGraph, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = "step", 0
    made.inputs, made.outputs = ([_port(graph, one) for one in side] for side in (inputs, outputs))
    return made


def _port(graph: LiteRTGraph, number: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = graph.tensors[number].name, number
    return made
