"""The place in a module that stops an export: the submodule and the line that call an operator without ONNX form."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DIFFERENT = 1e-3  # relative to the largest value: chunks of other sizes differ by 1e-5, a wrong frame by much more


def place_of(module: nn.Module, arguments: Any, error: Exception) -> str:  # noqa: ANN401  as the forward takes them
    """Return the place of the operator named in an error of torch's exporter, as text for messages; or ''.

    The module is traced once more for it, without a gradient and without a word to standard error.
    """
    kind = re.search(r"aten::\w+", str(error))
    if kind is None:
        return _without_statistics(module) if "batch_size" in str(error) else ""
    with suppress(Exception), warnings.catch_warnings(), torch.no_grad():  # if it fails, the first error says enough
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(module, arguments, check_trace=False, strict=False).inlined_graph  # type: ignore[no-untyped-call]
        for node in graph.findAllNodes(kind.group()):
            path = node.scopeName().rpartition("/")[2].removeprefix("__module").lstrip(".")
            inside = f", which module {path!r} calls" if path else ", which the forward calls"
            way_out = "write it with operators that have an ONNX form"
            return f"{inside}{_line(node.sourceRange())}; {way_out}"
    return ""


def _without_statistics(module: nn.Module) -> str:
    """Return a text that names a batch norm without running statistics; or ''."""
    for path, child in module.named_modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and child.running_mean is None:
            return (
                f"; module {path!r} ({type(child).__name__}) has no running statistics, so it normalizes over all "
                "frames and streams of a call; train it with track_running_stats=True"
            )
    return ""


def _line(source: str) -> str:
    """Return the innermost line of code outside torch, as text for messages; or ''."""
    for file, line in re.findall(r"^(.+)\((\d+)\): ", source, re.MULTILINE):
        if Path(torch.__file__).parent not in Path(file).parents:
            return f" at {Path(file).name}:{line}"
    return ""


# ---- the submodule that sees later frames ----


def sees_later_frames(module: nn.Module, run: Callable[[Tensor], object], x: Tensor, time: int) -> str | None:
    """Return the first submodule whose output depends on later frames, by its path and class; None if there is none.

    The module runs on two signals that differ only in their second half. If the first half of a submodule's inputs is
    the same in both runs, and its states are, the first half of its outputs must be the same too, up to rounding.
    Backward directions are exempt. So is a submodule that gives other answers when the first signal comes again.

    Args:
        module: The module.
        run: Runs the module on a signal.
        x: A signal.
        time: The signal's axis of frames.
    """
    frames = _unlike_sizes(module, x, time)
    first = x.index_select(time, torch.arange(frames) % x.size(time))
    half = first.narrow(time, frames // 2, frames - frames // 2)
    second = torch.cat((first.narrow(time, 0, frames // 2), half.flip(time)), time)
    calls = [list(_calls(module, run, signal)) for signal in (first, first, second)]
    for (path, child, read, made), (_, _, _, repeated), (_, _, other_read, other_made) in zip(*calls, strict=False):
        if getattr(child, "bidirectional", False) or not _same(made, repeated, frames):
            continue
        if _same(read, other_read, frames, states=True) and not _same(made, other_made, frames):
            return f"module {path!r} ({type(child).__name__})" if path else None
    return None


def _unlike_sizes(module: nn.Module, x: Tensor, time: int) -> int:
    """Return a number of frames that is no other size of a signal or its module, so that it shows the axis of time."""
    others = {size for axis, size in enumerate(x.shape) if axis != time}
    others |= {size for tensor in (*module.parameters(), *module.buffers()) for size in tensor.shape}
    return next(frames for frames in count(max(x.size(time), 2)) if frames not in others)


_Call = tuple[str, nn.Module, list[Tensor], list[Tensor]]


def _calls(module: nn.Module, run: Callable[[Tensor], object], x: Tensor) -> Iterator[_Call]:
    """Yield the calls of submodules, inner ones first: path, module, input tensors, output tensors."""
    found: list[_Call] = []

    def note(path: str) -> Any:  # noqa: ANN401  torch's type of a hook is a protocol of many forms
        def hook(child: nn.Module, read: object, named: dict[str, object], made: object) -> None:
            found.append((path, child, [t.clone() for t in _tensors((read, *named.values()))], list(_tensors(made))))

        return hook

    handles = [child.register_forward_hook(note(path), with_kwargs=True) for path, child in module.named_modules()]
    try:
        run(x)
    finally:
        for handle in handles:
            handle.remove()
    yield from found


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for item in value if isinstance(value, tuple | list) else ():
        yield from _tensors(item)


def _same(first: Sequence[Tensor], second: Sequence[Tensor], frames: int, *, states: bool = False) -> bool:
    """Return whether the first half of the frames is the same up to rounding, in all tensors with an axis of frames.

    Args:
        first: Tensors of the first run.
        second: Those of the second run.
        frames: The number of frames.
        states: Whether tensors without an axis of frames must be the same too.
    """
    for one, other in zip(first, second, strict=True):
        if states and frames not in one.shape and not torch.equal(one, other):
            return False
        if one.shape == other.shape and frames in one.shape:
            time = list(one.shape).index(frames)
            a, b = (tensor.narrow(time, 0, frames // 2) for tensor in (one, other))
            if not torch.allclose(a, b, atol=DIFFERENT * _largest(b), equal_nan=True):
                return False
    return True


def _largest(x: Tensor) -> float:
    return float(x.detach().abs().nan_to_num(posinf=0.0).max()) if x.numel() else 0.0
