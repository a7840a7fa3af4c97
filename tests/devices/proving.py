"""Stream one model on one device: the hash of all answers, the instructions, the memory."""

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.device.folder import image_bytes, write_files
from tidegate.runtime.device.targets import WASM, Run, Target
from tidegate.runtime.device.web import write_web_folder

PROOF = Path(__file__).with_name("proof.c")
PROOF_IN_NODE = Path(__file__).parents[1] / "web" / "proof.mjs"
HASH_BYTES, NAME_BYTES = 32, 32
COUNTED = (1, 5)  # frames of two runs; their difference gives the instructions per frame
AVERAGED = 320  # frames of the run in which a Cortex-M counts its own instructions


@dataclass(frozen=True)
class Built:
    """A model built for a target, with proof.c in place of main.c."""

    target: Target
    folder: Path
    flash_bytes: int
    ram_bytes: int

    @property
    def program(self) -> Path:
        """The path of the program."""
        return self.folder / "model"


def hash_in_python(plan: bytes, frames: Floats) -> str:
    """Return the hash that proof.c prints: of every frame's answers, then of the last states."""
    return hash_of(NativeModel(plan), frames)


def hash_of(model: NativeModel, frames: Floats) -> str:
    """Return the same hash for a model that is loaded already."""
    stream, chained = model.stream(), bytes(HASH_BYTES)
    answers = [np.asarray(stream.push(frame[None])) for frame in frames]
    for values in [*answers, *stream.states()]:
        chained = blake2b(chained + values.astype("<f4").tobytes(), digest_size=HASH_BYTES).digest()
    return chained.hex()


def build(plan: bytes, target: Target, folder: Path) -> Built:
    """Write the folder of a model for a target and build it twice: as it is, for its sizes, then with proof.c."""
    if target.name == WASM:
        report = write_web_folder(plan, target, folder)
        return Built(target, folder, report.flash_bytes or 0, report.ram_bytes)
    write_files({"model": plan}, target, folder)
    compiler = target.compiler if target.board is not None else f"{target.compiler} -static"
    make = ["make", "-s", "-C", str(folder), f"CC={compiler}"]
    run(make)
    flash, ram = image_bytes(target, folder)
    shutil.copy(PROOF, folder)
    run([*make, "MAIN=proof.c"])
    return Built(target, folder, flash, ram)


def on_this_machine(how: Run) -> Run | None:
    """Return how a variant runs here: as its target says; on a processor without it by the emulator that counts.

    None: neither can run it.
    """
    if how.emulator:
        return how
    counter = how.counter if platform.machine() == "x86_64" else ()  # it runs what `cc` builds on x86-64 only
    if how.variant in _kernels.variants():
        return replace(how, counter=counter)
    return replace(how, emulator=counter, counter=counter) if counter else None


def stream(built: Built, how: Run, frames: Floats) -> dict[str, str]:
    """Stream frames through a built model; return its printed values by name: hash, on a Cortex-M also stack."""
    if built.target.name == WASM:
        printed = run(
            [*how.emulator, str(PROOF_IN_NODE), str(built.folder), how.variant], frames.astype("<f4").tobytes()
        )
    else:
        printed = run([*how.emulator, str(built.program)], _input(built, how, frames))
    return dict(line.split(" ", 1) for line in printed.decode().splitlines())


def instructions(built: Built, how: Run, frames: Floats) -> int | None:
    """Return the instructions per frame; None if qemu does not have the processor, or it is a browser's.

    A Cortex-M counts with its SysTick timer, which qemu advances by instructions. Elsewhere qemu logs each instruction.
    """
    counter = how.counter or how.emulator
    if not counter or built.target.name == WASM:
        return None
    if built.target.board is not None:
        printed = run([*counter, str(built.program)], _input(built, how, frames[:AVERAGED]))
        return int(dict(line.split(" ", 1) for line in printed.decode().splitlines())["instructions"])
    totals = [
        _logged([*counter, "-singlestep", "-d", "exec,nochain", str(built.program)], _input(built, how, frames[:n]))
        for n in COUNTED
    ]
    return (totals[1] - totals[0]) // (COUNTED[1] - COUNTED[0])


def _input(built: Built, how: Run, frames: Floats) -> bytes:
    order = ">f4" if built.target.big_endian else "<f4"
    return how.variant.encode().ljust(NAME_BYTES, b"\0") + frames.astype(order).tobytes()


def run(command: Sequence[str], given: bytes = b"") -> bytes:
    """Run a command and return its output.

    Raises:
        RuntimeError: The command fails; the message has its output.
    """
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{said}")
    return done.stdout


def _logged(command: Sequence[str], given: bytes) -> int:
    """Return the number of instructions that qemu logs, without keeping the log, which is too long."""
    log = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert log.stdin is not None
    assert log.stderr is not None
    log.stdin.write(given)
    log.stdin.close()
    lines = sum(line.startswith(b"Trace") for line in log.stderr)
    if log.wait():
        raise RuntimeError(f"{' '.join(command)}: exit status {log.returncode}")
    return lines
