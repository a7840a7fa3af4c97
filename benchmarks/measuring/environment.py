"""The machine and the package versions that figures were measured with."""

import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...runtime import _kernels
from ...runtime.backends.native import default_isa

PACKAGES = ("tidegate", "numpy", "onnx", "onnxruntime")
BUSY = 0.5  # a higher load per core at the start makes the figures doubtful


@dataclass(frozen=True)
class Environment:
    """The machine and the versions.

    Attributes:
        processor: The processor's name, as the operating system reports it.
        cores: The number of cores.
        system: Operating system and architecture.
        governor: The frequency governor of the pinned core; None if it cannot be read.
        isa: The engine's variants that were used, by name of the instruction set.
        core: The core that the run was pinned to; None if it was not pinned.
        load: Mean number of running processes in the minute before the run; None if it cannot be read.
        versions: The version of each package and of `python`.
        date: Date and time of the start, in UTC.
        command: The command line of the run; empty in results of older versions.
        best: The engine's best variant on this machine, whether it was used or not; empty if not recorded.
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
    command: str = ""
    best: str = ""

    def engine(self) -> str:
        """Return the processor and the engine's variants."""
        return f"{self.processor} with {', '.join(self.isa)}" if self.isa else self.processor

    def warnings(self) -> list[str]:
        """Return sentences that say why figures from this machine are doubtful; none if they are not."""
        if self.load is None or self.load <= BUSY * self.cores:
            return []
        return [
            f"load was {self.load:.1f} on {self.cores} cores at the start; on a busy machine the times are too high"
        ]

    def unlike(self, later: "Environment") -> list[str]:
        """Return a sentence that names two machines; none if processor, system and variants are the same."""
        first, second = (f"{one.engine()} ({one.system})" for one in (self, later))
        return [] if first == second else [f"Measured first on {first}, then on {second}."]

    def summary(self) -> str:
        """Return one sentence that names the machine and the versions."""
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        place = "not pinned" if self.core is None else f"pinned to core {self.core}"
        return (
            f"{self.processor}, {self.cores} cores, {place}, governor {self.governor or 'unknown'}, "
            f"engine {', '.join(self.isa) or 'unused'}; {self.system}; {packages}; {self.date}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the environment as values that JSON can hold."""
        return asdict(self)


def observe(isa: tuple[str, ...], core: int | None) -> Environment:
    """Return the environment of a run that starts now.

    Args:
        isa: The engine's variants that the run uses, by name of the instruction set.
        core: The core that the run is pinned to; None if it is not pinned.
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
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        best=_kernels.variants()[0],
    )


def observe_engine(core: int | None) -> Environment:
    """Return the environment of a run with the engine's default variant.

    Args:
        core: The core that the run is pinned to; None if it is not pinned.
    """
    return observe((default_isa(),), core)


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
