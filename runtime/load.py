"""Open a model file with a backend, or compile it to a plan."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from .errors import BackendError, ModelError
from .files import MAX_FILE_BYTES, read_bytes, write_atomic
from .plan.magic import MAGIC, is_plan
from .streams import Model

if TYPE_CHECKING:
    from .graph.graph import Graph

Backend = Literal["native", "onnxruntime"]
Form = Literal["plan", "c"]


def load(path: str | os.PathLike[str], backend: Backend = "native", *, isa: str | None = None) -> Model:
    """Load a streaming ONNX file, quantized or float, or a compiled plan.

    Args:
        path: The file.
        backend: `native` (tidegate's engine) or `onnxruntime`.
        isa: Forces a variant of the engine, e.g. `scalar`. Default: the environment variable TIDEGATE_ISA, else the
            best variant that the processor has.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the backend does not have.
        BackendError: The backend or the instruction set is not available.
        FileNotFoundError: There is no such file.
    """
    if backend == "native":
        from .backends.native import NativeModel

        with naming(path):
            return NativeModel(plan_of(path), isa)
    if backend == "onnxruntime":
        if is_plan(path):
            raise ModelError(f"{path}: a compiled plan runs only on backend='native'; load the ONNX file instead")
        from .backends.onnxruntime import OnnxruntimeModel

        with naming(path):
            return OnnxruntimeModel(_read_graph(path))
    raise BackendError(f"backend {backend!r} is unknown; wanted 'native' or 'onnxruntime'")


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add the name of the file to an error about its model."""
    try:
        yield
    except ModelError as error:
        named = str(error).startswith(os.fspath(path))
        raise error if named else type(error)(f"{os.fspath(path)}: {error}") from None


def compile_graph(graph: "Graph") -> bytes:
    """Return the plan of a streaming graph.

    Raises:
        ModelError: The graph has no valid contract, or it has an operator or option that the engine does not have.
    """
    from .lowering.lower import lower
    from .plan.writer import compile_program

    return compile_program(lower(graph), graph.contract)


def compile_model(source: str | os.PathLike[str], target: str | os.PathLike[str], form: Form = "plan") -> int:
    """Compile a streaming ONNX file to a plan and return the plan's size in bytes.

    Args:
        source: The ONNX file.
        target: The file to write.
        form: `plan` writes the plan itself; `c` writes C source with the plan as a `const` array, named after the file.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the engine does not have. No file is
                written.
    """
    with naming(source):
        plan = compile_graph(_read_graph(source))
    if form == "c":
        from pathlib import Path

        from .plan.writer import c_source

        write_atomic(target, c_source(plan, Path(target).stem).encode())
    else:
        write_atomic(target, plan)
    return len(plan)


def plan_of(path: str | os.PathLike[str]) -> bytes:
    """Return the plan in a file; an ONNX file is compiled.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    return data if data.startswith(MAGIC) else compile_graph(_graph_of(data, path))


def _read_graph(path: str | os.PathLike[str]) -> "Graph":
    return _graph_of(read_bytes(path, MAX_FILE_BYTES), path)


def _graph_of(data: bytes, path: str | os.PathLike[str]) -> "Graph":
    """Return the graph in the bytes of a file. It is imported here, since it needs onnx and a plan does not."""
    from .graph.graph import Graph

    graph = Graph.parse(data, path)
    graph.require_flat()
    return graph
