"""Open a model file with a backend, or compile it to a plan."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from .errors import BackendError, ModelError
from .files import MAX_FILE_BYTES, read_bytes, write_atomic
from .plan.magic import MAGIC
from .streams import Model

if TYPE_CHECKING:
    from .graph.graph import Graph

Backend = Literal["native", "onnxruntime"]
Form = Literal["plan", "c"]
Source = str | os.PathLike[str] | bytes | bytearray | memoryview

IN_MEMORY = "the model in memory"  # what messages call a model that came without a path


def load(source: Source, backend: Backend = "native", *, isa: str | None = None) -> Model:
    """Load a streaming ONNX file, quantized or float, or a compiled plan.

    Args:
        source: The path of the file, or its bytes.
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

        with naming(source):
            return NativeModel(plan_of(source), isa)
    if backend == "onnxruntime":
        from .backends.onnxruntime import OnnxruntimeModel

        with naming(source):
            data = _read(source)
            if data.startswith(MAGIC):
                raise ModelError("a compiled plan runs only on backend='native'; load the ONNX file instead")
            return OnnxruntimeModel(_graph_of(data, source))
    raise BackendError(f"backend {backend!r} is unknown; wanted 'native' or 'onnxruntime'")


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Add the name of the file to an error about its model."""
    try:
        yield
    except ModelError as error:
        name = _name(source)
        raise error if str(error).startswith(name) else type(error)(f"{name}: {error}") from None


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
        ModelError: The file is not a model, or has an operator or option that the engine does not have; or there is no
            such form. No file is written.
    """
    if form not in ("plan", "c"):
        raise ModelError(f"form is {form!r}, wanted 'plan' or 'c'")
    with naming(source):
        plan = compile_graph(_graph_of(_read(source), source))
    if form == "c":
        from pathlib import Path

        from .plan.writer import c_source

        write_atomic(target, c_source(plan, Path(target).stem).encode())
    else:
        write_atomic(target, plan)
    return len(plan)


def plan_of(source: Source) -> bytes:
    """Return the plan in a file or its bytes; an ONNX file is compiled.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    return file_and_plan(source)[1]


def file_and_plan(source: Source) -> tuple[bytes, bytes]:
    """Return the bytes of a file and its plan, which are the same if it is one.

    Raises:
        ModelError: As `plan_of` does.
        FileNotFoundError: There is no such file.
    """
    data = _read(source)
    return data, data if data.startswith(MAGIC) else compile_graph(_graph_of(data, source))


def _read(source: object) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str | os.PathLike):  # in a program that nobody checked by types
        raise ModelError(f"{_name(source)}: not a model; wanted the path of a file, or its bytes")
    return read_bytes(source, MAX_FILE_BYTES)


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return IN_MEMORY if isinstance(source, bytes | bytearray | memoryview) else type(source).__name__


def _graph_of(data: bytes, source: Source) -> "Graph":
    """Return the graph in the bytes of a file. It is imported here, since it needs onnx and a plan does not."""
    from .graph.graph import Graph

    graph = Graph.parse(data, _name(source))
    graph.require_flat()
    return graph
