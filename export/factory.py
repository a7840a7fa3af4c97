"""Objects from the text of a command line: a module from a factory or a TorchScript file, its weights, an example."""

import importlib
import io
import operator
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..runtime.errors import ExportError
from ..runtime.files import read_bytes
from .optional import need

if TYPE_CHECKING:
    import torch

MAX_WEIGHT_BYTES = 2**31 - 1  # the largest size of an ONNX file
MAX_EXAMPLE_VALUES = 10**8  # 400 MB
SCRIPTS = (".pt", ".pth", ".ts")  # suffixes of TorchScript files
LISTED = 5  # keys listed in a message; more are only counted


def load_module(name: str, weights: Path | None = None) -> "torch.nn.Module":
    """Make a module from the name of its factory, as `tidegate export` does.

    Args:
        name: `package.module:factory`: a function or class that returns an `nn.Module` when called without arguments,
            or a module itself. The current folder is searched first. Or a TorchScript file, `.pt`, `.pth` or `.ts`.
            torch.jit.load unpickles no Python objects, but the file is a program, like a factory, and its operators may
            read and write files. So load only files that you trust.
        weights: A state_dict, `.safetensors`, or `.pt`, `.pth`, `.bin` saved by torch; nothing else is ever
            unpickled. Its keys and shapes must be those of the module; `_orig_mod.` of torch.compile and a leading
            `module.` of nn.DataParallel are left out.

    Returns:
        The module, with the weights if there are any.

    Raises:
        ExportError: The name or the weights do not fit; the message says what they are.
        FileNotFoundError: There is no such weight file.
        BackendError: torch is not installed.
    """
    nn = need("torch").nn
    if ":" not in name and Path(name).suffix in SCRIPTS:
        return _load_script(Path(name), weights)
    with _importing_from(Path.cwd()):
        made = _made(name, _attribute(name))
    if not isinstance(made, nn.Module):
        raise ExportError(f"{name} gave {type(made).__name__}, wanted a torch.nn.Module")
    if weights is not None:
        _load_weights(made, Path(weights))
    return cast("torch.nn.Module", made)


def example_from_shape(text: str, ids: int | None = None) -> "torch.Tensor | tuple[torch.Tensor, ...]":
    """Return random data of a shape such as `1x20x6`, the same at every call; a tuple for several, `1x20x5,1x20x4`.

    Args:
        text: The shape, or the shapes with commas between them.
        ids: The number of token ids, if the first data are ids; None: standard normal values.

    Returns:
        A tensor, float32, or int64 for ids; or a tuple of them.

    Raises:
        ExportError: The text is not positive sizes with an x between them, or the shape has too many values.
        BackendError: torch is not installed.
    """
    first, *others = text.split(",")
    if others and not all("x" in shape for shape in (first, *others)):
        raise ExportError(f"example {text!r}: wanted positive sizes with an x between them, e.g. 1x20x6")
    made = _data_of(first, ids, 0)
    return (made, *(_data_of(other, None, seed) for seed, other in enumerate(others, 1))) if others else made


def _data_of(text: str, ids: int | None, seed: int) -> "torch.Tensor":
    library = need("torch")
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text):
        raise ExportError(f"example {text!r}: wanted positive sizes with an x between them, e.g. 1x20x6")
    sizes = [int(size) for size in text.split("x")]
    count = 1
    for size in sizes:
        count *= size
    if count > MAX_EXAMPLE_VALUES:
        raise ExportError(f"example {text!r}: {count} values, at most {MAX_EXAMPLE_VALUES} are made")
    random = library.Generator().manual_seed(seed)  # a new one, so that the random state of the process does not change
    if ids is not None:
        return cast("torch.Tensor", library.randint(ids, sizes, generator=random))
    return cast("torch.Tensor", library.randn(sizes, generator=random))


