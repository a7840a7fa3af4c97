"""tidegate: `stream.push` on a compiled plan. A quantized file runs as it is, a float file in six precisions.

The six include each width of weights and of activations, and groups. `benchmarks/precisions.py` measures the others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .job import GIVEN, PLAN, Job, Step, Variant

if TYPE_CHECKING:
    from tidegate.runtime.backends.native import NativeModel

PACKAGES = ("tidegate.runtime.backends.native",)
DISTRIBUTIONS = ("tidegate",)  # an editable install lists no module
PRECISIONS = ("W8A16", "W8A8", "W4A16g32", "W4A8", "W16A16", "float32")
AS_GIVEN = "as given"


def variants(job: Job) -> Sequence[Variant]:
    """Return a variant for each of PRECISIONS; for a quantized file or a plan only one, `as given`."""
    given = job.made(GIVEN).exists() or job.made(PLAN).exists()
    names = (AS_GIVEN,) if given else PRECISIONS
    return [Variant(precision, "push") for precision in names]


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the path of the plan."""
    plan = job.made(PLAN)
    return [plan if plan.exists() else job.made(f"tidegate.{variant.precision.replace(' ', '-')}.tide")]


def prepare(job: Job, variant: Variant) -> None:
    """Quantize and compile, unless the plan is there already."""
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
    """Return the model. `variant.how` may name the instruction set, as in `push avx2`; otherwise it is the best."""
    from tidegate.runtime.backends.native import NativeModel

    return NativeModel(files(job, variant)[0].read_bytes(), variant.how.partition(" ")[2] or None)


def load(job: Job, variant: Variant) -> Step:
    """Return the push method of a new stream; several signals are given by name."""
    from tidegate.runtime.streams import apart

    loaded = model(job, variant)
    push, pieces = loaded.stream().push, loaded.pieces
    return (lambda frames: push(apart(pieces, frames))) if pieces else push
