"""The processor that the tests run on, and others that qemu shows them."""

import os
import platform
import sys
from importlib.util import find_spec

from kernels.building import require
from tidegate.benchmarks.measuring.environment import observe
from tidegate.runtime import _kernels
from tidegate.runtime.backends.native import ISA_VARIABLE, default_isa

WITHOUT_VNNI = "Haswell"  # has AVX2: 8-bit products of onnxruntime saturate there
WITHOUT_AVX2 = "Opteron_G5"  # has AVX; on older ones numpy's wheel does not run


def emulated_python(cpu: str) -> list[str]:
    """Return the command of this Python on another x86-64 processor; the test is skipped if that cannot be shown."""
    import pytest

    if platform.machine() != "x86_64":
        pytest.skip("this Python is built for another processor than x86-64")
    return [require("qemu-x86_64"), "-cpu", cpu, sys.executable]


def header() -> list[str]:
    """Return which processor was found, for the head of a test run; variants are found by cpuid, as qemu shows it."""
    forced, found = os.environ.get(ISA_VARIABLE, ""), _kernels.variants()
    said = f"forced by {ISA_VARIABLE}" if forced else f"{ISA_VARIABLE} is not set"
    return [
        f"engine: {default_isa()} ({said}), of {', '.join(found)}",
        f"processor: {observe((), None).processor}; 8-bit products of onnxruntime: {_products()}",
    ]


def _products() -> str:
    if find_spec("onnxruntime") is None:
        return "not installed"
    from tidegate.benchmarks.peers.onnxruntime import products_saturate

    return "saturate in pairs" if products_saturate() else "exact"