def _load_script(path: Path, weights: Path | None) -> "torch.nn.Module":
    if weights is not None:
        raise ExportError(f"{path}: a TorchScript file has its own weights, wanted no other weights")
    data = io.BytesIO(read_bytes(path, MAX_WEIGHT_BYTES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns that all of TorchScript is deprecated
        try:
            return cast("torch.nn.Module", need("torch").jit.load(data, map_location="cpu"))
        except Exception as error:
            raise ExportError(
                f"{path}: not TorchScript, wanted a file of torch.jit.save (a pickled module or state_dict is not "
                "loaded: give PACKAGE.MODULE:FACTORY and --weights)"
            ) from error


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Search a folder first for modules, inside this context."""
    entry = os.fspath(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _attribute(name: str) -> object:
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise ExportError(f"{name!r}: wanted package.module:factory, with a colon")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise ExportError(f"{name}: no module {error.name!r}, neither installed nor in {Path.cwd()}") from None
        raise ExportError(f"{name}: importing {module_name} fails: {error}") from error
    except Exception as error:
        raise ExportError(f"{name}: importing {module_name} fails: {type(error).__name__}: {error}") from error
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        raise ExportError(f"{name}: {module_name} has no {attribute!r}; it has {_listed(_factories(module))}") from None


def _factories(module: object) -> list[str]:
    return [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]


def _made(name: str, factory: object) -> object:
    if isinstance(factory, need("torch").nn.Module):
        return factory
    if not callable(factory):
        raise ExportError(f"{name} is {type(factory).__name__}, wanted something to call")
    try:
        return factory()
    except Exception as error:
        raise ExportError(f"{name}() fails: {type(error).__name__}: {error}; it is called without arguments") from error


def _load_weights(module: "torch.nn.Module", path: Path) -> None:
    weights, wanted = (_plain_keys(found) for found in (_read_weights(path), module.state_dict()))
    missing, odd = wanted.keys() - weights.keys(), weights.keys() - wanted.keys()
    if missing or odd:
        raise ExportError(
            f"{path}: missing {_listed(missing)}; unexpected {_listed(odd)}; "
            "wanted the keys of this module's state_dict"
        )
    wrong = [
        f"{key} {list(tensor.shape)} for {list(wanted[key].shape)}"
        for key, tensor in weights.items()
        if tensor.shape != wanted[key].shape
    ]
    if wrong:
        raise ExportError(f"{path}: wrong shapes: {_listed(wrong)}; wanted the weights of this module")
    module.load_state_dict({key: weights[name] for key, name in zip(module.state_dict(), wanted, strict=True)})


def _plain_keys(weights: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Return weights without the parts of their keys that torch.compile and data parallelism add."""
    plain = {key.replace("_orig_mod.", ""): value for key, value in weights.items()}
    prefix = "module." if all(key.startswith("module.") for key in plain) else ""
    return {key.removeprefix(prefix): value for key, value in plain.items()}


def _read_weights(path: Path) -> Mapping[str, "torch.Tensor"]:
    readers = {".safetensors": _read_safetensors} | dict.fromkeys((".pt", ".pth", ".bin"), _read_torch)
    if path.suffix not in readers:
        raise ExportError(f"{path}: wanted one of {', '.join(readers)}")
    data = read_bytes(path, MAX_WEIGHT_BYTES)
    try:
        found = readers[path.suffix](data)
    except Exception as error:
        first = str(error).partition("\n")[0][:200]
        raise ExportError(f"{path}: not a state_dict ({first}); save model.state_dict() with safetensors") from error
    tensor = need("torch").Tensor
    if not isinstance(found, Mapping) or not all(isinstance(value, tensor) for value in found.values()):
        raise ExportError(f"{path}: holds {_contents(found)}, wanted a state_dict of tensors: save model.state_dict()")
    return found


def _read_safetensors(data: bytes) -> object:
    return need("safetensors.torch").load(data)


def _read_torch(data: bytes) -> object:
    # weights_only: torch reads a fixed list of types; the plain unpickler would run code.
    return need("torch").load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _contents(found: object) -> str:
    if not isinstance(found, Mapping):
        return type(found).__name__
    return _listed(f"{key} ({type(value).__name__})" for key, value in found.items())


def _listed(names: Iterable[object]) -> str:
    """Return the first LISTED names as text, and the number of the others."""
    texts = sorted(map(str, names))
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return (", ".join(texts[:LISTED]) or "none") + more
