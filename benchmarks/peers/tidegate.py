"""tidegate from a compiled plan: `stream.push`. A quantized file runs as it is, a float one in six precisions.

Every width of weights and of activations is among them, and groups; `benchmarks/precisions.py` has the others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .job import GIVEN, PLAN, Job, Step, Variant

if TYPE_CHECKING:
    from tidegate.runtime.backends.native import NativeModel

PACKAGES = ("tidegate.runtime.backends.native",)
DISTRIBUTIONS = ("tidegate",)  # an editable one names no package
PRECISIONS = ("W8A16", "W8A8", "W4A16g32", "W4A8", "W16A16", "float32")
AS_GIVEN = "as given"


def variants(job: Job) -> Sequence[Variant]:
    """Return PRECISIONS for a float model, or the one that a quantized file has."""
    given = job.made(GIVEN).exists() or job.made(PLAN).exists()
    names = (AS_GIVEN,) if given else PRECISIONS
    return [Variant(precision, "push") for precision in names]


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the plan."""
    plan = job.made(PLAN)
    return [plan if plan.exists() else job.made(f"tidegate.{variant.precision.replace(' ', '-')}.tide")]


def prepare(job: Job, variant: Variant) -> None:
    """Quantize and compile, where that is not done."""
    plan = files(job, variant)[0]
    if plan.exists():
        return
    from tidegate.quant import quantize
    from tidegate.runtime.load import compile_model

    if variant.precision == AS_GIVEN:
        source = job.made(GIVEN)
    elif variant.precision == "float32":
        source = job.model
    else:
        source = job.made(f"tidegate.{variant.precision}.onnx")
        quantize(job.model, source, precision=variant.precision)
    compile_model(source, plan)


def model(job: Job, variant: Variant) -> "NativeModel":
    """Return the model, on the instruction set that stands behind `push`: `push avx2`; without one, on the best."""
    from tidegate.runtime.backends.native import NativeModel

    return NativeModel(files(job, variant)[0].read_bytes(), variant.how.partition(" ")[2] or None)


def load(job: Job, variant: Variant) -> Step:
    """Return the push of a stream."""
    return model(job, variant).stream().push
