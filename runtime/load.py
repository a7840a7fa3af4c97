"""Open a model file with a backend, or compile it to a plan."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from .errors import BackendError, ModelError, SignatureError
from .files import MAX_FILE_BYTES, read_bytes, refuse_overwriting, write_atomic
from .plan.magic import MAGIC
from .streams import Model

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from .graph.graph import Graph

Backend = Literal["native", "onnxruntime"]
Form = Literal["plan", "c"]
Source = str | os.PathLike[str] | bytes | bytearray | memoryview

IN_MEMORY = "the model in memory"  # what messages call a model that came without a path


def load(
    source: Source,
    backend: Backend = "native",
    *,
    isa: str | None = None,
    require: str | os.PathLike[str] | None = None,
    release: int = 0,
) -> Model:
    """Load a streaming ONNX file, quantized or float, or a compiled plan.

    Args:
        source: The path of the file, or its bytes.
        backend: `native` (tidegate's engine) or `onnxruntime`.
        isa: Forces a variant of the engine, e.g. `scalar`. Default: the environment variable TIDEGATE_ISA, else the
            best variant that the processor has.
        require: The public Ed25519 key (PEM) that must have signed the file, in the file of the same name with `.sig`
            (docs/signatures.md). It is checked before anything of the file is parsed.
        release: With `require`: the oldest release of the signature that is accepted.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the backend does not have.
        SignatureError: The file is not signed as `require` and `release` say; or `source` is not a path.
        BackendError: The backend, the instruction set or a package is not available.
        FileNotFoundError: There is no such file.
    """
    if backend == "native":
        from .backends.native import NativeModel

        with naming(source):
            return NativeModel(_plan_in(_trusted(source, require, release), source), isa)
    if backend == "onnxruntime":
        from .backends.onnxruntime import OnnxruntimeModel

        with naming(source):
            data = _trusted(source, require, release)
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
        ModelError: The file is not a model, has an operator or option that the engine does not have, or is the target
            too; or there is no such form. No file is written.
    """
    if form not in ("plan", "c"):
        raise ModelError(f"form is {form!r}, wanted 'plan' or 'c'")
    refuse_overwriting(target, source)
    with naming(source):
        plan = compile_graph(_graph_of(_read(source), source))
    if form == "c":
        from pathlib import Path

        from .plan.writer import c_source

        write_atomic(target, c_source(plan, Path(target).stem).encode())
    else:
        write_atomic(target, plan)
    return len(plan)


def sign(path: str | os.PathLike[str], key: str | os.PathLike[str], release: int = 0) -> None:
    """Write the signature of a file, of any kind, beside it: `m.tide.sig` for `m.tide` (docs/signatures.md).

    Args:
        path: The file.
        key: A private Ed25519 key, as PEM without a password.
        release: A number that grows from file to file; `load` can refuse older ones.

    Raises:
        SignatureError: The key is no such key or has the name of the signature, or the release is negative or has more
            than 18 digits.
        BackendError: The package cryptography is not installed.
        FileNotFoundError: There is no such file.
    """
    from .plan.signature import sign as signature_of

    own, beside = signing_key(key), signature_path(path)
    if beside.exists() and beside.samefile(key):
        raise SignatureError(f"{beside}: is the key, and would be written over; give the key another name")
    write_atomic(beside, signature_of(read_bytes(path, MAX_FILE_BYTES), own, release))


def signature_path(path: str | os.PathLike[str]) -> "Path":
    """Return the place of the signature of a file: `m.tide.sig` for `m.tide`."""
    from pathlib import Path  # its import is slow

    from .plan.signature import ENDING

    return Path(f"{os.fspath(path)}{ENDING}")


def signing_key(path: str | os.PathLike[str]) -> "Ed25519PrivateKey":
    """Return the private key in a file.

    Raises:
        SignatureError: It is no private Ed25519 key, as PEM without a password.
        BackendError: The package cryptography is not installed.
        FileNotFoundError: There is no such file.
    """
    from .plan.signature import MOST_KEY_BYTES, private_key

    with naming(path):
        return private_key(read_bytes(path, MOST_KEY_BYTES))


def plan_of(source: Source) -> bytes:
    """Return the plan in a file or its bytes; an ONNX file is compiled.

    Raises:
        ModelError: The file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    return file_and_plan(source)[1]


def file_and_plan(
    source: Source, require: str | os.PathLike[str] | None = None, release: int = 0
) -> tuple[bytes, bytes]:
    """Return the bytes of a file and its plan, which are the same if it is one.

    Raises:
        ModelError: As `plan_of` does.
        SignatureError: The file is not signed as `require` and `release` say, as for `load`.
        FileNotFoundError: There is no such file.
    """
    with naming(source):
        data = _trusted(source, require, release)
    return data, _plan_in(data, source)


def _plan_in(data: bytes, source: Source) -> bytes:
    return data if data.startswith(MAGIC) else compile_graph(_graph_of(data, source))


def _trusted(source: Source, key: str | os.PathLike[str] | None, release: int) -> bytes:
    """Return the bytes of a file, after its signature was checked if a key is required."""
    data = _read(source)
    if key is None:
        if release:
            raise SignatureError(f"release is {release}, and no key is required; give require=KEY.pub")
        return data
    if not isinstance(source, str | os.PathLike):
        raise SignatureError("a signature is required, and it stands beside a file; give the path of the file")
    from .plan.signature import MOST_BYTES, MOST_KEY_BYTES, check, public_key

    with naming(key):
        wanted = public_key(read_bytes(key, MOST_KEY_BYTES))
    beside = signature_path(source)
    if not beside.exists():
        raise FileNotFoundError(f"{beside}: no such file, and {os.fspath(key)} is required; get it from its maker")
    check(data, read_bytes(beside, MOST_BYTES), wanted, release)
    return data


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
