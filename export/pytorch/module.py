"""A PyTorch module under export: run in eval mode on NumPy arrays, and traced to ONNX.

Afterwards the module (training flags, hooks, parameters, buffers, other attributes) and the process (random state,
warning filters) are as they were before.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from ...runtime.arrays import Array
from ...runtime.cells import STANDARD
from ...runtime.contract import Piece
from ...runtime.errors import ExportError, TidegateError, UnsupportedError
from ..graph.axes import Axes
from ..graph.joined_signals import JoinedSignals, joined_signals
from ..rewrites.rows import Rows
from .as_before import kept
from .cell_markers import marking_steps
from .compiled import plain, uncompile
from .culprit import place_of, sees_later_frames
from .in_parts import in_parts
from .inputs import OtherInputs, SignalSizes, as_tensor, split_example
from .parametrized import fix_weights
from .quiet import first_line, listening, own_line, quiet_translator
from .refused_modules import check_module
from .samples import Front, agreed_hop, front_of_rows, front_paths, hop_of
from .scripted import in_shell, strip_shell
from .signature import hide_keywords, named_results, parameters_of, signature_of
from .spectra import front_of, listing_spectra

OPSET = 20
"""The newest operator set of the TorchScript exporter. From 20 on, GELU is one node."""


LOOP_FRAMES = 4  # traced for cells in a loop: a first step, a last step and two between


@dataclass(frozen=True)
class Layout:
    """A meaning of the axes of an example.

    Attributes:
        joined: How several signals are joined; None if there is one.
        free: The axes of the signal that may be time and batch.
    """

    joined: JoinedSignals | None
    free: tuple[int, ...]


class Subject:
    """A module under export, with its example.

    Attributes:
        module: The module itself; use it only inside `evaluating()`.
        example: The example's signal, float32 or int64; several signals side by side; samples as frames of a hop.
        exporter: The name and version of the tracer.
        remarks: Torch's warnings about lines of the module while tracing, e.g. that a size became a constant.
        front: How the forward reads samples.
        front_paths: The paths of the modules of front ends.
        others: The arguments of the forward after its signal.
        joined: How several signals are joined; None if there is one.
        axes: The axes of the signal; None until they are known, and all sizes are then those of the example.
    """

    def __init__(self, module: object, example: object, static: Sequence[str] = ()) -> None:
        if not isinstance(module, nn.Module):
            raise ExportError(f"got {type(module).__name__}, wanted a torch.nn.Module")
        module = plain(module)
        check_module(module)
        self.module = module
        signal, others = split_example(example)
        self.front, self.front_paths = Front(hop_of(module)), front_paths(module)
        self._tensor = self.front.frames(as_tensor(signal))
        self.exporter = f"torch {torch.__version__}, TorchScript tracing, opset {OPSET}"
        self.remarks: list[str] = []
        self._first, *parameters = parameters_of(module, 1 + len(others))
        self.others = OtherInputs(parameters, others or (None,) * len(parameters), static)
        self.others.find_signals(self._first, self._tensor)
        self.joined: JoinedSignals | None = None
        self.layouts()
        self.axes: Axes | None = None
        self._output_names: list[str] = []
        self._stepped: list[Any] = []  # recurrent modules in a loop over time

    @property
    def input_name(self) -> str:
        """The name of the signal; several signals have one together."""
        return self._first if self.joined is None else self.joined.name

    @property
    def example(self) -> Array:
        """The example's signal."""
        return self._tensor.numpy() if self.joined is None else self.joined.together(self._signals())

    @property
    def static(self) -> dict[str, Array]:
        """The example's static inputs, for its first stream."""
        found = self.others.of_example(self.others.static)
        return {name: v if self._streams_axis(name) is None else v[:1].copy() for name, v in found.items()}

    def static_states(self) -> dict[str, Array]:
        """Return the example's static inputs as states of the file, which have an axis for the streams."""
        return {name: value if value.ndim > 1 else value.reshape(1, -1) for name, value in self.static.items()}

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of the contract."""
        return () if self.joined is None else self.joined.pieces

    def layouts(self) -> list[Layout]:
        """Return the layouts of the signals that may be meant, the usual one first; that one is taken at once."""
        shapes = {name: tuple(value.shape) for name, value in self._signals().items()}
        ids = [name for name, value in self._signals().items() if value.dtype.kind == "i"]
        several = joined_signals(shapes, self.others.names, ids) if len(shapes) > 1 else []
        ways: list[JoinedSignals | None] = [*several] or [None]
        self.joined = ways[0]
        return [Layout(one, free) for one in ways for free in _free_axes(self._tensor, one)]

    def take(self, layout: Layout) -> None:
        """Join the signals as a layout says."""
        self.joined = layout.joined

    def _signals(self) -> dict[str, Array]:
        return {self._first: self._tensor.numpy(), **self.others.of_example(self.others.signals)}

    def doubt(self) -> str:
        """Return which static input may be meant as a signal, as text for messages; or ''."""
        own = self._tensor.shape[:-1]
        found = (name for name, value in self.others.of_example(self.others.static).items() if value.shape == own)
        name = next(found, None)
        features = f"{name}.unsqueeze(-1), as [batch, frames, 1]"
        return (name and f"; {name!r} has the sizes of batch and frames: if it is a signal, give {features}") or ""

    def _streams_axis(self, name: str) -> int | None:
        """Return the axis of the signal that counts streams as the first axis of a static input does, if it has one."""
        shape, sizes = self.others.of_example([name])[name].shape, self.example.shape[:-1] or (0,)
        return sizes.index(shape[0]) if len(shape) > 1 and shape[0] in sizes else None

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
            hide_keywords(self.module)
            tuned: dict[Any, Any] = {c: type(c) for c in self.module.modules() if hasattr(c, "exported_as")}
            try:
                fix_weights(self.module.eval())
                for child in tuned:
                    child.__class__ = child.exported_as
                yield
            finally:
                for child, kind in tuned.items():
                    child.__class__ = kind

    def hear_rows(self, rows: Rows | None) -> None:
        """Take several rows of the signal as one frame, as the strides of the module do; None: it has none."""
        if rows is not None:
            self.front, self._tensor = front_of_rows(self.front, self._tensor, rows)

    def agreed_hop(self, asked: int | None) -> int | None:
        """Return the samples from one frame to the next, as the front end or the caller says; refuse two numbers."""
        return agreed_hop(self.front, asked)

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
            signal, given = self._given(x)
            arguments = self.others.arguments(self._sizes(x), given | dict(states or {}))
            taken = self.front.taken(torch.from_numpy(signal.copy()).to(device))
            returned = self.module(taken, *_on(device, arguments))
        except Exception as error:
            left = "" if self.others.names else self._left_out()
            raise ExportError(f"the module's own forward fails: {first_line(error)}{left}") from error
        return {name: tensor.cpu().numpy() for name, tensor in named_results(returned).items()}

    def _given(self, x: Array) -> tuple[Array, dict[str, Array]]:
        """Return the first signal, and the other signals and the static inputs by name."""
        parts = {self._first: x} if self.joined is None else self.joined.apart(x)
        for name, value in self.static.items():
            axis = self._streams_axis(name)
            parts[name] = value if axis is None else np.repeat(value, x.shape[axis], 0)
        return parts.pop(self._first), parts

    def _sizes(self, x: Array) -> SignalSizes | None:
        if self.axes is None:
            return None
        frames, batch = x.shape[self.axes.time], self.axes.batch
        return SignalSizes(frames) if batch is None else SignalSizes(frames, x.shape[batch], self.example.shape[batch])

    def _left_out(self) -> str:
        """Return a text that names the arguments that were None because the example has none; or ''."""
        count = len(self.others.arguments())
        names = ", ".join(parameters_of(self.module, 1 + count)[1:])
        return f"; {names} was None: give it in the example, (x, (h, c)) or (x, lengths)" if count else ""

    def try_example(self) -> None:
        """Run the example once: learn the outputs, and how often each recurrent module is called.

        Raises:
            ExportError: The forward fails, its answer is not finite, or an output has the name of the input.
            UnsupportedError: A recurrent module is called more than once, and not for one frame each; or torch.stft.
        """
        with _counting(self.module) as calls, listing_spectra() as spectra:
            answers = self.answers(self.example, self.others.of_example(self.others.states))
        front = front_of(self.module, spectra, self._tensor, self.front)
        if front != self.front:
            self.front, self._tensor = front, front.frames(self._tensor)
            self.layouts()
            self.try_example()
            return
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
        with listening() as heard, quiet_translator(), in_parts(), marking_steps(self._stepped):
            try:
                self._export(buffer, free)
            except TidegateError:
                raise
            except Exception as error:
                who = f"{type(self.module).__name__}{self._shown_part(free)}: {first_line(error)}"
                raise ExportError(f"torch cannot export {who}{self._place(free, error) or self._hint(free)}") from error
        self.remarks = list(dict.fromkeys(filter(None, map(own_line, heard))))
        model = onnx.load_from_string(buffer.getvalue())
        if self.joined is not None:
            self.joined.join(model)
        strip_shell(model)
        model.producer_name = ""  # else a cell written out would be taken for a layer that an exporter unrolled
        return model

    def _export(self, buffer: io.BytesIO, free: Sequence[int]) -> None:
        # dynamo=False, measured on torch 2.13: 0.03-0.2 s per model against 10 s. And the newer exporter fixed the
        # time axis at the example's length if batch_first=False.
        module, arguments = self.module, self._arguments(free)
        scripted = isinstance(module, torch.jit.ScriptModule)
        if scripted and len(signature_of(module)) > 1 and not self.others.names:
            module, arguments = in_shell(module, arguments[0]), arguments[:1]
        torch.onnx.export(
            module,
            arguments,
            buffer,  # type: ignore[arg-type] # its type is a path, but torch writes to any file object
            dynamo=False,
            opset_version=OPSET,
            input_names=[self._first, *self.others.names],
            output_names=self._output_names,
            dynamic_axes=self._dynamic_axes(free),
        )

    def _dynamic_axes(self, free: Sequence[int]) -> dict[str, dict[int, str]]:
        """Return the names of free axes, by input: the axes of the signal, and the streams of static inputs."""
        signals = {self._first: {axis: axis for axis in free}}
        if self.joined is not None:
            signals = {one.name: dict(zip(one.lead, free, strict=False)) for one in self.joined.signals}
        named = {name: {own: f"axis{axis}" for own, axis in axes.items()} for name, axes in signals.items()}
        for name in self.others.static:
            if (axis := self._streams_axis(name)) in free:
                named[name] = {0: f"axis{axis}"}
        return named

    def _arguments(self, free: Sequence[int]) -> tuple[Any, ...]:
        """Return the arguments for the trace."""
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        return (self.front.taken(self._shown(free)).to(device), *_on(device, self.others.arguments()))

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
        modules = list(self.module.modules())
        cells = any(isinstance(child, nn.RNNCellBase) for child in modules)
        written = not any(map(_is_recurrent, modules))  # then only a loop over a cell that it writes out is streamed
        loops = not self.others.names and (cells or written or self._stepped)
        for axis in free if loops else ():
            shown = shown.narrow(axis, 0, min(shown.size(axis), LOOP_FRAMES))
        return shown


def _free_axes(example: torch.Tensor, joined: JoinedSignals | None) -> list[tuple[int, ...]]:
    """Return sets of axes that may be time and batch, the usual one first.

    The feature axis is never free: the graph needs its size.
    """
    if joined is not None:
        return [(*range(len(joined.signals[0].lead)),)]
    features = example.is_floating_point()  # ids have no feature axis
    usual = (0, 1) if example.dim() - features > 1 else (0,)
    return [usual, *((0, i) for i in range(1, example.dim()) if (0, i) != usual)]


def _is_recurrent(module: nn.Module) -> bool:
    """Return whether a module is recurrent; a scripted module keeps the name of its class."""
    scripted = getattr(module, "original_name", "") in STANDARD
    return scripted or isinstance(module, nn.RNNBase | nn.RNNCellBase)


def _on(device: torch.device, arguments: object) -> Any:  # noqa: ANN401  tensors, nested
    """Return the arguments with all tensors on a device, nested as before."""
    if isinstance(arguments, tuple):
        return tuple(_on(device, item) for item in arguments)
    return arguments.to(device) if isinstance(arguments, torch.Tensor) else arguments


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
