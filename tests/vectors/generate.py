"""Write the golden vectors: small plans, streams, and the answers of the NumPy specification.

    python tests/vectors/generate.py [NAMES]

Without names it writes the cases that have no files. Other files stay as they are:
an engine that changes its bits, or no longer reads an old plan, fails on them.

Each case has three files: NAME.tide (the plan), NAME.frames (float32 `[frames, features]`) and NAME.answers (float32:
every output in plan order, then every state vector). They are little-endian and have no header. versions.txt names the
versions that wrote them. The engine replays them from C (runtime/kernels/tests/replay.c) and from Python.
"""

import platform
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tidegate.runtime.arrays import Floats  # noqa: E402
from tidegate.runtime.operators import Slot, Window  # noqa: E402
from tidegate.runtime.plan.writer import VERSION, compile_program  # noqa: E402
from tidegate.runtime.program import Elementwise, Last, Linear, Op, Program, Reading  # noqa: E402
from tidegate.runtime.reference import ReferenceStream  # noqa: E402
from tools.random_layers import lstm, matrix  # noqa: E402
from tools.streams import contract_of, frames_for, whole  # noqa: E402
from vectors import coverage  # noqa: E402

FRAMES = 24  # more than the engine computes at once
FRAME, HIDDEN = Reading.FRAME, Reading.HIDDEN


def linear(rng: np.random.Generator, value: int, sizes: tuple[int, int], reading: Reading, bits: int) -> Linear:
    """Return a random linear layer of sizes (inputs, outputs)."""
    bias = rng.normal(0, 1, sizes[1]).astype(np.float32)
    return Linear((value,), matrix(rng, sizes[1], sizes[0], reading, bits), bias)


def programs(rng: np.random.Generator) -> dict[str, Program]:
    """Return the programs by name: precisions, odd sizes, a stack, a head, a wide input, a convolution."""
    gain = Elementwise((0,), "mul", rng.uniform(0.1, 3, 9).astype(np.float32))
    own = np.random.default_rng(2027)  # a second generator, so that the older cases do not change
    window = Window((0,), 3, 4, 7, Slot("l0.tail", 0))
    convolution: list[Op] = [window, linear(own, 1, (21, 10), FRAME, 16), lstm(own, 2, (10, 12), FRAME, 16)]
    cases: dict[str, tuple[int, list[Op]]] = {
        "one_unit": (1, [lstm(rng, 0, (1, 1), FRAME, 16)]),
        "lstm_16_bits": (20, [lstm(rng, 0, (20, 33), FRAME, 16)]),
        "lstm_8_bits": (20, [lstm(rng, 0, (20, 33), FRAME, 8)]),
        "linear_16_bits": (31, [linear(rng, 0, (31, 70), FRAME, 16)]),
        "linear_8_bits": (31, [linear(rng, 0, (31, 70), FRAME, 8)]),
        "stack": (13, [lstm(rng, 0, (13, 40), FRAME, 16), lstm(rng, 1, (40, 17), HIDDEN, 16)]),
        "head": (9, [gain, lstm(rng, 1, (9, 24), FRAME, 8), Last((2,)), linear(rng, 3, (24, 5), HIDDEN, 8)]),
        "wide": (600, [lstm(rng, 0, (600, 3), FRAME, 16)]),
        "convolution": (7, convolution),
    }
    older = {name: Program(width, tuple(ops), (("y", len(ops)),)) for name, (width, ops) in cases.items()}
    return older | coverage.programs()


def answers(program: Program, frames: Floats) -> Floats:
    """Return every output, then every state, computed by the specification."""
    stream = ReferenceStream(program)
    outputs = whole(stream, program, frames)
    return np.concatenate([*(outputs[name].ravel() for name, _ in program.outputs), *stream.states()])


def write_case(stem: Path, program: Program, frames: Floats) -> None:
    """Write the three files of a case.

    Raises:
        ChunkError: The stream leaves the range; then only the plan is there.
    """
    stem.with_suffix(".tide").write_bytes(compile_program(program, contract_of(program)))
    stem.with_suffix(".frames").write_bytes(frames.astype("<f4").tobytes())
    stem.with_suffix(".answers").write_bytes(answers(program, frames).astype("<f4").tobytes())


def write(name: str, program: Program) -> None:
    """Write a golden vector; its frames do not depend on other cases."""
    frames = frames_for(program, np.random.default_rng(list(name.encode())), FRAMES)
    frames = np.clip(frames, -1e12, 1e12)  # larger values would make a linear layer leave the range
    write_case(HERE / name, program, frames)


def main(names: list[str]) -> None:
    """Write the named cases; by default those that have no files."""
    cases = programs(np.random.default_rng(2026))
    for name in names or [name for name in cases if not (HERE / f"{name}.tide").exists()]:
        write(name, cases[name])
    versions = f"plan {VERSION}\npython {platform.python_version()}\nnumpy {np.__version__}\n"
    (HERE / "versions.txt").write_text(versions)


if __name__ == "__main__":
    main(sys.argv[1:])
