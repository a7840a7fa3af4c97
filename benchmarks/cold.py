"""Cold start: a fresh process from its first line to its first answer, and what it keeps in memory.

    python -m tidegate.benchmarks.cold

runs numpy alone, tidegate on a plan file, and onnxruntime on its own int8 file in turns, one process each time.
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
MOST_MS, MOST_MB = 10, 4  # beyond numpy alone

# What each process runs; then it tells the milliseconds that took, its resident megabytes, and what it imported.
TELL = """
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
    """Medians over the processes of one program.

    Attributes:
        name: What was started.
        ms: First line to first answer, the import of numpy included.
        mb: Resident memory then, in 10^6 bytes.
        imported: Which of onnx, onnxruntime and torch it imported.
    """

    name: str
    ms: float
    mb: float
    imported: str


@dataclass(frozen=True)
class ColdStart:
    """Everything measured."""

    environment: Environment
    processes: int
    starts: tuple[Start, ...]

    def beyond_numpy(self, name: str) -> tuple[float, float]:
        """Return the milliseconds and megabytes of a program beyond numpy alone."""
        one, alone = (next(s for s in self.starts if s.name == n) for n in (name, "numpy alone"))
        return one.ms - alone.ms, one.mb - alone.mb

    def to_json(self) -> str:
        """Return the JSON text of `--json`."""
        fields: dict[str, Any] = {"version": 1, "environment": self.environment.to_dict()}
        fields |= {"processes": self.processes, "starts": [asdict(start) for start in self.starts]}
        return json.dumps(fields, indent=1) + "\n"


def prepare(folder: Path) -> dict[str, str]:
    """Write the models; return the programs by name.

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
    return {name: BEGIN + body.format(**places) + END + TELL for name, body in PROGRAMS.items()}


def measure(processes: int) -> ColdStart:
    """Start every program so many times, in turns.

    Raises:
        BackendError: onnxruntime is not installed, or a program fails.
    """
    with TemporaryDirectory(prefix="tidegate-") as folder, bar("starting") as progress:
        programs = prepare(Path(folder))
        told: dict[str, list[tuple[float, float, str]]] = {name: [] for name in programs}
        for turn in range(processes + 1):
            for name, program in programs.items():
                told[name].append(_start(program))
            if progress is not None:
                progress((turn + 1) / (processes + 1))
    starts = [_medians(name, rows[1:]) for name, rows in told.items()]  # the first turn fills the caches of files
    return ColdStart(observe((), None), processes, tuple(starts))


def _start(program: str) -> tuple[float, float, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackendError(f"a process that was started fails: {done.stderr.strip().splitlines()[-1]}")
    ms, mb, imported = done.stdout.split()
    return float(ms), float(mb), imported


def _medians(name: str, rows: Sequence[tuple[float, float, str]]) -> Start:
    return Start(name, median(row[0] for row in rows), median(row[1] for row in rows), rows[0][2])


def table(result: ColdStart) -> Table:
    """Return the table of a result."""
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
        description="Cold start: a fresh process from its first line to its first answer, beside onnxruntime.",
        epilog="example: python -m tidegate.benchmarks.cold --processes 21 --json cold.json",
    )
    parser.add_argument("--processes", type=int, default=15, help="of each program (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
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
