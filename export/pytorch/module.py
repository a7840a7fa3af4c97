"""A PyTorch module under export: run in eval mode on NumPy arrays, and traced to ONNX.

Afterwards the module (training flags, hooks, parameters, buffers, other attributes) and the process (random state,
warning filters) are as they were before.
"""

import inspect
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from ...runtime.arrays import Array
from ...runtime.cells import STANDARD
from ...runtime.errors import ExportError, TidegateError, UnsupportedError
from ..graph.axes import Axes
from .as_before import kept
from .cell_markers import marking_steps
from .compiled import plain, uncompile
from .culprit import place_of, sees_later_frames
from .in_parts import in_parts
from .inputs import OtherInputs, SignalSizes, split_example
from .parametrized import fix_weights
from .refused_modules import check_module
from .scripted import in_shell, strip_shell

OPSET = 20
"""The newest operator set of the TorchScript exporter. From 20 on, GELU is one node."""


LOOP_FRAMES = 4  # traced for cells in a loop: a first step, a last step and two between


class Subject:
    """A module under export, with its example.

    Attributes:
        module: The module itself; use it only inside `evaluating()`.
        example: The example's signal, float32 or int64.
        exporter: The name and version of the tracer.
        remarks: Torch's warnings about lines of the module while tracing, e.g. that a size became a constant.
        others: The arguments of the forward after its signal.
        axes: The axes of the signal; None until they are known, and all sizes are then those of the example.
    """

    def __init__(self, module: object, example: object) -> None:
        if not isinstance(module, nn.Module):
            raise ExportError(f"got {type(module).__name__}, wanted a torch.nn.Module")
        module = plain(module)
        check_module(module)
        self.module = module
        signal, others = split_example(example)
        self._tensor = _as_tensor(signal)
        self.example: Array = self._tensor.numpy()
        self.exporter = f"torch {torch.__version__}, TorchScript tracing, opset {OPSET}"
        self.remarks: list[str] = []
        self.input_name, *parameters = _parameters(module, 1 + len(others))
        self.others = OtherInputs(parameters, others or (None,) * len(parameters))
        self.axes: Axes | None = None
        self._output_names: list[str] = []
        self._stepped: list[Any] = []  # recurrent modules in a loop over time

    @property
    def recurrent_paths(self) -> list[str]:
        """The paths of the recurrent modules."""
        return [name for name, child in self.module.named_modules() if _is_recurrent(child)]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Keep the module in eval mode inside this context; afterwards the module is as it was.

        Layers that are tuned for quantization are float layers inside this context, as they are exported.
        """
        # no_grad, not inference_mode: a module that keeps a tensor of its forward could not be trained afterwards.
        with kept(self.module), torch.random.fork_rng(devices=[]), torch.no_grad():
            uncompile(self.module)
            tuned: dict[Any, Any] = {c: type(c) for c in self.module.modules() if hasattr(c, "exported_as")}
            try:
                fix_weights(self.module.eval())
                for child in tuned:
                    child.__class__ = child.exported_as
                yield
            finally:
                for child, kind in tuned.items():
                    child.__class__ = kind

    def answers(self, x: Array, states: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Return the module's outputs by name.

        Args:
            x: A signal like the example, of any length and batch.
            states: Float32 states for its arguments, by the names in `others`; a state that is not given is zeros.

        Raises:
            ExportError: The forward fails, or returns anything but tensors.
        """
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        try:
            arguments = self.others.arguments(self._sizes(x), states)
            returned = self.module(torch.from_numpy(x.copy()).to(device), *_on(device, arguments))
        except Exception as error:
            left = "" if self.others.names else self._left_out()
            raise ExportError(f"the module's own forward fails: {_first_line(error)}{left}") from error
        return {name: tensor.cpu().numpy() for name, tensor in _name_outputs(returned).items()}

    def _sizes(self, x: Array) -> SignalSizes | None:
        if self.axes is None:
            return None
        frames, batch = x.shape[self.axes.time], self.axes.batch
        return SignalSizes(frames) if batch is None else SignalSizes(frames, x.shape[batch], self.example.shape[batch])

    def _left_out(self) -> str:
        """Return a text that names the arguments that were None because the example has none; or ''."""
        count = len(self.others.arguments())
        names = ", ".join(_parameters(self.module, 1 + count)[1:])
        return f"; {names} was None: give it in the example, (x, (h, c)) or (x, lengths)" if count else ""

    def try_example(self) -> None:
        """Run the example once: learn the outputs, and how often each recurrent module is called.

        Raises:
            ExportError: The forward fails, its answer is not finite, or an output has the name of the input.
            UnsupportedError: A recurrent module is called more than once, and not for one frame each.
        """
        with _counting(self.module) as calls:
            answers = self.answers(self.example)
        for path, frames in calls.items():
            child = self.module.get_submodule(path)
            if len(frames) > 1 and (set(frames) != {1} or child.bidirectional or child.proj_size):
                raise UnsupportedError(
                    f"module {path!r} is called {len(frames)} times in one forward, wanted once: each call would need "
                    "a state of its own; give it the whole sequence in one call, or in a loop over time one frame per "
                    "call, in one direction; calls for other sequences need a module each (copy.deepcopy)"
                )
            if len(frames) > 1:
                self._stepped.append(child)
        for name, answer in answers.items():
            if name == self.input_name:
                raise ExportError(f"output {name!r} has the name of the input; return it under another name")
            if not np.isfinite(answer).all():
                raise ExportError(f"output {name!r} of the example is not finite; check example and weights")
        self._output_names = list(answers)

    def trace(self, free: Sequence[int]) -> onnx.ModelProto:
        """Return the module as ONNX.

        Args:
            free: The axes of the input whose sizes are free.

        Raises:
            ExportError: torch cannot trace or translate the module.
        """
        buffer = io.BytesIO()
        with _listening() as heard, _quiet_translator(), in_parts(), marking_steps(self._stepped):
            try:
                self._export(buffer, free)
            except TidegateError:
                raise
            except Exception as error:
                seen = f"{type(self.module).__name__}{self._shown_part(free)}: {_first_line(error)}"
                raise ExportError(f"torch cannot export {seen}{self._place(free, error)}{self._hint(free)}") from error
        self.remarks = list(dict.fromkeys(filter(None, map(_own_line, heard))))
        model = onnx.load_from_string(buffer.getvalue())
        strip_shell(model)
        model.producer_name = ""  # else a cell written out would be taken for a layer that an exporter unrolled
        return model

    def _export(self, buffer: io.BytesIO, free: Sequence[int]) -> None:
        # dynamo=False, measured on torch 2.13: 0.03-0.2 s per model against 10 s. And the newer exporter fixed the
        # time axis at the example's length if batch_first=False.
        module, arguments = self.module, self._arguments(free)
        scripted = isinstance(module, torch.jit.ScriptModule)
        if scripted and len(_signature(module)) > 1 and not self.others.names:
            module, arguments = in_shell(module, arguments[0]), arguments[:1]
        torch.onnx.export(
            module,
            arguments,
            buffer,  # type: ignore[arg-type] # its type is a path, but torch writes to any file object
            dynamo=False,
            opset_version=OPSET,
            input_names=[self.input_name, *self.others.names],
            output_names=self._output_names,
            dynamic_axes={self.input_name: {axis: f"axis{axis}" for axis in free}},
        )

    def _arguments(self, free: Sequence[int]) -> tuple[Any, ...]:
        """Return the arguments for the trace."""
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        return (self._shown(free).to(device), *_on(device, self.others.arguments()))

    def _place(self, free: Sequence[int], error: Exception) -> str:
        """Return the place where torch's exporter stopped, as text for messages; or ''."""
        place = place_of(self.module, self._arguments(free), error)
        later = "" if place else self.sees_later_frames(1 if self._batch_first() else 0)
        return place or (later and f"; {later} needs later frames, which a stream does not have yet")

    def _batch_first(self) -> bool:
        layers = [child for child in self.module.modules() if isinstance(child, nn.RNNBase)]
        return self.example.ndim > 1 and any(layer.batch_first for layer in layers)

    def sees_later_frames(self, time: int) -> str:
        """Return the submodule whose answers depend on later frames, as text for messages; or ''."""
        with suppress(Exception):  # whatever the module raises: the error that led here says enough
            return sees_later_frames(self.module, lambda x: self.answers(x.numpy()), self._tensor, time) or ""
        return ""

    def _shown_part(self, free: Sequence[int]) -> str:
        return f" on the first {LOOP_FRAMES} frames" if self._shown(free).shape != self._tensor.shape else ""

    def _hint(self, free: Sequence[int]) -> str:
        """Return a likely cause of a failure in torch, as text for messages; or ''."""
        if self._shown_part(free):
            return "; let a loop over time run over x.size(1)"
        if isinstance(self.module, torch.jit.ScriptModule) and self.others.names:
            return f"; leave {', '.join(self.others.names)} out of the example if the scripted forward works without"
        return ""

    def _shown(self, free: Sequence[int]) -> torch.Tensor:
        """Return the part of the example to trace: only the first frames if a loop over time would be unrolled."""
        shown = self._tensor
        cells = any(isinstance(child, nn.RNNCellBase) for child in self.module.modules())
        loops = not self.others.names and (cells or self._stepped)
        for axis in free if loops else ():
            shown = shown.narrow(axis, 0, min(shown.size(axis), LOOP_FRAMES))
        return shown


