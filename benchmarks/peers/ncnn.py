"""ncnn: recurrent layers with states as inputs and outputs; float32, and int8 weights as ncnn2int8 makes them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .job import Floats, Job, Step, Variant
from .unrolled import CELLS, cell_of, states_of, zeros

PACKAGES = ("ncnn",)
VARIANTS = (Variant("float32", "Extractor"), Variant("int8", "Extractor"))
MAGIC = "7767517"
INT8 = 0x000D4B38  # the tag before int8 weights in a .bin file; the tag before float32 weights is 0


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the paths of the net's description and of its weights."""
    return [job.made(f"ncnn.{variant.precision}.{kind}") for kind in ("param", "bin")]


def prepare(job: Job, variant: Variant) -> None:
    """Write both files without ncnn's converters, which do not keep the states of an LSTM."""
    param, weights = files(job, variant)
    layers, cell, quantized = job.weights(*CELLS), cell_of(job), variant.precision == "int8"
    param.write_text(_description(layers, cell, quantized))
    with weights.open("wb") as file:
        for w, r, bias_w, bias_r in layers:
            _write_layer(file, _ordered(w, cell), _ordered(r, cell), _biases(bias_w, bias_r, cell), quantized)


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that makes one Extractor per chunk and passes the states on."""
    import ncnn

    ncnn.set_omp_num_threads(1)
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute, net.opt.lightmode = 1, False, True
    for kind in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, kind, False)
    param, weights = files(job, variant)
    net.load_param(str(param))
    net.load_model(str(weights))
    layers, kinds = len(job.weights(*CELLS)), _kinds(cell_of(job))
    names = [f"{kind}{n}" for n in range(layers) for kind in kinds]
    states = {name: ncnn.Mat(zero).clone() for name, zero in zip(names, zeros(job, 1), strict=True)}
    output = f"y{layers - 1}"

    def step(chunk: Floats, _alive: object = net) -> Floats:
        extractor = net.create_extractor()
        extractor.input("x", ncnn.Mat(chunk))
        for name in names:
            extractor.input(name, states[name])
        _, answer = extractor.extract(output)
        for name in names:
            _, states[name] = extractor.extract(name + "n")
        return np.array(answer)

    return step


def _kinds(cell: str) -> str:
    """Return the names of a layer's states: `hc` or `h`."""
    return "hc"[: states_of(cell)]


def _description(layers: list[tuple[Floats, Floats, Floats, Floats]], cell: str, quantized: bool) -> str:
    kinds, lines = _kinds(cell), ["Input x 0 1 x"]
    for n in range(len(layers)):
        lines += [f"Input {kind}{n} 0 1 {kind}{n}" for kind in kinds]
    ports = 1 + len(kinds)
    for n, (w, r, _, _) in enumerate(layers):
        source = "x" if n == 0 else f"y{n - 1}"
        sizes = f"0={r.shape[1]} 1={w.size} 2=0" + " 8=2" * quantized
        before, after = (" ".join(f"{kind}{n}{end}" for kind in kinds) for end in ("", "n"))
        lines.append(f"{cell} layer{n} {ports} {ports} {source} {before} y{n} {after} {sizes}")
    blobs = 1 + (ports + len(kinds)) * len(layers)
    return "\n".join([MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n"


def _write_layer(file: BinaryIO, w: Floats, r: Floats, bias: Floats, quantized: bool) -> None:
    scales = [127.0 / np.abs(m).max(1) for m in (w, r)]
    parts = (
        list(_codes((w, r), scales))
        if quantized
        else [struct.pack("<I", 0) + m.astype("<f4").tobytes() for m in (w, r)]
    )
    file.write(parts[0] + struct.pack("<I", 0) + bias.astype("<f4").tobytes() + parts[1])
    if quantized:
        file.write(b"".join(scale.astype("<f4").tobytes() for scale in scales))


def _codes(matrices: tuple[Floats, Floats], scales: list[Floats]) -> Iterator[bytes]:
    for matrix, scale in zip(matrices, scales, strict=True):
        codes = np.clip(np.rint(matrix * scale[:, None]), -127, 127).astype(np.int8).tobytes()
        yield struct.pack("<I", INT8) + codes + b"\0" * (-len(codes) % 4)


def _ordered(rows: Floats, cell: str) -> Floats:
    """Return an LSTM's gates in ncnn's order i, f, o, g in place of PyTorch's i, f, g, o; other cells unchanged."""
    if cell != "LSTM":
        return np.ascontiguousarray(rows)
    i, f, g, o = np.split(rows, 4)
    return np.ascontiguousarray(np.concatenate([i, f, o, g]))


def _biases(bias_w: Floats, bias_r: Floats, cell: str) -> Floats:
    """Return the sum of both biases; for a GRU r, z, the n of the input and the n of h."""
    if cell != "GRU":
        return _ordered(bias_w + bias_r, cell)
    (r, z, n), (r_h, z_h, n_h) = np.split(bias_w, 3), np.split(bias_r, 3)
    return np.concatenate([r + r_h, z + z_h, n, n_h])
