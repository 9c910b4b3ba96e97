"""A small writer of ONNX graphs: nodes in the order they are computed, weights streamed to a file beside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from seesay.engine.base import Floats

Array = NDArray[np.generic]

CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
_OPSETS = {"": 21, CONTRIB: 1}
_IR_VERSION = 10  # the one that came with opset 21
_INLINE_BYTES = 1024  # smaller constants stand in the graph itself
_ALIGNMENT = 4096  # a page, so that weights can be memory-mapped

Value = str
"""Name of a tensor in the graph."""


class Graph:
    """One graph on its way to `folder/name.onnx`, its weights to `folder/name.weights`.

    Weights are written as they come, so that a model of a gigabyte is converted without holding it in memory.
    """

    def __init__(
        self, folder: Path, name: str, precision: Literal["fp32", "int8"] = "fp32", weight_bits: int = 8
    ) -> None:
        """`precision` is what `linear` computes in; `weight_bits` is 7 where the CPU's int8 sums saturate."""
        self.folder, self.name, self.precision = folder, name, precision
        self._largest = 2 ** (weight_bits - 1) - 1
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._weights = (folder / f"{name}.weights").open("wb")

    def __enter__(self) -> Graph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._weights.close()
        if kind is None:
            graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
            opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
            model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
            (self.folder / f"{self.name}.onnx").write_bytes(model.SerializeToString())

    # The ends of the graph.

    def input(self, name: str, shape: Sequence[int | str], kind: type[np.generic] = np.float32) -> Value:
        """A tensor that the caller feeds; a dimension with a name may differ from run to run."""
        self._inputs.append(helper.make_tensor_value_info(name, _onnx_type(kind), shape))
        return name

    def output(self, value: Value, name: str, shape: Sequence[int | str], kind: type[np.generic] = np.float32) -> None:
        """Hand `value` out as `name`."""
        # Renamed rather than copied by an Identity: at run time that would be a copy of every cached key and value.
        for node in self._nodes:
            for names in (node.input, node.output):
                for i, present in enumerate(names):
                    if present == value:
                        names[i] = name
        self._outputs.append(helper.make_tensor_value_info(name, _onnx_type(kind), shape))

    # What stands between.

    def constant(self, array: Array) -> Value:
        """A tensor that never changes. Small ones that are equal are stored once."""
        array = np.asarray(array, order="C")  # ascontiguousarray would make a row of a scalar
        if array.nbytes >= _INLINE_BYTES:
            return self._external(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            name = f"constant_{len(self._constants)}"
            tensor = helper.make_tensor(name, _onnx_type(array.dtype.type), array.shape, array.tobytes(), raw=True)
            self._constants.append(tensor)
            self._shared[key] = name
        return self._shared[key]

    def _external(self, array: Array) -> Value:
        self._weights.write(b"\0" * (-self._weights.tell() % _ALIGNMENT))
        name = f"constant_{len(self._constants)}"
        tensor = TensorProto(name=name, data_type=_onnx_type(array.dtype.type), dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": f"{self.name}.weights", "offset": self._weights.tell(), "length": array.nbytes}
        for key, entry in place.items():
            tensor.external_data.add(key=key, value=str(entry))
        self._weights.write(array.data)
        self._constants.append(tensor)
        return name

    def op(self, kind: str, *inputs: Value, domain: str = "", **attributes: Any) -> Value:
        """The only output of one operator."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: Value, outputs: int, domain: str = "", **attributes: Any) -> list[Value]:
        """The first `outputs` outputs of one operator. An input that is "" is left out."""
        names = [f"{kind}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    # Arithmetic that both towers need. Weights come as PyTorch has them, (out, in).

    def linear(self, states: Value, weight: Floats, bias: Floats | None = None) -> Value:
        """states @ weight.T + bias in the graph's precision; states (..., in) to (..., out)."""
        if self.precision == "fp32":
            product = self.op("MatMul", states, self.constant(weight.T))
            return product if bias is None else self.op("Add", product, self.constant(bias))
        values, scales = self.quantised(weight)
        offset = "" if bias is None else self.constant(bias)
        return self.op("DynamicQuantizeMatMul", states, values, scales, "", offset, domain=CONTRIB)

    def linears(self, states: Value, pairs: Sequence[tuple[Floats, Floats | None]]) -> list[Value]:
        """Several `linear`s over the same states, which are quantised once."""
        if self.precision == "fp32":
            return [self.linear(states, weight, bias) for weight, bias in pairs]
        rounded, scale, zero = self.ops("DynamicQuantizeLinear", states, outputs=3)
        products = []
        for weight, bias in pairs:
            values, scales = self.quantised(weight)
            inputs = (rounded, values, scale, scales, zero, "", "" if bias is None else self.constant(bias))
            products.append(self.op("MatMulIntegerToFloat", *inputs, domain=CONTRIB))
        return products

    def quantised(self, weight: Floats) -> tuple[Value, Value]:
        """Weight (out, in) as signed bytes (in, out) with one scale per output, (out,)."""
        scales = np.maximum(np.abs(weight).max(axis=1), 1e-12) / self._largest
        values = np.rint(weight.T / scales).astype(np.int8)
        return self.constant(values), self.constant(scales.astype(np.float32))

    def reshape(self, states: Value, *shape: int) -> Value:
        """0 keeps a dimension, -1 takes what is left."""
        return self.op("Reshape", states, self.constant(np.array(shape, np.int64)))


def _onnx_type(kind: type[np.generic]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
