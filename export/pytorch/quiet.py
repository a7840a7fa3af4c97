"""What torch says while it exports: warnings are collected, and its own graph is not printed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning


@contextmanager
def listening() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of showing them.

    At every use of this exporter torch warns that it is deprecated, and that a batch other than 1 fixes the batch.
    Lifting undoes the latter. Warnings about the user's own lines go into the message of a failed proof.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield heard


@contextmanager
def quiet_translator() -> Iterator[None]:
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


def own_line(warning: warnings.WarningMessage) -> str | None:
    """Return a tracer's warning about the user's own code as text; None for any other warning."""
    inside = Path(torch.__file__).parent in Path(warning.filename).parents
    if inside or not issubclass(warning.category, TracerWarning):
        return None
    return f"{warning.filename}:{warning.lineno}: {str(warning.message).partition('.')[0]}"


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text, for messages."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
