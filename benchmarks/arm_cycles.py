"""Cycles a product on Arm cores, by a model: `python -m tidegate.benchmarks.arm_cycles`.

No Arm core is needed and none runs: the command compiles the variants `neon` and `neon_dotprod` for AArch64, takes the
loop of a full panel out of the assembly, and asks llvm-mca what LLVM's model of each core says. `cycles` is the whole
loop with its waits; `bound` is what its mix of instructions takes if nothing waits. Both are of a model, in the first
cache; only a device says the truth. It needs a checkout, aarch64-linux-gnu-gcc and llvm-mca.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runtime.errors import BackendError, TidegateError
from .tables import Table, show

KERNELS = Path(__file__).resolve().parents[1] / "runtime" / "kernels"
COMPILER, ANALYZER = "aarch64-linux-gnu-gcc", "llvm-mca"
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno")
# LLVM takes the model of A57 for Cortex-A76. Neoverse N1 is the same core, with a model of its own in newer versions.
CORES = {"A53": "cortex-a53", "A55": "cortex-a55", "A72": "cortex-a72", "A76": "neoverse-n1"}
TURNS = 200
MULTIPLIES = re.compile(r"\s(sdot|[su]m(?:la|ul)l?2?)\s+v\d+\.(\d+)[shb],")


@dataclass(frozen=True)
class Loop:
    """One loop of products.

    Attributes:
        variant: The variant whose file it is in.
        precision: Weights and activations.
        function: The function whose widest loop it is.
        planes: Products of bytes that one product of a weight and an activation takes.
        cores: Keys of CORES: those that the variant is for.
    """

    variant: str
    precision: str
    function: str
    planes: int
    cores: tuple[str, ...]


IN_ORDER_TOO, WITH_DOTS = ("A53", "A55", "A72", "A76"), ("A55", "A76")
LOOPS = (
    Loop("neon", "W8A8", "int8_1", 1, IN_ORDER_TOO),
    Loop("neon", "W8A16", "int8_2", 2, IN_ORDER_TOO),
    Loop("neon", "W4A8", "int4_1", 1, IN_ORDER_TOO),
    Loop("neon", "W4A16", "int4_2", 2, IN_ORDER_TOO),
    Loop("neon_dotprod", "W8A8", "int8_1", 1, WITH_DOTS),
    Loop("neon_dotprod", "W8A16", "int8_2", 2, WITH_DOTS),
    Loop("neon_dotprod", "W4A8", "int4_1", 1, WITH_DOTS),
    Loop("neon_dotprod", "W4A16", "int4_2", 2, WITH_DOTS),
)


def assembly(variant: str) -> str:
    """Return the assembly of a variant.

    Raises:
        BackendError: There is no compiler, or it fails.
    """
    source = [f"-I{KERNELS / 'include'}", str(KERNELS / "variants" / f"{variant}.c")]
    return _run([_tool(COMPILER, "gcc-aarch64-linux-gnu"), *FLAGS, "-S", *source, "-o", "-"], "")


def widest_loop(text: str, function: str) -> str:
    """Return the lines of the loop with the most products in a function, without its label.

    Raises:
        BackendError: The function has no loop of products.
    """
    body = text.partition(f"\n{function}:\n")[2].partition(f"\t.size\t{function},")[0]
    blocks = [re.sub(r"\A.*\n", "", block) for block in re.split(r"^(?=\.L\w+:)", body, flags=re.MULTILINE)]
    starts = [match[1] for match in re.finditer(r"^(\.L\w+):", body, re.MULTILINE)]
    loops = [
        block[: end.end()]
        for name, block in zip(starts, blocks[1:], strict=True)
        if (end := re.search(rf"\tb[.a-z]+\t{re.escape(name)}\n", block)) is not None
    ]
    best = max(loops, key=products, default="")
    if not products(best):
        raise BackendError(
            f"{function} has no loop of products, wanted one; {COMPILER} has compiled it in another form"
        )
    return best


def products(loop: str) -> int:
    """Return the products of a pass through a loop: four in each lane of sdot, one in each lane of the others."""
    return sum(int(lanes) * (4 if name == "sdot" else 1) for name, lanes in MULTIPLIES.findall(loop))


def cycles(loop: str, core: str) -> tuple[float, float]:
    """Return the cycles of a pass through a loop, and the least that its instructions allow.

    Raises:
        BackendError: There is no llvm-mca, or it fails.
    """
    command = [_tool(*_newest()), "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod", f"-iterations={TURNS}"]
    said = _run([*command, "-instruction-info=false", "-resource-pressure=false"], loop)
    total, least = (
        float(re.findall(rf"{name}:\s+([\d.]+)", said)[0]) for name in ("Total Cycles", "Block RThroughput")
    )
    return total / TURNS, least


def _newest() -> tuple[str, str]:
    versions = [name for version in range(30, 13, -1) if shutil.which(name := f"{ANALYZER}-{version}")]
    return (versions or [ANALYZER])[0], "llvm"


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackendError(f"there is no {name}, wanted it for the model of Arm cores: apt-get install {package}")
    return found


def _run(command: Sequence[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackendError(f"{command[0]} fails, exit status {done.returncode}: {done.stderr.strip()[:300]}")
    return done.stdout


def table(rows: Sequence[tuple[Loop, str, float, float]]) -> Table:
    """Return the table of loops on cores: cycles a product, the bound, and both as products a cycle."""
    lines = [
        [loop.variant, loop.precision, core, f"{taken:.3f}", f"{least:.3f}", f"{1 / taken:.1f}", f"{1 / least:.1f}"]
        for loop, core, taken, least in rows
    ]
    columns = ["variant|", "precision|", "core|", "cycles", "bound", "products a cycle", "bound"]
    return Table("Cycles a product of a full panel, by llvm-mca: a model, nothing ran", columns, lines, whole=True)


def measured() -> list[tuple[Loop, str, float, float]]:
    """Return each loop on each core: cycles a product and the bound."""
    texts = {variant: assembly(variant) for variant in dict.fromkeys(loop.variant for loop in LOOPS)}
    rows = []
    for loop in LOOPS:
        lines = widest_loop(texts[loop.variant], loop.function)
        made = products(lines) / loop.planes
        for core in loop.cores:
            taken, least = cycles(lines, CORES[core])
            rows.append((loop, core, taken / made, least / made))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.benchmarks.arm_cycles", description=__doc__)
    parser.parse_args(arguments)
    try:
        found = measured()
        version = _run([_tool(*_newest()), "--version"], "").partition("version ")[2].split()[0]
    except (TidegateError, OSError) as error:
        sys.exit(f"arm_cycles: error: {error}")
    cores = ", ".join(f"{name} by the model {model}" for name, model in CORES.items())
    show(table(found), f"LLVM {version}; {cores}. bound: the mix of instructions, if nothing waits for a result.")


if __name__ == "__main__":
    main()
