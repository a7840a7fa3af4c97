"""MNN: the ONNX file, converted by MNN's converter and run as a Module; float32, and int8 weights."""

from pathlib import Path

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("MNN",)
VARIANTS = (Variant("float32", "Module"), Variant("int8 weights", "Module"))


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the path of the converted file."""
    return [job.made(f"mnn.{variant.precision.replace(' ', '-')}.mnn")]


def prepare(job: Job, variant: Variant) -> None:
    """Convert the ONNX file with the function that the program `mnnconvert` calls.

    The program itself is not used: it installs another package and reports its use over the network.
    """
    import _tools

    target = files(job, variant)[0]
    bits = ["--weightQuantBits", "8"] if variant.precision == "int8 weights" else []
    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", str(job.model), "--MNNModel", str(target), "--bizCode", "x", *bits]
    )
    if not target.exists():
        raise CannotRunError("MNN's converter refuses the file")


def load(job: Job, variant: Variant) -> Step:
    """Return a step function whose states are the variables that the call before returned."""
    import MNN
    import MNN.expr as expressions

    contract = job.contract
    port, states = contract["inputs"][0], contract["states"]
    inputs = [port["name"], *(state["input"] for state in states)]
    outputs = [contract["outputs"][0]["name"], *(state["output"] for state in states)]
    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": 1},))
    module = MNN.nn.load_module_from_file(str(files(job, variant)[0]), inputs, outputs, runtime_manager=manager)
    sizes = [[n if n != "batch" else 1 for n in state["shape"]] for state in states]
    carried = [expressions.const(np.zeros(size, np.float32), size, expressions.NCHW) for size in sizes]
    shape = list(np.expand_dims(job.chunks()[0], port["batch_axis"] or 0).shape)

    def step(chunk: Floats, _alive: object = manager) -> Floats:
        nonlocal carried
        answers = module.forward([expressions.const(chunk, shape, expressions.NCHW), *carried])
        carried = answers[1:]
        found: Floats = answers[0].read()
        return found

    return step
