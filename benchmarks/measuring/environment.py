"""What a figure was measured on: without it a latency means nothing."""

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...runtime import _kernels
from ...runtime.backends.native import ISA_VARIABLE

PACKAGES = ("tidegate", "numpy", "onnx", "onnxruntime")
BUSY = 0.5  # load a core at the start above which a run is doubted


@dataclass(frozen=True)
class Environment:
    """The machine and the versions.

    Attributes:
        processor: Its name as the system gives it.
        cores: Cores of the machine.
        system: Operating system and architecture.
        governor: What sets the pinned core's frequency; None where it is not readable.
        isa: Instruction-set variants of the engine in use.
        core: The core that the run was pinned to, or None.
        load: Mean number of running processes in the minute before; None where it is not readable.
        versions: By package, and `python`.
        date: When, in UTC.
    """

    processor: str
    cores: int
    system: str
    governor: str | None
    isa: tuple[str, ...]
    core: int | None
    load: float | None
    versions: dict[str, str]
    date: str

    def warnings(self) -> list[str]:
        """Say what makes figures from this machine doubtful."""
        if self.load is None or self.load <= BUSY * self.cores:
            return []
        return [f"load was {self.load:.1f} on {self.cores} cores at the start; figures of a busy machine are too high"]

    def summary(self) -> str:
        """Return one sentence that names the machine and the versions."""
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        place = "not pinned" if self.core is None else f"pinned to core {self.core}"
        return (
            f"{self.processor}, {self.cores} cores, {place}, governor {self.governor or 'unknown'}, "
            f"engine {', '.join(self.isa) or 'unused'}; {self.system}; {packages}; {self.date}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the environment as JSON-ready values."""
        return asdict(self)


def observe(isa: tuple[str, ...], core: int | None) -> Environment:
    """Look at the machine.

    Args:
        isa: Instruction-set variants that the engine uses in the run.
        core: The core that the run is pinned to, or None.
    """
    return Environment(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        governor=_text(Path(f"/sys/devices/system/cpu/cpu{core or 0}/cpufreq/scaling_governor")),
        isa=isa,
        core=core,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        versions={"python": platform.python_version()} | _versions(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def observe_engine(core: int | None) -> Environment:
    """Look at the machine before a run of models as they open by themselves: TIDEGATE_ISA, else the best variant.

    Args:
        core: The core that the run is pinned to, or None.
    """
    return observe((os.environ.get(ISA_VARIABLE) or _kernels.variants()[0],), core)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    lines = (_text(Path("/proc/cpuinfo")) or "").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return next((name for name in names if name), platform.processor() or platform.machine())


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
