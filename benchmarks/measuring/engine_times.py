"""The engine's times in C beside what the machine allows: runs `engine.c`, compiled with `limits.c` and the kernels."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import BackendError

HERE = Path(__file__).resolve().parents[1]
KERNELS = HERE.parent / "runtime" / "kernels"
SOURCES = ("engine.c", "limits.c")
CALLS = {1: 20_000, 16: 2_000}
PASSES = 3  # processes; the one with the lowest median counts: the others met a busier machine
STREAMS_CALLS = 32_000  # stream-steps
BYTE = 8  # bits of a code that one pass over the weights multiplies on every instruction set


@dataclass(frozen=True)
class Row:
    """One case in C; times in microseconds.

    Attributes:
        case: Name of the sizes.
        bits: Most bits of activations.
        steps: Frames of a push.
        push_us: Median of a push of noise.
        p999_us: Its 99.9th percentile.
        silence_us: Median of a push of zeros.
        read_us: Median time to read the weight bytes.
        read_p999_us: Its 99.9th percentile: the tail that the machine gives to mere loads.
        macs_us: Time of the multiply-adds at the peak rate.
        peak: What multiplies at that rate.
    """

    case: str
    bits: int
    steps: int
    push_us: float
    p999_us: float
    silence_us: float
    read_us: float
    read_p999_us: float
    macs_us: float
    peak: str

    @property
    def ratio(self) -> float:
        """Time over the larger bound."""
        return self.push_us / max(self.read_us, self.macs_us)


def build(folder: Path) -> Path:
    """Compile the engine's timing program and return it.

    Raises:
        BackendError: There is no checkout or no C compiler, or it fails.
    """
    missing = next((HERE / name for name in SOURCES if not (HERE / name).is_file()), None)
    if missing is not None:
        raise BackendError(
            f"there is no {missing}, wanted the source of the timing program: an installed tidegate has none; run this "
            "command in a checkout, after `make setup`"
        )
    compiler = shutil.which("cc")
    if compiler is None:
        raise BackendError("there is no C compiler `cc`, wanted one for the timing program: apt-get install gcc")
    folders = ("src", "operators", "variants")
    sources = [HERE / name for name in SOURCES]
    sources += [file for name in folders for file in sorted((KERNELS / name).glob("*.c"))]
    flags = [
        "-std=gnu11",
        "-O3",
        "-ffp-contract=off",
        "-fno-trapping-math",
        "-fno-math-errno",
        f"-I{KERNELS / 'include'}",
    ]
    target = folder / "engine"
    done = subprocess.run([compiler, *flags, *map(str, sources), "-lm", "-o", str(target)], check=False)  # noqa: S603
    if done.returncode:
        raise BackendError(f"{compiler} cannot build the timing program, exit status {done.returncode}: see above")
    return target


def time_plan(command: Sequence[str], case: tuple[str, int], bits: int, steps: int) -> Row:
    """Time a plan in processes of its own and return the quietest; `case` is its name, its multiply-adds a step."""
    name, work = case
    runs = _runs([*command, str(steps), str(CALLS[steps])])
    best = min(runs, key=lambda run: run["push_ns"])
    return Row(
        case=name,
        bits=bits,
        steps=steps,
        push_us=best["push_ns"] / 1e3,
        p999_us=best["push_p999_ns"] / 1e3,
        silence_us=best["silence_ns"] / 1e3,
        read_us=min(run["read_ns"] for run in runs) / 1e3,
        read_p999_us=best["read_p999_ns"] / 1e3,
        macs_us=min(mac_us(run, bits) for run in runs) * work * steps,
        peak=best["peak"],
    )


def time_group(command: Sequence[str], rows: int) -> dict[str, Any]:
    """Time a group of the given number of streams in processes of its own and return the quietest."""
    return min(_runs([*command, "1", str(STREAMS_CALLS // rows), str(rows)]), key=lambda run: run["group_ns"])


def _runs(command: Sequence[str]) -> list[dict[str, Any]]:
    done = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(PASSES)]  # noqa: S603
    return [json.loads(run.stdout) for run in done]


def mac_us(run: Mapping[str, Any], bits: int) -> float:
    """Return the microseconds of one multiply-add at the peak rate; codes above 8 bits may take several passes."""
    return float(run["million_macs_ns"]) * (run["planes"] if bits > BYTE else 1) / 1e9
