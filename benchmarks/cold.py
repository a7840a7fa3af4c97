"""The cold start: time and memory of a fresh process from its first line to its first answer.

    python -m tidegate.benchmarks.cold

starts three programs in turns, each time in a fresh process: only numpy, tidegate on a plan file, and onnxruntime on
its own int8 file.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from ..quant import quantize
from ..runtime.errors import BackendError, TidegateError
from ..runtime.load import compile_model
from .measuring.environment import Environment, observe
from .nets import stacks
from .peers import onnxruntime
from .progress import bar
from .tables import Table, show

CASE = "C"
MOST_MS, MOST_MB = 10, 4  # the goal: at most this much more than numpy alone

# Each process runs BEGIN, a program and END. Then it prints its milliseconds, resident megabytes and heavy imports.
REPORT = """
import sys
with open("/proc/self/statm") as pages:
    resident = int(pages.read().split()[1]) * 4096
names = [name for name in ("onnx", "onnxruntime", "torch") if name in sys.modules]
print(taken * 1e3, resident / 1e6, ",".join(names) or "-")
"""
BEGIN = "import time\nstarted = time.perf_counter()\n"
END = "taken = time.perf_counter() - started\n"
PROGRAMS = {
    "numpy alone": "import numpy as np\nframe = np.zeros((1, {width}), np.float32)\n",
    "tidegate": (
        "import numpy as np\nframe = np.zeros((1, {width}), np.float32)\n"
        "import tidegate as tg\nanswer = tg.load({plan!r}).stream().push(frame)\n"
    ),
    "onnxruntime": (
        "import numpy as np\nframe = np.zeros((1, 1, {width}), np.float32)\n"
        "import onnxruntime as ort\noptions = ort.SessionOptions()\noptions.intra_op_num_threads = 1\n"
        "session = ort.InferenceSession({onnx!r}, options, providers=['CPUExecutionProvider'])\n"
        "feeds = {{i.name: np.zeros([s if isinstance(s, int) else 1 for s in i.shape], np.float32) for i in "
        "session.get_inputs()}}\nanswer = session.run(None, feeds)\n"
    ),
}


@dataclass(frozen=True)
class Start:
    """The start of one program, as medians over its processes.

    Attributes:
        name: The name of the program.
        ms: Milliseconds from the first line to the first answer, including the import of numpy.
        mb: Resident memory at the end, in 10^6 bytes.
        imported: Those of onnx, onnxruntime and torch that it imported, separated by commas; `-` if none.
    """

    name: str
    ms: float
    mb: float
    imported: str


@dataclass(frozen=True)
class ColdStart:
    """The result of the command.

    Attributes:
        environment: The machine and the versions.
        processes: Processes of each program.
        starts: The start of each program.
    """

    environment: Environment
    processes: int
    starts: tuple[Start, ...]

    def beyond_numpy(self, name: str) -> tuple[float, float]:
        """Return how many milliseconds and megabytes a program takes more than numpy alone."""
        one, alone = (next(s for s in self.starts if s.name == n) for n in (name, "numpy alone"))
        return one.ms - alone.ms, one.mb - alone.mb

    def to_json(self) -> str:
        """Return the text of the JSON file."""
        fields: dict[str, Any] = {"version": 1, "environment": self.environment.to_dict()}
        fields |= {"processes": self.processes, "starts": [asdict(start) for start in self.starts]}
        return json.dumps(fields, indent=1) + "\n"


def prepare(folder: Path) -> dict[str, str]:
    """Write the models into a folder and return the programs by name.

    Raises:
        BackendError: onnxruntime is not installed.
    """
    case = stacks.CASES[CASE]
    layers = stacks.random_layers(case)
    stacks.save_model(layers, folder / "float.onnx")
    quantize(folder / "float.onnx", folder / "int8.onnx")
    compile_model(folder / "int8.onnx", folder / "int8.tide")
    onnxruntime.quantize(folder / "float.onnx", folder / "theirs.onnx")
    places = {"plan": str(folder / "int8.tide"), "onnx": str(folder / "theirs.onnx"), "width": layers[0].w.shape[1]}
    return {name: BEGIN + body.format(**places) + END + REPORT for name, body in PROGRAMS.items()}


def measure(processes: int) -> ColdStart:
    """Start every program a number of times, in turns, and return the medians.

    Args:
        processes: Processes of each program that count. One more is started first, to fill the file caches.

    Raises:
        BackendError: onnxruntime is not installed, or a program fails.
    """
    with TemporaryDirectory(prefix="tidegate-") as folder, bar("starting") as progress:
        programs = prepare(Path(folder))
        seen: dict[str, list[tuple[float, float, str]]] = {name: [] for name in programs}
        for turn in range(processes + 1):
            for name, program in programs.items():
                seen[name].append(_start(program))
            if progress is not None:
                progress((turn + 1) / (processes + 1))
    starts = [_medians(name, rows[1:]) for name, rows in seen.items()]  # the first turn fills the file caches
    return ColdStart(observe((), None), processes, tuple(starts))


def _start(program: str) -> tuple[float, float, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackendError(f"a started process failed: {done.stderr.strip().splitlines()[-1]}")
    ms, mb, imported = done.stdout.split()
    return float(ms), float(mb), imported


def _medians(name: str, rows: Sequence[tuple[float, float, str]]) -> Start:
    return Start(name, median(row[0] for row in rows), median(row[1] for row in rows), rows[0][2])


def table(result: ColdStart) -> Table:
    """Return the table of a cold start, one row per program."""
    rows = []
    for start in result.starts:
        ms, mb = result.beyond_numpy(start.name)
        rows.append([start.name, f"{start.ms:.1f}", f"{start.mb:.1f}", f"{ms:+.1f}", f"{mb:+.1f}", start.imported])
    columns = ["|", "ms", "MB", "ms beyond numpy", "MB beyond numpy", "imports of onnx, onnxruntime, torch|"]
    title = f"First line to first answer, {stacks.CASES[CASE]}; medians of {result.processes} processes each, in turns"
    return Table(title, columns, rows, whole=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.benchmarks.cold",
        description="Time fresh processes from the first line to the first answer: tidegate and onnxruntime.",
        epilog="example: python -m tidegate.benchmarks.cold --processes 21 --json cold.json",
    )
    parser.add_argument(
        "--processes", type=int, default=15, metavar="N", help="processes of each program (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a JSON file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args(arguments)
    try:
        result = measure(max(1, options.processes))
        if options.json is not None:
            options.json.write_text(result.to_json())
    except (TidegateError, OSError) as error:
        sys.exit(f"cold: error: {error}")
    ms, mb = result.beyond_numpy("tidegate")
    verdict = "reached" if ms <= MOST_MS and mb <= MOST_MB else "missed"
    goal = f"Goal, at most {MOST_MS} ms and {MOST_MB} MB beyond numpy: {verdict}. {result.environment.summary()}."
    if options.markdown:
        sys.stdout.write(f"{table(result).to_markdown()}\n\n{goal}\n")
    else:
        show(table(result), goal)


if __name__ == "__main__":
    main()
