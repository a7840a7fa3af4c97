"""tract: the unchanged ONNX file, with each state output passed back to its input."""

from pathlib import Path

import numpy as np

from .job import Floats, Job, Step, Variant

PACKAGES = ("tract",)
TOOLS, TOOLS_HOME = ("onnx",), ""
VARIANTS = (Variant("float32", "run"),)


def files(job: Job, _: Variant) -> list[Path]:
    """Return the path of the ONNX file with fixed shapes."""
    return [job.made(f"tract.{job.steps}.onnx")]


def prepare(job: Job, variant: Variant) -> None:
    """Write the ONNX file with the sizes of this job in place of free axes."""
    import onnx

    model = onnx.load(job.model)
    port, states = job.contract["inputs"][0], {s["input"] for s in job.contract["states"]}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if dim.dim_param or not dim.dim_value:
                dim.dim_value = job.steps if value.name not in states and axis == port["time_axis"] else 1
    onnx.save(model, files(job, variant)[0])


def load(job: Job, variant: Variant) -> Step:
    """Return a step function; inputs are passed in the order of the file."""
    import tract

    runnable = tract.onnx().load(str(files(job, variant)[0])).into_model().into_runnable()
    run, contract = runnable.spawn_state().run, job.contract
    states = [
        tract.Tensor.from_numpy(np.zeros([n if n != "batch" else 1 for n in s["shape"]], np.float32))
        for s in contract["states"]
    ]
    port, outputs = contract["inputs"][0], len(contract["outputs"])
    shape = job.chunks()[0].shape
    if port["batch_axis"] is not None:
        shape = np.expand_dims(np.empty(shape), port["batch_axis"]).shape

    def step(chunk: Floats) -> Floats:
        nonlocal states
        results = run([tract.Tensor.from_numpy(chunk.reshape(shape)), *states])
        states = results[outputs:]
        found: Floats = results[0].to_numpy()
        return found

    return step