def _is_recurrent(module: nn.Module) -> bool:
    """Return whether a module is recurrent; a scripted module keeps the name of its class."""
    scripted = getattr(module, "original_name", "") in STANDARD
    return scripted or isinstance(module, nn.RNNBase | nn.RNNCellBase)


def _as_tensor(example: object) -> torch.Tensor:
    """Return a copy of an example signal as a float32 or int64 tensor on the CPU."""
    if isinstance(example, tuple) and len(example) == 1:
        example = example[0]  # as torch.onnx.export takes it
    try:
        example = example if isinstance(example, torch.Tensor) else torch.from_numpy(np.array(example))
    except (TypeError, ValueError):
        seen = type(example).__name__
        raise ExportError(f"the example is {seen}, wanted a tensor or an array of numbers") from None
    if example.is_complex():
        raise ExportError(f"the example is {example.dtype}, wanted real numbers; give both parts as features")
    tensor = example.detach().to("cpu", torch.float32 if example.is_floating_point() else torch.int64, copy=True)
    if not tensor.numel() or not tensor.dim():
        raise ExportError(f"the example has shape {list(tensor.shape)}, wanted at least one frame")
    if not torch.isfinite(tensor).all():
        raise ExportError("the example holds NaN or infinite values; take one from the real data")
    return tensor


