"""Frames for a month: streams in groups against streams by themselves, on other variants and in other processes.

    python tests/soak/month.py --seconds 3600

(`make month`). A piece is 100,000 frames of 16 rows of the watch's net, or 10,000 of the speaker's; a tenth of it with
plain C, which takes ten times as long. One process streams it in a group, in which streams end and others begin; a
second one streams each row by itself, in other chunks and on another variant. The hash of all answers and the snapshots
at the end must be equal, and frames at samples equal the specification. The next piece goes on from these snapshots on
the next variant. `month.jsonl` next to this file has a line for each run, which goes on where the last one
stopped; snapshots are in build/month (without them all rows begin anew).
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from kernels.building import ROOT, require, run  # noqa: E402
from tidegate.benchmarks.nets.stacks import Case, random_layers, streaming_model  # noqa: E402
from tidegate.quant.quantize import quantize  # noqa: E402
from tidegate.runtime import _kernels  # noqa: E402
from tidegate.runtime.arrays import Floats  # noqa: E402
from tidegate.runtime.backends.native import NativeModel  # noqa: E402
from tidegate.runtime.graph.graph import Graph  # noqa: E402
from tidegate.runtime.lowering.lower import lower  # noqa: E402
from tidegate.runtime.plan.writer import compile_program  # noqa: E402
from tidegate.runtime.program import Program  # noqa: E402
from tidegate.runtime.reference import ReferenceStream  # noqa: E402

ROWS = 16
FRAMES = {"watch": 100_000, "speaker": 10_000}  # of a row in a piece
SIZES = (1, 3, 16, 50, 160)  # frames of a push
TURN = 23  # pushes of a group, then a stream ends and another begins
SAMPLE = 64  # frames at the end of a piece that the specification answers too
NETS = {"watch": Case("watch", 6, 64, 2), "speaker": Case("speaker", 40, 256, 3), "small": Case("small", 3, 5, 1)}
LEDGER = HERE / "month.jsonl"
Snapshots = list[bytes]  # of the rows; empty: the row begins


@cache
def net(name: str) -> tuple[Program, bytes]:
    """Return the program and the plan of a quantized net of random weights."""
    case = NETS[name]
    folder = ROOT / "build" / "month"
    folder.mkdir(parents=True, exist_ok=True)
    floats, quantized = folder / f"{name}.onnx", folder / f"{name}.int8.onnx"
    floats.write_bytes(streaming_model(random_layers(case, 0)).SerializeToString())
    quantize(floats, quantized)
    graph = Graph.load(quantized)
    program = lower(graph)
    return program, compile_program(program, graph.contract)


def signal(name: str, piece: int, row: int, frames: int) -> Floats:
    """Return the frames of a row in a piece."""
    rng = np.random.default_rng([piece, row])
    return rng.standard_normal((frames, NETS[name].features)).astype(np.float32)


def pushes(piece: int, frames: int) -> Iterator[tuple[int, int, int | None]]:
    """Yield first and last frame of each push of a group, and the row that begins anew before it."""
    rng, at, count = np.random.default_rng([piece, ROWS]), 0, 0
    while at < frames:
        end = min(at + int(rng.choice(SIZES)), frames)
        yield at, end, (count // TURN) % ROWS if count % TURN == TURN - 1 else None
        at, count = end, count + 1


def in_group(name: str, piece: int, isa: str, frames: int, before: Snapshots) -> tuple[list[str], Snapshots]:
    """Stream a piece in a group; return the hash of the answers of each row, and its snapshot."""
    group = NativeModel(net(name)[1], isa).streams(ROWS)
    for row, snapshot in enumerate(before):
        if snapshot:
            group.restore(row, snapshot)
    x = np.stack([signal(name, piece, row, frames) for row in range(ROWS)])
    hashes = [blake2b(digest_size=16) for _ in range(ROWS)]
    for at, end, begins in pushes(piece, frames):
        if begins is not None:
            group.leave(begins)
            group.join(begins)
        for row, answer in enumerate(np.asarray(group.push(x[:, at:end]))):
            hashes[row].update(answer.tobytes())
    return [one.hexdigest() for one in hashes], [group.snapshot(row) for row in range(ROWS)]


def alone(name: str, piece: int, isa: str, frames: int, before: Snapshots) -> tuple[list[str], Snapshots]:
    """Stream each row of a piece by itself, in other chunks; the last frames equal the specification."""
    model = NativeModel(net(name)[1], isa)
    starts: list[list[int]] = [[] for _ in range(ROWS)]
    for at, _, begins in pushes(piece, frames):
        if begins is not None:
            starts[begins].append(at)
    hashes, after = [], []
    for row in range(ROWS):
        stream, x, found = model.stream(), signal(name, piece, row, frames), blake2b(digest_size=16)
        if before and before[row]:
            stream.restore(before[row])
        edges = sorted({*starts[row], *range(0, frames, 100 + row), frames - SAMPLE, frames})
        for at, end in pairwise(edges):
            if at in starts[row]:
                stream.reset()
            wanted = (
                specified(name, stream.states(), x[at:end]) if at == frames - SAMPLE and row == piece % ROWS else None
            )
            answer = np.asarray(stream.push(x[at:end]))
            if wanted is not None:
                np.testing.assert_array_equal(answer, wanted)
            found.update(answer.tobytes())
        hashes.append(found.hexdigest())
        after.append(stream.snapshot())
    return hashes, after


def specified(name: str, states: Sequence[Floats], x: Floats) -> Floats:
    """Return the answers of the specification from states on."""
    reference = ReferenceStream(net(name)[0])
    for own, given in zip(reference.states(), states, strict=True):
        own[...] = given
    (answer,) = reference.push(x).values()
    assert answer is not None
    return answer


# ---- one process ----

WAYS = {"group": in_group, "alone": alone}


def held() -> tuple[int, int, int]:
    """Return the KiB, descriptors and threads of this process."""
    status = Path("/proc/self/status").read_text()
    size, threads = (int(status.split(f"{key}:")[1].split()[0]) for key in ("VmRSS", "Threads"))
    return size, len([*Path("/proc/self/fd").iterdir()]), threads


def task_of(name: str, piece: int) -> tuple[dict[str, str], int]:
    """Return the variant of each way of a piece, and the frames of a row."""
    variants = _kernels.variants()
    isas = {way: variants[(piece + at) % len(variants)] for at, way in enumerate(WAYS)}
    return isas, FRAMES[name] // (10 if "scalar" in isas.values() else 1)


def work(way: str, name: str, piece: int, folder: Path) -> None:
    """Stream a piece from the snapshots of a folder; write those of its end beside them, and print the rest."""
    isas, frames = task_of(name, piece)
    isa = isas[way]
    before = [path.read_bytes() if (path := folder / f"{row}").exists() else b"" for row in range(ROWS)]
    WAYS[way](name, piece, isa, frames // 10, before)  # so that everything is there before the memory is measured
    start = held()
    hashes, after = WAYS[way](name, piece, isa, frames, before)
    for row, snapshot in enumerate(after):
        (folder / f"{row}.{way}").write_bytes(snapshot)
    grown = [b - a for a, b in zip(start, held(), strict=True)]
    print(json.dumps({"hashes": hashes, "grown": grown, "isa": isa}))


# ---- all pieces ----


def done(name: str) -> int:
    """Return how many pieces of a net are in the ledger."""
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return sum(entry["pieces"] for entry in map(json.loads, lines) if entry["net"] == name)


def stream_piece(name: str, piece: int, folder: Path) -> tuple[int, list[int]]:
    """Stream a piece in both ways; return the rows that differ, and what the process of the group grew by."""
    said = [json.loads(run(sys.executable, __file__, "--piece", way, name, str(piece), folder)) for way in WAYS]
    differing = 0
    for row in range(ROWS):
        group, single = (folder / f"{row}.{way}" for way in WAYS)
        same = said[0]["hashes"][row] == said[1]["hashes"][row] and group.read_bytes() == single.read_bytes()
        differing += not same
        single.replace(folder / f"{row}")
        group.unlink()
    return differing, said[0]["grown"]


def stretch(name: str, seconds: float) -> None:
    """Stream pieces of a net for a time, and write the line of the ledger."""
    folder, first, started = ROOT / "build" / "month" / name, done(name), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    piece, frames, differing, most = first, 0, 0, [0, 0, 0]
    while time.monotonic() - started < seconds:
        wrong, grown = stream_piece(name, piece, folder)
        differing, most = differing + wrong, [max(pair) for pair in zip(most, grown, strict=True)]
        frames += ROWS * task_of(name, piece)[1]
        piece += 1
        print(f"{name}: piece {piece}, {frames:,} frames in this run, {differing} rows differ", flush=True)
    entry: dict[str, Any] = {
        "net": name,
        "pieces": piece - first,
        "frames": frames,
        "differing": differing,
        "hours": round((time.monotonic() - started) / 3600, 3),
        "grown": dict(zip(("KiB", "descriptors", "threads"), most, strict=True)),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": run(require("git"), "-C", ROOT, "rev-parse", "--short", "HEAD").strip(),
        "machine": f"{platform.machine()} {', '.join(_kernels.variants())}",
    }
    with LEDGER.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=FRAMES, action="append", help="default: both")
    parser.add_argument("--seconds", type=float, default=1800, help="for each net (default: %(default)s)")
    parser.add_argument("--piece", nargs=4, metavar=("WAY", "NET", "NUMBER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.piece:
        way, name, number, folder = options.piece
        work(way, name, int(number), Path(folder))
        return
    for name in options.net or FRAMES:
        stretch(name, options.seconds)


if __name__ == "__main__":
    main()
