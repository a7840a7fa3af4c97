"""An ONNX graph with indices: which node makes a value, which nodes read it, which values are constant."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Self

import numpy as np
import onnx
from onnx import numpy_helper

from ..arrays import Array
from ..contract import METADATA_KEY, Contract
from ..errors import ContractError, UnsupportedError
from ..files import MAX_FILE_BYTES, read_bytes, write_atomic
from .data_files import DataFiles
from .gate import parse
from .nodes import attributes, label, opset_of, origin, passed_on


class Graph:
    """A model with indices over its main graph.

    The indices are built once. After a change of the nodes, make a new Graph.

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
        self._outputs = {output.name for output in model.graph.output}
        self._passed = passed_on(model.graph, ["Identity"])

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, data_files: DataFiles | None = None) -> Self:
        """Read an ONNX file.

        Args:
            path: The file.
            data_files: Takes the weights from other files of its folder, and knows them then; None: there may be none.

        Raises:
            ModelError: It is not an ONNX file, or `gate` refuses it: it is too large or nested too deep, has weights in
                other files, shapes that do not fit their data, functions, sparse tensors or unknown attributes.
            FileNotFoundError: There is no such file.
        """
        return cls(parse(read_bytes(path, MAX_FILE_BYTES), os.fspath(path), data_files=data_files))

    @classmethod
    def parse(cls, data: bytes, path: str | os.PathLike[str]) -> Self:
        """Read the bytes of an ONNX file; errors name the file.

        Raises:
            ModelError: As `load` does.
        """
        return cls(parse(data, os.fspath(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file; after a crash the old or the new file is there."""
        write_atomic(path, self.model.SerializeToString())

    def require_flat(self) -> None:
        """Refuse branches and loops: a stream has one path. A Scan is allowed, since it may be a projected LSTM.

        Raises:
            UnsupportedError: A node has graphs inside.
        """
        for node in self.nodes:
            if node.op_type != "Scan" and any(a.HasField("g") or a.graphs for a in node.attribute):
                raise UnsupportedError(
                    f"{label(node)}: it has graphs inside, which no stream runs; `tidegate lift` resolves those "
                    "whose conditions are constant"
                )

    @property
    def contract(self) -> Contract:
        """The streaming contract in the metadata.

        Raises:
            ContractError: The file has no contract, or it is not valid.
        """
        text = self.metadata(METADATA_KEY)
        if text is None:
            raise ContractError(
                f"the file has no {METADATA_KEY} in its metadata; export it with `tidegate export`, or lift it with "
                "`tidegate lift`"
            )
        return Contract.from_json(text)

    def metadata(self, key: str) -> str | None:
        """Return a metadata text; None if there is none."""
        return next((p.value for p in self.model.metadata_props if p.key == key), None)

    def set_metadata(self, key: str, value: str) -> None:
        """Set a metadata text."""
        self.drop_metadata(key)
        self.model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))

    def drop_metadata(self, key: str) -> None:
        """Remove a metadata text if there is one."""
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

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the node that reads a value; None if another reads it too, or an output of the graph is this value."""
        readers = self._consumers[name]
        return readers[0] if len(readers) == 1 and not self.is_output(name) else None

    def is_output(self, name: str) -> bool:
        """Return whether a value is an output of the graph."""
        return name in self._outputs

    def sources_of(self, names: Iterable[str], ends: Collection[str] = ()) -> set[str]:
        """Return the values that some values are made of, and these; the search stops at the ends."""
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen and name not in ends:
                seen.add(name)
                node = self.producer(name)
                waiting += node.input if node is not None else ()
        return seen

    def constant(self, name: str) -> Array | None:
        """Return the value of an initializer or a Constant node, also through Identity; else None."""
        name = origin(self._passed, name)
        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        node = self.producer(name)
        return _constant_value(node) if node is not None and node.op_type == "Constant" else None

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
