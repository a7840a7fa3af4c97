"""Torch's warnings are collected, and its graph is not printed."""

import warnings

import torch
from tidegate.export.pytorch.quiet import listening, own_line, quiet_translator
from torch.jit._trace import TracerWarning


def test_a_tracers_warning_about_the_users_own_line_is_kept() -> None:
    with listening() as heard:
        warnings.warn("a size became a number. More text", TracerWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    own, other = map(own_line, heard)
    assert own is not None
    assert own.startswith(__file__)
    assert own.endswith("a size became a number")
    assert other is None


def test_the_log_of_the_translator_is_as_before() -> None:
    before = torch._C._jit_onnx_log
    with quiet_translator():
        torch._C._jit_onnx_log("text")
        assert torch._C._jit_onnx_log is not before
    assert torch._C._jit_onnx_log is before
