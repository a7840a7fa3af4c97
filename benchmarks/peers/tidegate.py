"""tidegate, every precision, from a compiled plan: `stream.push`. A quantized file runs as it is."""

from collections.abc import Sequence
from pathlib import Path

from .job import GIVEN, PLAN, Job, Step, Variant

PACKAGES = ("tidegate.runtime.native",)
PRECISIONS = ("W8A16", "W8A8", "W4A16g32", "W4A8", "W16A16", "float32")
AS_GIVEN = "as given"


def variants(job: Job) -> Sequence[Variant]:
    """Return every precision of a float model, or the one that a quantized file has."""
    given = job.made(GIVEN).exists() or job.made(PLAN).exists()
    names = (AS_GIVEN,) if given else PRECISIONS
    return [Variant(precision, "push") for precision in names]


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the plan."""
    plan = job.made(PLAN)
    return [plan if plan.exists() else job.made(f"tidegate.{variant.precision.replace(' ', '-')}.tide")]


def prepare(job: Job, variant: Variant) -> None:
    """Quantize and compile, where that is not done."""
    if job.made(PLAN).exists():
        return
    from tidegate.quant import quantize
    from tidegate.runtime.model import compile_model

    source = job.made(GIVEN) if variant.precision == AS_GIVEN else job.model
    if variant.precision in PRECISIONS and variant.precision != "float32":
        source = job.made(f"tidegate.{variant.precision}.onnx")
        quantize(job.model, source, precision=variant.precision)
    compile_model(source, files(job, variant)[0])


def load(job: Job, variant: Variant) -> Step:
    """Return the push of a stream."""
    from tidegate.runtime.native import NativeModel

    return NativeModel(files(job, variant)[0].read_bytes()).stream().push
