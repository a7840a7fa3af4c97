"""Makes jobs for peers. A job is a folder with a model, a signal and the exact answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.backends.folded_weights import fold_weights
from ...runtime.contract import Contract
from ...runtime.errors import ChunkError, ModelError
from ...runtime.files import MAX_FILE_BYTES, read_bytes
from ...runtime.graph.graph import Graph
from ...runtime.lowering.lower import QUANTIZATION_KEY
from ...runtime.plan.magic import is_plan, text_of
from ...runtime.plan.text import read_text
from ..nets import stacks
from ..peers.job import CONTRACT, EXACT, GIVEN, INEXACT, PLAN, SIGNAL, WEIGHTS, Job, Stack
from .exact_answers import exact_answers

FRAMES = 1000  # frames of the signal on which errors are measured


def stack_job(folder: Path, case: stacks.Case, steps: int) -> Job:
    """Make a job from a stack with random weights and a signal of noise; see `stack_jobs`."""
    return stack_jobs(folder, case, [steps])[0]


def stack_jobs(folder: Path, case: stacks.Case, steps: Sequence[int]) -> list[Job]:
    """Make jobs from a stack with random weights and a signal of noise.

    Args:
        folder: Where the jobs' files are written. All jobs share the files.
        case: The sizes of the stack.
        steps: Frames per chunk: one job for each number.
    """
    layers = stacks.random_layers(case)
    graph = Graph(stacks.streaming_model(layers))
    names = {"w{}_ih": "w", "w{}_hh": "r", "b{}_ih": "bias_w", "b{}_hh": "bias_r"}
    weights = {key.format(n): getattr(layer, name) for n, layer in enumerate(layers) for key, name in names.items()}
    np.savez(_made(folder) / WEIGHTS, **weights)
    stack = Stack(case.cell, case.features, case.hidden, case.layers)
    frames = stacks.random_frames(case, FRAMES)
    whole = Job(folder, case.name, FRAMES // 2, stack)  # in float64 the answers do not depend on the chunk size
    _written(whole, graph, frames)
    jobs = [replace(whole, steps=count) for count in steps]
    for job in jobs:
        job.save()
    return jobs


def file_job(folder: Path, name: str, path: Path, signal: Array, steps: int) -> Job:
    """Make a job from a streaming ONNX file, or from a compiled plan (which only tidegate can run).

    The other peers get a float file: each quantized weight in it is replaced by its float value.

    Args:
        folder: Where the job's files are written.
        name: The name of the case.
        path: The ONNX file or plan.
        signal: float32 `[frames, features]`, or ids, integers `[frames]`.
        steps: Frames per chunk.

    Raises:
        ModelError: The file is not a model.
        ChunkError: The signal has fewer frames than two chunks.
    """
    if is_plan(path):
        return _plan_job(folder, name, read_bytes(path, MAX_FILE_BYTES), signal, steps)
    graph = Graph.load(path)
    job = Job(_made(folder), name, steps, None, _rate(graph.contract, steps))
    if graph.metadata(QUANTIZATION_KEY) is not None or _holds_codes(graph):
        graph.save(job.made(GIVEN))
    return _written(job, graph, signal)


def _holds_codes(graph: Graph) -> bool:
    """Return whether weights of a graph are codes, as in a lifted file that its maker quantized."""
    return any(node.op_type == "DequantizeLinear" for node in graph.nodes)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rate(contract: Contract, steps: int) -> float:
    """Return the chunks per second that follow from a contract; 0 if it states no rate."""
    return 0.0 if contract.frame_seconds is None else 1 / (contract.frame_seconds * steps)


def _plan_job(folder: Path, name: str, plan: bytes, signal: Array, steps: int) -> Job:
    contract = read_text(text_of(plan)).contract
    job = Job(_made(folder), name, steps, None, _rate(contract, steps))
    job.made(PLAN).write_bytes(plan)
    job.made(CONTRACT).write_text(contract.to_json())
    job.made(INEXACT).write_text("a compiled plan holds no float model to run in float64")
    return _signed(job, signal)


def _signed(job: Job, signal: Array) -> Job:
    """Write the signal and the job's own file."""
    count = len(signal) // job.steps
    if count < 2:
        raise ChunkError(f"signal has {len(signal)} frames, wanted at least two chunks of {job.steps} frames")
    np.save(job.made(SIGNAL), signal[: count * job.steps])
    job.save()
    return job


def _written(job: Job, graph: Graph, signal: Array) -> Job:
    kind = graph.model.graph.input[0].type.tensor_type.elem_type
    _signed(job, signal.astype(helper.tensor_dtype_to_np_dtype(kind), copy=False))  # ids of any type become the file's
    floats = fold_weights(graph)
    floats.drop_metadata(QUANTIZATION_KEY)
    floats.save(job.model)
    job.made(CONTRACT).write_text(graph.contract.to_json())
    try:
        np.save(job.made(EXACT), exact_answers(graph, job.chunks()))
    except ModelError as error:
        job.made(INEXACT).write_text(str(error))
    return job
