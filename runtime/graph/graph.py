"""An ONNX graph to look things up in: who makes a value, who reads it, which values are constant."""

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Self

import numpy as np
import onnx
from onnx import numpy_helper

from ..arrays import Array
from ..contract import METADATA_KEY, Contract
from ..errors import ContractError, UnsupportedError
from ..files import MAX_FILE_BYTES, read_bytes, write_atomic
from .gate import MAX_NODES, parse
from .nodes import attributes, label, opset_of


class Graph:
    """A model and the indices over its main graph.

    The indices are built once; after editing the nodes make a new Graph.

    Attributes:
        model: The ONNX model itself.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers = {name: node for node in model.graph.node for name in node.output if name}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in set(node.input):
                self._consumers[name].append(node)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an ONNX file.

        Raises:
            ModelError: It is not an ONNX file, or one that `gate` refuses: too large or too deep, with weights in
                other files or shapes that its data does not have, functions, sparse tensors, unknown attributes.
            FileNotFoundError: There is no such file.
        """
        return cls.parse(read_bytes(path, MAX_FILE_BYTES), path)

    @classmethod
    def parse(cls, data: bytes, path: str | os.PathLike[str]) -> Self:
        """Read what an ONNX file holds; errors name the file.

        Raises:
            ModelError: As `load` does.
        """
        return cls(parse(data, os.fspath(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model; a crash leaves the old file or the new one."""
        write_atomic(path, self.model.SerializeToString())

    def require_flat(self) -> None:
        """Refuse branches and loops: what streams has one path. A Scan may be an LSTM with projection.

        Raises:
            UnsupportedError: A node holds graphs of its own.
        """
        for node in self.nodes:
            if node.op_type != "Scan" and any(a.HasField("g") or a.graphs for a in node.attribute):
                raise UnsupportedError(
                    f"{label(node)}: it holds graphs of its own, which no stream runs; `tidegate lift` opens those "
                    "that are settled before it streams"
                )

    @property
    def contract(self) -> Contract:
        """The streaming contract in the metadata.

        Raises:
            ContractError: There is none, or it is not valid.
        """
        text = self.metadata(METADATA_KEY)
        if text is None:
            raise ContractError(
                f"the file has no {METADATA_KEY} in its metadata; export it with `tidegate export`, or lift it with "
                "`tidegate lift`"
            )
        return Contract.from_json(text)

    def metadata(self, key: str) -> str | None:
        """Return a metadata text, or None."""
        return next((p.value for p in self.model.metadata_props if p.key == key), None)

    def set_metadata(self, key: str, value: str) -> None:
        """Set a metadata text."""
        self.drop_metadata(key)
        self.model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))

    def drop_metadata(self, key: str) -> None:
        """Remove a metadata text, where there is one."""
        kept = [p for p in self.model.metadata_props if p.key != key]
        del self.model.metadata_props[:]
        self.model.metadata_props.extend(kept)

    @property
    def nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes of the main graph in file order, which ONNX requires to be topological."""
        return iter(self.model.graph.node)

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a value; None for a graph input or an initializer."""
        return self._producers.get(name)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a value."""
        return self._consumers[name]

    def constant(self, name: str) -> Array | None:
        """Return the value of an initializer or Constant node (through Identity), or None."""
        for _ in range(MAX_NODES):
            if name in self._initializers:
                return numpy_helper.to_array(self._initializers[name])
            node = self.producer(name)
            if node is None:
                return None
            if node.op_type == "Constant":
                return _constant_value(node)
            if node.op_type != "Identity":
                return None
            name = node.input[0]
        return None

    def opset(self) -> int:
        """Return the version of the standard operator set that the file imports."""
        return opset_of(self.model)


def _constant_value(node: onnx.NodeProto) -> Array | None:
    values = attributes(node)
    if "value" in values:
        return numpy_helper.to_array(values["value"])
    for key in ("value_float", "value_floats"):
        if key in values:
            return np.asarray(values[key], np.float32)
    for key in ("value_int", "value_ints"):
        if key in values:
            return np.asarray(values[key], np.int64)
    return None
