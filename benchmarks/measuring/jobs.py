"""Jobs for peers: a model file or a stack of layers, a signal, and the answers wanted, as files in a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime import fold_weights
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

FRAMES = 1000  # of a signal: the stream that errors are measured on


def stack_job(folder: Path, case: stacks.Case, steps: int) -> Job:
    """Make the job of a stack of layers with random weights, on noise."""
    return stack_jobs(folder, case, [steps])[0]


def stack_jobs(folder: Path, case: stacks.Case, steps: Sequence[int]) -> list[Job]:
    """Make the jobs of a stack, one for each number of frames a chunk; they share their files."""
    layers = stacks.random_layers(case)
    graph = Graph(stacks.streaming_model(layers))
    names = {"w{}_ih": "w", "w{}_hh": "r", "b{}_ih": "bias_w", "b{}_hh": "bias_r"}
    weights = {key.format(n): getattr(layer, name) for n, layer in enumerate(layers) for key, name in names.items()}
    np.savez(_made(folder) / WEIGHTS, **weights)
    stack = Stack(case.cell, case.features, case.hidden, case.layers)
    frames = stacks.random_frames(case, FRAMES)
    whole = Job(folder, case.name, FRAMES // 2, stack)  # in float64 the size of a chunk changes nothing
    _written(whole, graph, frames)
    jobs = [replace(whole, steps=count) for count in steps]
    for job in jobs:
        job.save()
    return jobs


def file_job(folder: Path, name: str, path: Path, signal: Array, steps: int) -> Job:
    """Make the job of a streaming ONNX file, or of a compiled plan, which other runtimes do not read.

    Quantized weights stand in it as the floats that they mean.

    Raises:
        ModelError: The file is not a model.
        ChunkError: The signal does not fit, or is shorter than two chunks.
    """
    if is_plan(path):
        return _plan_job(folder, name, read_bytes(path, MAX_FILE_BYTES), signal, steps)
    graph = Graph.load(path)
    job = Job(_made(folder), name, steps, None, _rate(graph.contract, steps))
    if graph.metadata(QUANTIZATION_KEY) is not None:
        graph.save(job.made(GIVEN))
    return _written(job, graph, signal)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rate(contract: Contract, steps: int) -> float:
    """Return the chunks a second that a contract states, or 0."""
    return 0.0 if contract.frame_seconds is None else 1 / (contract.frame_seconds * steps)


def _plan_job(folder: Path, name: str, plan: bytes, signal: Array, steps: int) -> Job:
    contract = read_text(text_of(plan)).contract
    job = Job(_made(folder), name, steps, None, _rate(contract, steps))
    job.made(PLAN).write_bytes(plan)
    job.made(CONTRACT).write_text(contract.to_json())
    job.made(INEXACT).write_text("a compiled plan holds no float model to run in float64")
    return _signed(job, signal)


def _signed(job: Job, signal: Array) -> Job:
    """Write the signal and what the job is."""
    count = len(signal) // job.steps
    if count < 2:
        raise ChunkError(f"signal has {len(signal)} frames, wanted at least two chunks of {job.steps}")
    np.save(job.made(SIGNAL), signal[: count * job.steps])
    job.save()
    return job


def _written(job: Job, graph: Graph, signal: Array) -> Job:
    _signed(job, signal)
    floats = fold_weights(graph)
    floats.drop_metadata(QUANTIZATION_KEY)
    floats.save(job.model)
    job.made(CONTRACT).write_text(graph.contract.to_json())
    try:
        np.save(job.made(EXACT), exact_answers(graph, job.chunks()))
    except ModelError as error:
        job.made(INEXACT).write_text(str(error))
    return job