def _parameters(module: nn.Module, given: int) -> list[str]:
    """Return the names of the forward's first parameters: those that the example gives or the forward needs."""
    named = _signature(module)
    needed = sum(named.values())
    if given > len(named) > 0:
        taken = ", ".join(named)
        raise ExportError(
            f"the example has {given} parts, the forward takes {len(named)}: {taken}; give one part per parameter"
        )
    return list(named)[: max(given, needed)] or ["input"]


def _signature(module: nn.Module) -> dict[str, bool]:
    """Return the forward's positional parameters by name, and whether each is required."""
    schema = getattr(module.forward, "schema", None)  # of a ScriptModule, which has no Python signature
    if schema is not None:
        return {a.name: not a.has_default_value() for a in schema.arguments[1:]}
    parameters = inspect.signature(module.forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {p.name: p.default is p.empty for p in positional}


def _on(device: torch.device, arguments: object) -> Any:  # noqa: ANN401  tensors, nested
    """Return the arguments with all tensors on a device, nested as before."""
    if isinstance(arguments, tuple):
        return tuple(_on(device, item) for item in arguments)
    return arguments.to(device) if isinstance(arguments, torch.Tensor) else arguments


def _name_outputs(returned: object) -> dict[str, torch.Tensor]:
    """Flatten the result of a forward: by name if it is a dict of tensors, else numbered, `output_0` and so on."""
    if isinstance(returned, Mapping) and all(isinstance(v, torch.Tensor) for v in returned.values()):
        return {str(key): tensor for key, tensor in returned.items()}
    return {f"output_{i}": tensor for i, tensor in enumerate(_flatten(returned))}


def _flatten(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.dtype in (torch.bfloat16, torch.float16):
            raise ExportError(f"the forward returns {value.dtype}, wanted torch.float32; export it without autocast")
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _flatten(item)
    elif value is not None:  # the tracer skips None
        raise ExportError(f"the forward returns {type(value).__name__}, wanted tensors, tuples or a dict of tensors")


@contextmanager
def _counting(module: nn.Module) -> Iterator[dict[str, list[int]]]:
    """List the calls of each recurrent module by path: the frames of each call, 0 without a batch axis."""
    calls: dict[str, list[int]] = {}
    handles = []

    def hook(path: str) -> Any:  # noqa: ANN401 - torch's type of a hook is a protocol of many forms
        def count(child: Any, arguments: tuple[Any, ...]) -> None:  # noqa: ANN401  as torch calls it
            x = arguments[0]
            has_batch = isinstance(x, torch.Tensor) and x.dim() == 3
            calls.setdefault(path, []).append(x.size(1 if child.batch_first else 0) if has_batch else 0)

        return count

    try:
        for path, child in module.named_modules():
            if isinstance(child, nn.RNNBase):
                handles.append(child.register_forward_pre_hook(hook(path)))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _listening() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of showing them.

    At every use of this exporter torch warns that it is deprecated, and that a batch other than 1 fixes the batch.
    Lifting undoes the latter. Warnings about the user's own lines go into the message of a failed proof.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield heard


@contextmanager
def _quiet_translator() -> Iterator[None]:
    """Keep torch from printing its graph to standard output when it cannot translate an operator.

    torch 2.13 switches this log on in each export and leaves it on. There is no public switch, so a private function
    is replaced during the export and restored afterwards.
    """
    log, enabled = torch._C._jit_onnx_log, torch._C._jit_is_onnx_log_enabled()  # noqa: SLF001
    torch._C._jit_onnx_log = lambda *_: None  # noqa: SLF001
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log  # noqa: SLF001
        torch._C._jit_set_onnx_log_enabled(enabled)  # noqa: SLF001


def _own_line(warning: warnings.WarningMessage) -> str | None:
    """Return a tracer's warning about the user's own code as text; None for any other warning."""
    inside = Path(torch.__file__).parent in Path(warning.filename).parents
    if inside or not issubclass(warning.category, TracerWarning):
        return None
    return f"{warning.filename}:{warning.lineno}: {str(warning.message).partition('.')[0]}"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
